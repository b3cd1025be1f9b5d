import numpy as np
import pytest
from scipy.sparse.csgraph import connected_components

from neurovis.datasets.simulated.anatomy import (
    CATEGORY_OF_REGION,
    N_VERTICES_PER_HEMISPHERE,
    REGIONS,
    compute_smoothing,
    load_adjacency,
    load_surface,
    make_anatomy,
)


@pytest.fixture(scope="module")
def table():
    return make_anatomy("01", seed=0)


def test_every_region_is_in_both_hemispheres_and_no_vertex_has_two(table):
    counts = table.groupby(["region", "hemisphere"]).size().unstack()
    assert set(counts.index) == set(REGIONS)
    assert counts.min().min() >= 10
    assert table["vertex"].is_unique
    left = table["hemisphere"] == "left"
    assert (table["vertex"][left] < N_VERTICES_PER_HEMISPHERE).all()
    assert (table["vertex"][~left] >= N_VERTICES_PER_HEMISPHERE).all()


@pytest.mark.parametrize("subject", ["01", "02", "03"])
def test_no_vertex_strays_from_the_back_of_the_brain(subject):
    _, pial = load_surface()
    y_mm = np.concatenate([pial["left"], pial["right"]])[make_anatomy(subject, seed=0)["vertex"], 1]
    assert y_mm.max() < -10


def test_lateralisation(table):
    counts = table.groupby(["region", "hemisphere"]).size().unstack()
    assert counts.loc["VWFA", "left"] > 1.5 * counts.loc["VWFA", "right"]
    sizes = [make_anatomy(f"{n:02d}", seed=0).query("region == 'FFA'") for n in range(1, 7)]
    right_share = np.mean([(size["hemisphere"] == "right").mean() for size in sizes])
    assert right_share > 0.5


def test_places_on_the_brain(table):
    _, pial = load_surface()
    xyz = np.vstack([pial["left"], pial["right"]])[table["vertex"]]
    centre = {
        region: xyz[((table["region"] == region) & (table["hemisphere"] == "right")).to_numpy()].mean(0)
        for region in REGIONS
    }
    assert np.abs(centre["V1"][0]) < 18  # on the medial wall
    assert centre["V1"][1] < -75  # occipital
    assert centre["hMT"][0] > 38  # lateral
    assert centre["PPA"][0] < centre["FFA"][0] < centre["VWFA"][0] + 8  # medial to lateral
    assert centre["OFA"][1] < centre["FFA"][1] < centre["FBA"][1]  # posterior to anterior
    assert max(centre[region][2] for region in ("FFA", "FBA", "PPA", "hV4")) < 0 < centre["OPA"][2]


def test_the_two_parts_of_a_category_region_are_contiguous(table):
    adjacency = load_adjacency()
    for region in CATEGORY_OF_REGION:
        for part in (f"{region}-1", f"{region}-2"):
            for hemisphere in ("left", "right"):
                rows = table[(table["subdivision"] == part) & (table["hemisphere"] == hemisphere)]
                vertices = rows["vertex"].to_numpy()
                assert len(vertices) >= 3
                _, labels = connected_components(adjacency[vertices][:, vertices], directed=False)
                assert np.bincount(labels).max() >= 0.7 * len(vertices), (part, hemisphere)


def test_the_visual_field_is_contralateral_and_v1_is_continuous(table):
    early = table[table["region"].isin(("V1", "V2", "V3", "hV4"))]
    assert (early["x_dva"][early["hemisphere"] == "left"] >= 0).all()
    assert (early["x_dva"][early["hemisphere"] == "right"] <= 0).all()
    v1 = table[(table["region"] == "V1") & (table["hemisphere"] == "left")]
    vertices, places = v1["vertex"].to_numpy(), v1[["x_dva", "y_dva"]].to_numpy()
    rows, columns = load_adjacency()[vertices][:, vertices].nonzero()
    step = np.linalg.norm(places[rows] - places[columns], axis=1)
    anywhere = np.linalg.norm(places[:, None] - places[None], axis=2)
    assert np.median(step) < 0.2 * np.median(anywhere)
    assert step.max() < 0.4 * anywhere.max()


def test_v2_mirrors_v1_at_the_vertical_meridian(table):
    v1, v2 = (
        table[(table["region"] == name) & (table["hemisphere"] == "left")].reset_index()
        for name in ("V1", "V2")
    )
    border = load_adjacency()[v1["vertex"].to_numpy()][:, v2["vertex"].to_numpy()]
    rows, columns = border.nonzero()
    assert len(rows) > 10
    polar = np.degrees(np.arctan2(v1["y_dva"][rows].abs(), v1["x_dva"][rows]))
    assert polar.median() > 70
    assert (np.sign(v1["y_dva"][rows].to_numpy()) == np.sign(v2["y_dva"][columns].to_numpy())).mean() > 0.95


def test_anatomy_is_seeded_and_varies_by_subject(table):
    assert table.equals(make_anatomy("01", seed=0))
    for other in (make_anatomy("02", seed=0), make_anatomy("01", seed=1)):
        shared = table.merge(other, on="vertex")
        agreement = (shared["region_x"] == shared["region_y"]).mean()
        assert 0.3 < len(shared) / len(table) < 1
        assert 0.6 < agreement < 0.995


def test_smoothing_has_unit_variance_and_local_correlation(table):
    vertices = table["vertex"].to_numpy()
    operator = compute_smoothing(vertices, n_steps=3)
    covariance = (operator @ operator.T).toarray()
    np.testing.assert_allclose(np.diag(covariance), 1.0, atol=1e-12)
    neighbours = load_adjacency()[vertices][:, vertices].toarray() > 0
    assert covariance[neighbours].mean() > 0.6
    assert covariance[0, -1] == 0  # the hemispheres are apart
    np.testing.assert_array_equal(compute_smoothing(vertices[:4], n_steps=0).toarray(), np.eye(4))


def test_messages():
    with pytest.raises(ValueError, match="n_steps must not be negative, got -1"):
        compute_smoothing(np.array([0]), n_steps=-1)

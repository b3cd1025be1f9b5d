"""Planted feature spaces: shares, unique variance and Venn regions come back as the covariance says."""

import numpy as np
import pytest
import xarray as xr
from sklearn.base import clone

from neurovis.core import make_neural_data
from neurovis.encoding.banded import BandedRidge
from neurovis.evaluation.encoding import evaluate_encoding
from neurovis.evaluation.partitioning import (
    partition_variance,
    read_partition,
    summarise_partition,
)
from neurovis.features.arrays import join_spaces
from neurovis.metrics.partitioning import (
    compute_product_measure,
    compute_unique_variance,
    compute_venn_regions,
    make_subsets,
)

NAMES, SIZES, N_TRAIN, N_TEST, N_REPEATS, K = ("gabor", "words", "scene"), (6, 8, 10), 900, 150, 5, 40
IDS = [f"s{i:04d}" for i in range(N_TRAIN + N_TEST)]
TEST = IDS[N_TRAIN:]
BANDS = np.repeat(np.arange(3), SIZES)
WORDLESS = np.arange(K) % 2 == 0
MIXTURES = np.vstack([np.ones((1, 3)), np.eye(3) + 0.1])
ENCODER = BandedRidge(mixtures=MIXTURES, n_refinements=0, cv=3, alphas=np.logspace(0, 4, 5))


def plant(seed, *, correlated, n_silent=0, ncsnr=1.0):
    """Features of known covariance, and responses with their true shares as (product, unique, venn).

    Every other neuroid knows no words.
    """
    rng = np.random.default_rng(seed)
    p = len(BANDS)
    mixing = np.eye(p)
    if correlated:
        # Two latent features reach every space.
        mixing = np.hstack([mixing, 0.7 * rng.normal(size=(p, 2))])
    covariance = mixing @ mixing.T
    X = rng.normal(size=(len(IDS), mixing.shape[1])) @ mixing.T
    weights = rng.normal(size=(p, K)) * rng.dirichlet(np.ones(3), size=K).T[BANDS] ** 0.5
    weights /= np.sqrt(np.array(SIZES))[BANDS][:, None]
    weights[np.ix_(BANDS == 1, WORDLESS)] = 0
    weights /= np.sqrt(np.einsum("pk,pq,qk->k", weights, covariance, weights))
    weights[:, K - n_silent :] = 0
    rows = np.concatenate([np.arange(N_TRAIN), np.tile(np.arange(N_TRAIN, len(IDS)), N_REPEATS)])
    trials = (X @ weights)[rows] + rng.normal(size=(len(rows), K)) / ncsnr
    data = make_neural_data(
        trials,
        rows="presentation",
        row_coords={
            "stimulus_id": np.array(IDS)[rows],
            "repeat": np.repeat([0, *range(N_REPEATS)], [N_TRAIN] + [N_TEST] * N_REPEATS),
        },
        neuroid_coords={
            "neuroid_id": [f"v{i}" for i in range(K)],
            "subject": ["01"] * K,
            "region": np.where(np.arange(K) < K // 2, "V1", "FFA"),
        },
        units="z",
        source="planted",
    )
    spaces = {
        name: xr.DataArray(
            X[:, band == BANDS], dims=("stimulus", "feature"), coords={"stimulus_id": ("stimulus", IDS)}
        )
        for band, name in enumerate(NAMES)
    }
    return join_spaces(spaces), data, find_true_shares(covariance, weights)


def find_true_shares(covariance, weights):
    """From covariances alone: a model of spaces S explains cov(y, X_S) cov(X_S)^-1 cov(X_S, y)."""
    along = covariance @ weights
    product = np.stack([(weights * along)[band == BANDS].sum(0) for band in range(3)])
    subsets = make_subsets(3)
    explained = []
    for inside in subsets:
        own = inside[BANDS]
        explained.append((along[own] * np.linalg.solve(covariance[np.ix_(own, own)], along[own])).sum(0))
    explained = np.stack(explained)
    return product, compute_unique_variance(explained, subsets), compute_venn_regions(explained, subsets)


@pytest.fixture(scope="module")
def planted():
    features, data, truth = plant(3, correlated=True, n_silent=8)
    return (
        features,
        data,
        truth,
        partition_variance(features, data, ENCODER, test_ids=TEST, n_permutations=200),
    )


@pytest.fixture(scope="module", params=[False, True], ids=["independent", "correlated"])
def seeds(request):
    """True shares and results of five seeds, and whether the spaces correlate."""
    runs = []
    for seed in range(5):
        features, data, truth = plant(seed, correlated=request.param)
        result = partition_variance(features, data, ENCODER, test_ids=TEST, n_permutations=200)
        runs.append((truth, result))
    return request.param, runs


def test_planted_shares_are_recovered(seeds):
    differences = {"product": [], "unique": [], "venn": []}
    for truth, result in seeds[1]:
        found = (result.values["product"], result.values["unique"], result.venn)
        ceiling = result.values["ceiling"].values
        for name, estimate, expected in zip(differences, found, truth, strict=True):
            differences[name].append(estimate.values / ceiling - expected)
    for name, parts in differences.items():
        error = np.concatenate(parts, axis=1)
        # Means stay within 0.02, single neuroids within about 0.05, with 150 test stimuli.
        assert np.abs(error.mean(axis=1)).max() < 0.05, name
        assert error.std(axis=1).max() < 0.08, name


def test_a_space_without_weights_is_found_unique_no_more_than_by_chance(seeds):
    correlated, runs = seeds
    p_words = np.stack([result.values["p_unique"].sel(space="words").values for _, result in runs])
    assert np.mean(p_words[:, WORDLESS] <= 0.05) < (0.12 if correlated else 0.08)
    assert np.mean(p_words[:, ~WORDLESS] <= 0.05) > 0.8


def test_intervals_cover_the_true_shares(seeds):
    covered = []
    for truth, result in seeds[1]:
        table = summarise_partition(result, kind="product", n_bootstraps=200, by="subject")
        for number, row in table.iterrows():
            # What 900 training stimuli leave to learn keeps shares up to 0.02 below the truth.
            covered.append(row["lower"] <= truth[0][number].mean() <= row["upper"] + 0.02)
    assert np.mean(covered) >= 0.85


def test_shares_add_up_exactly(planted):
    *_, result = planted
    values = result.values
    total = values["total"].values
    np.testing.assert_allclose(values["product"].sum("space"), total, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(result.venn.sum("component"), total, rtol=1e-9, atol=1e-12)
    explained = values["explained"].sel(subset="words & scene").values
    np.testing.assert_allclose(values["unique"].sel(space="gabor"), total - explained, atol=1e-12)
    np.testing.assert_allclose(result.venn.sel(component="only gabor"), values["unique"].sel(space="gabor"))
    assert list(result.venn["component"].values[3:]) == [
        "gabor & words",
        "gabor & scene",
        "words & scene",
        "gabor & words & scene",
    ]


def test_total_and_ceiling_are_those_of_the_evaluation(planted):
    features, data, _, result = planted
    encoder = clone(ENCODER).set_params(spaces=features["space"].values)
    plain = evaluate_encoding(
        features, data, encoder, test_ids=TEST, metric="explained_variance", n_permutations=200
    )
    np.testing.assert_allclose(result.values["total"], plain.score.values, rtol=1e-9)
    np.testing.assert_array_equal(result.values["ceiling"], plain.score.ceiling)
    np.testing.assert_array_equal(result.values["p_value"], plain.p_values)


def test_folds_pool_their_held_out_stimuli():
    features, data, _ = plant(0, correlated=False)
    keep = np.isin(data["stimulus_id"].values, IDS[-300:])
    result = partition_variance(
        features[-300:],
        data[keep],
        BandedRidge(mixtures=np.eye(3), n_refinements=0, alphas=[1.0, 100.0]),
        splitter=3,
        n_permutations=1,
    )
    assert result.truth.shape == (300, K)
    for fold in range(3):
        np.testing.assert_allclose(
            result.contributions[:, result.truth["fold"] == fold].mean(1), 0, atol=1e-9
        )
    measure = compute_product_measure(result.truth.values, result.contributions)
    np.testing.assert_allclose(measure.sum(0), result.values["total"], atol=1e-9)
    assert measure.sum(0).mean() > 0.3


def test_held_out_responses_do_not_reach_the_models(planted):
    features, data, _, result = planted
    shuffled = data.copy(deep=True)
    test = np.isin(data["stimulus_id"].values, TEST)
    shuffled.values[test] = shuffled.values[test][::-1]
    again = partition_variance(features, shuffled, ENCODER, test_ids=TEST, n_permutations=1)
    np.testing.assert_array_equal(again.predictions, result.predictions)
    np.testing.assert_array_equal(again.contributions, result.contributions)


def test_silent_neuroids_explain_nothing(planted):
    values = planted[-1].values
    assert values["q_value"].values[:-8].max() < 0.05 < np.median(values["p_value"].values[-8:])
    assert np.abs(values["product"].values[:, -8:].mean(1)).max() < 0.02


@pytest.mark.parametrize("kind", ["venn", "product", "unique"])
def test_table_per_region(planted, kind):
    *_, result = planted
    table = summarise_partition(result, kind=kind, n_bootstraps=200, seed=1)
    assert list(table.columns) == ["region", "component", "value", "lower", "upper"]
    assert (table["lower"] <= table["value"]).all()
    assert (table["value"] <= table["upper"]).all()
    values = result.values
    own = (values["region"] == "V1").values
    expected = values["total"].values[own].sum() / values["ceiling"].values[own].sum()
    parts = table[table["region"] == "V1"].set_index("component")["value"]
    if kind != "unique":
        assert parts.sum() == pytest.approx(expected)
    assert parts.index[0] == ("gabor" if kind == "product" else "only gabor")
    plain = summarise_partition(result, kind=kind, normalise=False, n_bootstraps=2)
    source = values["product" if kind == "product" else "unique"].sel(space="gabor").values
    usable = (values["ceiling"] > 0).values & own
    assert plain["value"][0] == pytest.approx(source[usable].mean())


def test_writes_and_reads(planted, tmp_path):
    *_, result = planted
    read = read_partition(result.write(tmp_path / "partition.nc", provenance={"step": "test"}))
    assert read.space_names == list(NAMES)
    np.testing.assert_array_equal(read.venn, result.venn)
    np.testing.assert_array_equal(read.values["region"], result.values["region"])
    with pytest.raises(ValueError, match="result must hold truth and predictions, got one read from file"):
        summarise_partition(read)


def test_many_spaces_leave_one_out_each(rng):
    features, data, _ = plant(0, correlated=False)
    five = features.assign_coords(space=("feature", np.array(list("abcde"))[np.arange(24) % 5]))
    result = partition_variance(
        five,
        data,
        BandedRidge(alphas=[1.0, 10.0], mixtures=np.ones((1, 5)), n_refinements=0),
        test_ids=TEST,
        n_permutations=1,
    )
    assert result.values.sizes["subset"] == 6
    assert result.values["unique"].shape == (5, K)
    with pytest.raises(ValueError, match="subsets must hold the spaces"):
        _ = result.venn
    with pytest.raises(ValueError, match="'product' or 'unique' with more than 4 spaces, got 'venn' with 5"):
        summarise_partition(result, normalise=False)


def test_bad_input(planted):
    features, data, _, result = planted
    one = features[:, (features["space"] == "gabor").values]
    with pytest.raises(ValueError, match=r"at least two spaces, got \['gabor'\]"):
        partition_variance(one, data, test_ids=TEST)
    with pytest.raises(ValueError, match="exactly one of test_ids and splitter"):
        partition_variance(features, data)
    with pytest.raises(ValueError, match="kind must be 'venn', 'product' or 'unique', got 'bars'"):
        summarise_partition(result, kind="bars")
    with pytest.raises(ValueError, match="by must be"):
        summarise_partition(result, by="area")


@pytest.mark.slow
def test_regions_of_the_simulated_cortex_get_the_space_they_were_made_from(tmp_path):
    """Energies of filters make V1 to hV4, evidence for categories makes FFA and PPA."""
    pytest.importorskip("torch")
    from neurovis import catalog
    from neurovis.datasets.simulated import make_subject, simulate_betas
    from neurovis.features.cache import extract_cached, join_layers
    from neurovis.stimuli.world_files import make_world

    world = make_world(tmp_path / "world", n_images=220, seed=5)
    test_ids = world.stimulus_ids[160:]
    subject = make_subject("01", seed=5)
    n_repeats = {name: 4 if name in set(test_ids) else 1 for name in world.stimulus_ids}
    betas = simulate_betas(subject, world, n_repeats=n_repeats, n_sessions=2, seed=5)
    betas = betas[:, np.isin(betas["region"].values, ["V1", "V3", "hV4", "FFA", "PPA"])]
    spaces = {
        name: join_layers(extract_cached(catalog.features.load(name)(), world, root=tmp_path / "cache"))
        for name in ("gabor", "worldnet")
    }
    encoder = BandedRidge(mixtures=2, n_refinements=0)
    result = partition_variance(join_spaces(spaces), betas, encoder, test_ids=test_ids, n_permutations=1)
    table = summarise_partition(result, kind="product", minimum_ceiling=0.2, n_bootstraps=50)
    shares = table.pivot(index="region", columns="component", values="value")
    assert (shares.loc[["V1", "V3", "hV4"], "gabor"] > 0.3).all()
    assert (shares.loc[["FFA", "PPA"], "worldnet"] > 0.3).all()
    assert (shares.loc[["V1", "V3", "hV4"], "worldnet"] < 0.1).all()
    assert (shares.loc[["FFA", "PPA"], "gabor"] < 0.1).all()

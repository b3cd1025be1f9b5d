import numpy as np
import pytest

from neurovis.datasets.simulated import CATEGORY_OF_REGION, REGIONS, make_subject
from neurovis.datasets.simulated.subject import SILENT_SHARE
from neurovis.stimuli.world import CATEGORY_OF
from neurovis.stimuli.world_shares import SUBTYPE_NAMES


def test_the_table_is_complete_and_seeded(subject, other_subject):
    table = subject.table
    assert table["vertex"].is_monotonic_increasing
    assert len(set(subject.neuroid_ids)) == subject.n_vertices == len(table)
    assert subject.neuroid_ids[0] == f"sub-01_v{table['vertex'].iloc[0]:05d}"
    assert set(table["region"]) == set(REGIONS)
    assert make_subject("01", seed=0).table.equals(table)
    shared = table.merge(other_subject.table, on="vertex")
    assert not np.allclose(shared["noise_sd_x"], shared["noise_sd_y"])


def test_tables_are_copies(subject):
    changed = make_subject("01", seed=0)
    changed.table["region"] = "V1"
    assert set(make_subject("01", seed=0).table["region"]) == set(REGIONS)
    assert set(subject.table["region"]) == set(REGIONS)


def test_silent_vertices_have_no_signal_and_lie_in_all_regions(subject):
    table = subject.table
    silent = table[~table["responsive"]]
    assert len(silent) / len(table) == pytest.approx(SILENT_SHARE, abs=0.03)
    assert set(silent["region"]) == set(REGIONS)
    assert (silent[["signal_sd", "ncsnr", "gain"]] == 0).all().all()
    assert (silent[[f"w_{s}" for s in SUBTYPE_NAMES]] == 0).all().all()
    responsive = table[table["responsive"]]
    assert (responsive["gain"] > 0).all()
    # The noise gives nothing away.
    assert silent["noise_sd"].median() == pytest.approx(responsive["noise_sd"].median(), rel=0.1)


def test_signal_to_noise_is_as_stated(subject):
    table = subject.table[subject.table["responsive"]]
    np.testing.assert_allclose(table["ncsnr"], table["signal_sd"] / table["noise_sd"])
    rest = table[table["region"] != "hMT"]
    assert rest["ncsnr"].median() == pytest.approx(1.0, abs=0.08)
    assert rest["ncsnr"].min() >= 0.5
    assert rest["ncsnr"].max() <= 2.0


def test_receptive_fields_grow_along_the_hierarchy_and_with_eccentricity(subject):
    table = subject.table[subject.table["responsive"]]
    median = table.groupby("region")["sigma_dva"].median()
    assert median["V1"] < median["V2"] < median["V3"] < median["hV4"]
    v1 = table[table["region"] == "V1"]
    eccentricity = np.hypot(v1["x_dva"], v1["y_dva"])
    assert np.corrcoef(eccentricity, v1["sigma_dva"])[0, 1] > 0.6
    far = np.hypot(table["x_dva"], table["y_dva"]).groupby(table["region"]).median()
    assert max(far["FFA"], far["VWFA"]) < 1.0 < 1.6 < min(far["PPA"], far["RSC"])


def test_planted_weights_prefer_the_category_and_its_parts_the_subtypes(subject):
    table = subject.table[subject.table["responsive"]]
    weights = table[[f"w_{subtype}" for subtype in SUBTYPE_NAMES]].to_numpy()
    best = np.array(SUBTYPE_NAMES)[weights.argmax(axis=1)]
    for region, category in CATEGORY_OF_REGION.items():
        pair = [subtype for subtype in SUBTYPE_NAMES if CATEGORY_OF[subtype] == category]
        for part, subtype in zip((f"{region}-1", f"{region}-2"), pair, strict=True):
            here = (table["subdivision"] == part).to_numpy()
            assert here.sum() >= 3
            assert (best[here] == subtype).mean() > 0.95


def test_messages():
    with pytest.raises(ValueError, match="subject must be a label of letters and digits, got 'sub-01'"):
        make_subject("sub-01", seed=0)
    with pytest.raises(ValueError, match="seed must be a non-negative integer, got -1"):
        make_subject("01", seed=-1)

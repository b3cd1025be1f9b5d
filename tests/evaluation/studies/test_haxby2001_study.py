import numpy as np
import pytest
from miniatures import make_haxby2001

from neurovis.datasets.haxby2001 import load_haxby2001
from neurovis.evaluation.studies.haxby2001 import analyse_haxby2001, compute_block_responses


def _index(table):
    return table.set_index("quantity")


def test_planted_categories_are_decoded_and_noise_is_not(tmp_path):
    found = analyse_haxby2001(make_haxby2001(tmp_path / "signal"), n_permutations=3)
    table = _index(found.table)
    assert table.loc["accuracy, 8 categories, delay 2.5 s", "value"] > 0.9
    assert table.loc["accuracy, 8 categories, delay 5 s", "p_value"] == pytest.approx(1 / 4)
    assert table.loc["Spearman of category dissimilarities, odd with even runs", "value"] > 0.6
    np.testing.assert_allclose(found.figures_data["confusion"].sum(axis=1), 1)
    noise = analyse_haxby2001(make_haxby2001(tmp_path / "noise", effect=0.0), n_permutations=3)
    assert _index(noise.table).loc["accuracy, 8 categories, delay 5 s", "value"] < 0.35


def test_block_responses_are_detrended_means_of_the_delayed_scans(tmp_path):
    """Against polyfit and explicit scan numbers for one block and voxel."""
    runs = load_haxby2001(root=make_haxby2001(tmp_path))
    blocks = compute_block_responses(runs, delay_s=5.0)
    series = runs.responses.values[runs.responses["run"].values == 2, 7].astype(float)
    scan = np.arange(len(series))
    flat = series - np.polyval(np.polyfit(scan, series, 2), scan)
    row = int(
        np.flatnonzero(runs.events["run"].to_numpy() == 2)[1]
    )  # onset 50 s: scans 22 to 30 start 55 to 75
    assert blocks.values[row, 7] == pytest.approx(flat[22:31].mean(), abs=1e-6)
    assert blocks["stimulus_id"].values[row] == runs.events["trial_type"][row]
    with pytest.raises(ValueError, match="delay_s must leave scans"):
        compute_block_responses(runs, delay_s=100.0)


def test_real_slice_decodes_near_the_reference(shared_data):
    table = _index(analyse_haxby2001(shared_data, n_permutations=3).table)
    advised = table.loc["accuracy, 8 categories, delay 5 s"]
    assert advised["value"] == pytest.approx(0.56, abs=0.07)
    assert advised["ci_low"] > advised["chance"]
    assert advised["value"] > advised["null_95"]
    assert table.loc["accuracy, face or house", "value"] > 0.9

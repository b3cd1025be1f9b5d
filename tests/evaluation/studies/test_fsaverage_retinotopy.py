import numpy as np
import pytest

from neurovis.evaluation.studies.fsaverage_retinotopy import analyse_fsaverage_retinotopy, compute_dice


def test_dice_of_known_overlaps():
    first = np.array([True, True, True, False, False])
    assert compute_dice(first, first) == 1
    assert compute_dice(first, ~first) == 0
    assert compute_dice(first, np.array([False, True, True, True, False])) == pytest.approx(4 / 6)
    assert compute_dice(first & False, first & False) == 0


def test_atlases_agree_beyond_the_spin_null(shared_data):
    result = analyse_fsaverage_retinotopy(shared_data, n_permutations=39)
    table = result.table.set_index(["quantity", "region"])
    atlases = table.loc["Dice overlap, Benson and Wang atlases"]
    assert atlases.loc["V1", "value"] == pytest.approx(0.70, abs=0.01)
    assert (atlases["value"] > atlases["null_95"]).all()
    assert (atlases["p_value"] == 1 / 40).all()
    # Single vertices as cases would give V1 an interval of 0.07: maps differ along borders, in patches.
    assert 0.15 < atlases.loc["V1", "ci_high"] - atlases.loc["V1", "ci_low"] < 0.5
    assert (atlases["ci_low"] < atlases["value"]).all()
    assert (atlases["value"] < atlases["ci_high"]).all()
    simulated = table.loc["Dice overlap, simulated cortex and Wang atlas"]
    assert simulated.loc["V1", "value"] > 0.4
    assert set(result.figures_data["wang"]) >= {"V1", "V2", "V3"}

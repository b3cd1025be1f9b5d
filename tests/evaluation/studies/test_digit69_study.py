import numpy as np
import pytest
from miniatures import make_digit69

from neurovis.evaluation.studies.digit69 import _measure, analyse_digit69


def test_planted_images_are_reconstructed_and_noise_is_not(tmp_path):
    root, cache = make_digit69(tmp_path / "signal", effect=3.0), tmp_path / "cache"
    found = analyse_digit69(root, n_permutations=5, cache=cache)
    assert (found.table["value"].iloc[[0, 3]] > 0.8).all()
    assert (found.table["p_value"] == 1 / 6).all()
    assert found.figures_data["reconstructions"].shape == (40, 28, 28)
    noise = analyse_digit69(make_digit69(tmp_path / "noise", effect=0.0), n_permutations=5, cache=cache).table
    assert (noise["value"].iloc[[0, 3, 4]] < 0.75).all()


def test_measures_against_a_loop(rng):
    reconstruction, pixels = rng.normal(size=(2, 8, 30))
    digit = np.array([6, 6, 6, 6, 9, 9, 9, 9])
    found = _measure(reconstruction, pixels, digit)
    for trial in range(8):
        r = [np.corrcoef(reconstruction[trial], image)[0, 1] for image in pixels]
        others = [other for other in range(8) if other != trial]
        same = [other for other in others if digit[other] == digit[trial]]
        want = [
            r[trial],
            r[trial] - np.mean([r[other] for other in same]),
            np.mean([r[trial] > r[other] for other in others]),
            np.mean([r[trial] > r[other] for other in same]),
        ]
        np.testing.assert_allclose(found[:, trial], want)


def test_real_digits_are_decoded_and_identified(shared_data, tmp_path):
    table = analyse_digit69(shared_data, n_permutations=3, cache=tmp_path).table.set_index("quantity")
    assert table.loc["accuracy, six or nine", "value"] == pytest.approx(0.93, abs=0.04)
    within = table.loc["identification among images of the digit"]
    assert within["ci_low"] > 0.6
    assert within["value"] > within["null_95"]

import numpy as np
import pytest
from miniatures import make_vtc_fivecat

from neurovis.datasets.vtc_fivecat import CATEGORIES, load_vtc_fivecat
from neurovis.decoding.classification import CorrelationClassifier, decode_left_out_runs
from neurovis.evaluation.studies.vtc_fivecat import analyse_vtc_fivecat, centre_task_runs


def test_planted_categories_are_decoded_and_noise_is_not(tmp_path):
    found = analyse_vtc_fivecat(make_vtc_fivecat(tmp_path / "signal"), n_permutations=20)
    assert len(found.table) == 6
    assert (found.table["value"] > 0.9).all()
    assert (found.table["p_value"] == 1 / 21).all()
    np.testing.assert_allclose(found.figures_data["confusion"].sum(axis=2), 1)
    noise = analyse_vtc_fivecat(make_vtc_fivecat(tmp_path / "noise", effect=0.0), n_permutations=20)
    assert (noise.table["value"] < 0.45).all()
    assert noise.figures_data["null_accuracy"].mean() == pytest.approx(0.2, abs=0.06)


def test_incomplete_task_runs_are_refused(tmp_path):
    data = load_vtc_fivecat(subject="1", root=make_vtc_fivecat(tmp_path))
    with pytest.raises(ValueError, match="once in every task-run"):
        centre_task_runs(data[1:])


def test_real_accuracies_and_the_trap_of_the_order(shared_data):
    table = analyse_vtc_fivecat(shared_data, n_permutations=20).table
    left_out = table[table["quantity"] == "accuracy, 5 categories"]
    np.testing.assert_allclose(left_out["value"], left_out["reference"], atol=0.06)
    assert (table["value"] > table["null_95"]).all()
    # Read category-major instead of task-major, the same numbers decode at about half.
    data = load_vtc_fivecat(subject="2", root=shared_data)
    columns = data.values.reshape(3, 3, 5, -1).transpose(1, 0, 2, 3).reshape(3, 15, -1)
    wrong = columns.reshape(3, 5, 3, -1).transpose(2, 0, 1, 3).reshape(45, -1)
    X = centre_task_runs(data.copy(data=wrong))
    found = decode_left_out_runs(
        X, np.tile(CATEGORIES, 9), np.repeat(np.arange(9), 5), classifier=CorrelationClassifier()
    )
    assert found.accuracy < 0.65

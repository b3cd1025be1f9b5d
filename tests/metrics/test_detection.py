import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from neurovis.metrics.detection import compute_auc


def test_auc_counts_pairs_and_agrees_with_scikit_learn():
    rng = np.random.default_rng(0)
    present = rng.random((60, 3)) < [0.5, 0.2, 0.8]
    evidence = np.round(present * [0.0, 1.0, -1.0] + rng.normal(size=(60, 3)), 1)
    auc = compute_auc(present, evidence)
    for column in range(3):
        own, other = (evidence[rows, column] for rows in (present[:, column], ~present[:, column]))
        pairs = np.sign(own[:, None] - other) / 2 + 0.5
        assert auc[column] == pytest.approx(pairs.mean())
        assert auc[column] == pytest.approx(roc_auc_score(present[:, column], evidence[:, column]))


def test_a_thing_that_is_always_there_is_refused():
    present = np.array([[True, True], [False, True], [True, True]])
    with pytest.raises(ValueError, match="got 3 of 3 with that of column 1"):
        compute_auc(present, np.zeros((3, 2)))

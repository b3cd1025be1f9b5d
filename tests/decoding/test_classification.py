"""Decoding left-out runs: contract, planted patterns, chance without them, and no leakage."""

import numpy as np
import pytest
from scipy.stats import pearsonr
from sklearn.model_selection import LeaveOneGroupOut, cross_val_predict
from sklearn.utils.estimator_checks import parametrize_with_checks

from neurovis.decoding.classification import (
    CorrelationClassifier,
    compute_permutation_null,
    decode_left_out_runs,
    make_linear_svm,
)
from neurovis.metrics.significance import compute_p_value

LABELS = np.array(["face", "house", "tool"])


@parametrize_with_checks([CorrelationClassifier()])
def test_scikit_learn_contract(estimator, check):
    check(estimator)


def simulate(rng, effect, n_runs=6, n_repeats=3, n_neuroids=30):
    y = np.tile(np.repeat(np.arange(3), n_repeats), n_runs)
    runs = np.repeat(np.arange(n_runs), 3 * n_repeats)
    shifts = 5 * rng.normal(size=(n_runs, 1))  # shared by all rows of a run, no information
    X = effect * rng.normal(size=(3, n_neuroids))[y] + rng.normal(size=(len(y), n_neuroids)) + shifts[runs]
    return X, LABELS[y], runs


@pytest.mark.parametrize("classifier", [make_linear_svm(), CorrelationClassifier()])
def test_planted_patterns_are_found_and_noise_is_not(classifier, rng):
    X, y, runs = simulate(rng, effect=1.0)
    found = decode_left_out_runs(X, y, runs, classifier=classifier)
    assert found.accuracy > 0.8
    np.testing.assert_array_equal(found.confusion.sum(1), 18)
    np.testing.assert_allclose(found.accuracy, np.mean(found.predicted == y))
    np.testing.assert_allclose(found.accuracy_by_run.mean(), found.accuracy)
    null = [decode_left_out_runs(*simulate(rng, 0.0), classifier=classifier).accuracy for _ in range(20)]
    assert 0.27 < np.mean(null) < 0.40


def test_equals_scikit_learn(rng):
    X, y, runs = simulate(rng, effect=0.4)
    reference = cross_val_predict(make_linear_svm(), X, y, groups=runs, cv=LeaveOneGroupOut())
    np.testing.assert_array_equal(decode_left_out_runs(X, y, runs).predicted, reference)


def test_correlation_classifier_written_out(rng):
    X, y, runs = simulate(rng, effect=0.4)
    train = runs > 0
    means = np.array([X[train][y[train] == label].mean(0) for label in LABELS])
    centre = means.mean(0)
    r = [[pearsonr(x - centre, m - centre).statistic for m in means] for x in X[~train]]
    fitted = CorrelationClassifier().fit(X[train], y[train])
    np.testing.assert_allclose(fitted.decision_function(X[~train]), r)
    np.testing.assert_array_equal(fitted.predict(X[~train]), LABELS[np.argmax(r, axis=1)])


@pytest.mark.parametrize("classifier", [make_linear_svm(), CorrelationClassifier()])
def test_a_left_out_run_never_touches_the_predictions_of_its_rows(classifier, rng):
    X, y, runs = simulate(rng, effect=0.4)
    before = decode_left_out_runs(X, y, runs, classifier=classifier).predicted
    changed = X.copy()
    changed[0] += 1e3 * rng.normal(size=X.shape[1])
    after = decode_left_out_runs(changed, y, runs, classifier=classifier).predicted
    same_run = np.flatnonzero(runs == runs[0])[1:]
    np.testing.assert_array_equal(after[same_run], before[same_run])


def test_null_permutes_within_runs_and_gives_valid_p(rng):
    X, y, runs = simulate(rng, effect=0.8)
    seen = []

    class Spy(CorrelationClassifier):
        def fit(self, X, y):
            seen.append(np.unique(y, return_counts=True)[1])
            return super().fit(X, y)

    null = compute_permutation_null(X, y, runs, classifier=Spy(), n_permutations=50)
    np.testing.assert_array_equal(np.array(seen), 15)  # counts per category survive in every training set
    assert 0.25 < null.mean() < 0.42
    accuracy = decode_left_out_runs(X, y, runs, classifier=CorrelationClassifier()).accuracy
    assert compute_p_value(accuracy, null)[0] == pytest.approx(1 / 51)
    np.testing.assert_array_equal(
        null, compute_permutation_null(X, y, runs, classifier=CorrelationClassifier(), n_permutations=50)
    )


def test_p_values_hold_their_rate_without_an_effect(rng):
    p = []
    for seed in range(40):
        X, y, runs = simulate(rng, 0.0, n_runs=4, n_repeats=2, n_neuroids=8)
        null = compute_permutation_null(
            X, y, runs, classifier=CorrelationClassifier(), n_permutations=19, seed=seed
        )
        accuracy = decode_left_out_runs(X, y, runs, classifier=CorrelationClassifier()).accuracy
        p.append(compute_p_value(accuracy, null)[0])
    assert np.mean(np.array(p) <= 0.1) < 0.2
    assert 0.4 < np.mean(p) < 0.68


def test_bad_input(rng):
    X, y, runs = simulate(rng, effect=1.0)
    with pytest.raises(ValueError, match="X must be finite, got 1 NaN"):
        decode_left_out_runs(np.where(X[0, 0] == X, np.nan, X), y, runs)
    with pytest.raises(
        ValueError, match=r"runs must have one entry per row of X \(54, 30\), got shape \(53,\)"
    ):
        decode_left_out_runs(X, y, runs[1:])
    with pytest.raises(ValueError, match="runs must hold at least 2 different values, got 1"):
        decode_left_out_runs(X, y, np.zeros(54))
    with pytest.raises(ValueError, match="every category in at least 2 runs, got 'rare'"):
        decode_left_out_runs(X, np.where(np.arange(54) == 0, "rare", y.astype("U5")), runs)

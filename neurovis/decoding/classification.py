"""Category decoding with one run left out at a time, its classifiers and its permutation null."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted

from neurovis.core import check_array, make_rng
from neurovis.core.estimators import validate_estimator_input
from neurovis.metrics.regression import standardise_columns


class CorrelationClassifier(ClassifierMixin, BaseEstimator):
    """Category whose mean training pattern correlates best with a pattern.

    Attributes
    ----------
    classes_ : array of shape (n_classes,)
        Categories, sorted.
    mean_ : array of shape (n_neuroids,)
        Mean over the categories' mean patterns, taken out of every pattern before correlating.
    templates_ : array of shape (n_classes, n_neuroids)
        Mean pattern of each category minus ``mean_``, standardised over neuroids.
    n_features_in_ : int
        Number of neuroids.

    Notes
    -----
    After Haxby et al., Science 2001. They take out the mean over categories within each half of the data;
    here the mean of the training rows is taken out of both sides, so that the class of a test pattern does
    not depend on what else is tested.
    """

    def _more_tags(self) -> dict[str, Any]:
        reason = (
            "a correlation over the two features of the toy problem is 1 or -1 and cannot tell three classes"
        )
        return {"poor_score": True, "_xfail_checks": {"check_classifiers_classes": reason}}

    def fit(self, X: ArrayLike, y: ArrayLike) -> Self:
        """Average the patterns of each category.

        Parameters
        ----------
        X : array of shape (n, n_neuroids)
            Patterns.
        y : array of shape (n,)
            Category of each.

        Returns
        -------
        CorrelationClassifier
            Itself.

        Raises
        ------
        ValueError
            If a value is not finite, rows differ or there is one category only.
        """
        patterns, labels = validate_estimator_input(self, X, y, dtype=np.float64)
        check_classification_targets(labels)
        self.classes_ = np.unique(labels)
        if len(self.classes_) < 2:
            raise ValueError(
                f"y must hold at least 2 categories, got 1 class, {self.classes_[0]!r}; add the others."
            )
        means = np.array([patterns[labels == category].mean(axis=0) for category in self.classes_])
        self.mean_ = means.mean(axis=0)
        self.templates_ = standardise_columns((means - self.mean_).T).T
        return self

    def decision_function(self, X: ArrayLike) -> NDArray[np.float64]:
        """Correlation with each category's mean pattern.

        Parameters
        ----------
        X : array of shape (n, n_neuroids)
            Patterns.

        Returns
        -------
        array of shape (n, n_classes), or (n,) for two classes
            Pearson r over neuroids; for two classes that of the second minus that of the first.

        Raises
        ------
        sklearn.exceptions.NotFittedError
            Before :meth:`fit`.
        """
        check_is_fitted(self)
        patterns = validate_estimator_input(self, X, dtype=np.float64, reset=False)
        r = standardise_columns((patterns - self.mean_).T).T @ self.templates_.T
        return r[:, 1] - r[:, 0] if len(self.classes_) == 2 else r

    def predict(self, X: ArrayLike) -> NDArray:
        """Category of the highest correlation.

        Parameters
        ----------
        X : array of shape (n, n_neuroids)
            Patterns.

        Returns
        -------
        array of shape (n,)
        """
        r = self.decision_function(X)
        return self.classes_[(r > 0).astype(int) if r.ndim == 1 else np.argmax(r, axis=1)]


def make_linear_svm(*, C: float = 1.0) -> Pipeline:
    """Linear support-vector machine behind a scaler that is fitted on the training rows only.

    Parameters
    ----------
    C : float
        Inverse strength of the penalty; pairs of categories vote (one against one).

    Returns
    -------
    sklearn.pipeline.Pipeline
    """
    return make_pipeline(StandardScaler(), SVC(kernel="linear", C=C))


@dataclass(frozen=True)
class Decoding:
    """Held-out predictions of every trial.

    Parameters
    ----------
    predicted : array of shape (n,)
        Category given to each row by a classifier that never saw the row's run.
    runs : array of shape (n_runs,)
        Left-out runs.
    accuracy_by_run : array of shape (n_runs,)
        Share of correct rows in each.
    classes : array of shape (n_classes,)
        Categories, sorted.
    confusion : array of shape (n_classes, n_classes)
        Counts; true category by row, predicted by column.
    """

    predicted: NDArray
    runs: NDArray
    accuracy_by_run: NDArray[np.float64]
    classes: NDArray
    confusion: NDArray[np.int_]

    @property
    def accuracy(self) -> float:
        """Share of correct rows."""
        return float(np.trace(self.confusion) / self.confusion.sum())


def decode_left_out_runs(X: ArrayLike, y: ArrayLike, runs: ArrayLike, *, classifier: Any = None) -> Decoding:
    """Predict the categories of each run with a classifier trained on all other runs.

    Parameters
    ----------
    X : array of shape (n, n_neuroids)
        Patterns; any scaling that looks at the rows belongs into the classifier's pipeline.
    y : array of shape (n,)
        Category of each row.
    runs : array of shape (n,)
        Run of each row; at least two.
    classifier : scikit-learn classifier, optional
        Cloned for each run; :func:`make_linear_svm` by default.

    Returns
    -------
    Decoding

    Raises
    ------
    ValueError
        If a value is not finite, lengths differ, there is one run or category only, or a category occurs in
        one run only, so that it cannot be learned when that run is left out.
    """
    X, y, runs = _check_rows(X, y, runs)
    classifier = make_linear_svm() if classifier is None else classifier
    classes, run_names = np.unique(y), np.unique(runs)
    predicted = np.empty_like(y)
    for run in run_names:
        test = runs == run
        predicted[test] = clone(classifier).fit(X[~test], y[~test]).predict(X[test])
    confusion = np.zeros((len(classes), len(classes)), dtype=int)
    np.add.at(confusion, (np.searchsorted(classes, y), np.searchsorted(classes, predicted)), 1)
    accuracy = np.array([(predicted == y)[runs == run].mean() for run in run_names])
    return Decoding(predicted, run_names, accuracy, classes, confusion)


def compute_permutation_null(
    X: ArrayLike,
    y: ArrayLike,
    runs: ArrayLike,
    *,
    classifier: Any = None,
    n_permutations: int = 200,
    seed: int = 0,
) -> NDArray[np.float64]:
    """Accuracies after permuting categories within runs, everything else repeated as it was.

    Permuting within runs keeps the number of each category per run and whatever rows of a run share.

    Parameters
    ----------
    X, y, runs, classifier
        As :func:`decode_left_out_runs`.
    n_permutations : int
        Permutations; each one fits as many classifiers as there are runs.
    seed : int
        Seed of the permutations.

    Returns
    -------
    array of shape (n_permutations,)
        For :func:`neurovis.metrics.significance.compute_p_value`.

    Raises
    ------
    ValueError
        As :func:`decode_left_out_runs`.
    """
    X, y, runs = _check_rows(X, y, runs)
    rng = make_rng(seed, "decoding-null")
    own_rows = [np.flatnonzero(runs == run) for run in np.unique(runs)]
    null = np.empty(n_permutations)
    for number in range(n_permutations):
        shuffled = y.copy()
        for rows in own_rows:
            shuffled[rows] = y[rng.permutation(rows)]
        null[number] = decode_left_out_runs(X, shuffled, runs, classifier=classifier).accuracy
    return null


def _check_rows(X: ArrayLike, y: ArrayLike, runs: ArrayLike) -> tuple[NDArray, NDArray, NDArray]:
    X = check_array("X", X, ndim=2, remedy="drop neuroids with missing values")
    y, runs = np.asarray(y), np.asarray(runs)
    for name, values in (("y", y), ("runs", runs)):
        if values.shape != (len(X),):
            raise ValueError(
                f"{name} must have one entry per row of X {X.shape}, got shape {values.shape}; "
                "pass the labels of the same trials."
            )
        if len(np.unique(values)) < 2:
            raise ValueError(
                f"{name} must hold at least 2 different values, got {len(np.unique(values))}; "
                "decoding needs two categories and two runs."
            )
    for category in np.unique(y):
        if len(np.unique(runs[y == category])) < 2:
            raise ValueError(
                f"y must hold every category in at least 2 runs, got {category!r} in one only; "
                "drop it or merge runs."
            )
    return X, y, runs

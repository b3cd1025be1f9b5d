"""One door to scikit-learn's input validation, whose place changed in version 1.6."""

from __future__ import annotations

from typing import Any

from sklearn.base import BaseEstimator


def validate_estimator_input(estimator: BaseEstimator, *arrays: Any, **options: Any) -> Any:
    """Check ``X`` (and ``y``) for an estimator as scikit-learn does, and keep the number of features.

    Parameters
    ----------
    estimator : BaseEstimator
        The estimator that fits or predicts.
    *arrays : array-like
        ``X``, or ``X`` and ``y``.
    **options
        Of ``sklearn.utils.validation.validate_data``, e.g. ``reset=False`` when predicting.

    Returns
    -------
    array or tuple of array
        The checked input.

    Raises
    ------
    ValueError
        Worded by scikit-learn.
    """
    try:
        from sklearn.utils.validation import validate_data
    except ImportError:  # scikit-learn before 1.6, which the Brain-Score pins need
        return estimator._validate_data(*arrays, **options)  # noqa: SLF001
    return validate_data(estimator, *arrays, **options)

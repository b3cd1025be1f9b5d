"""Which digit was seen, and what did it look like: decoding and reconstruction from V1-V3.

Data of van Gerven, de Lange & Heskes (Neural Computation 2010). The digit is decoded with a linear support
vector machine, the image reconstructed with ridge regression from voxels to pixels; theirs is a hierarchical
generative model, this is the linear baseline.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.decomposition import PCA
from sklearn.model_selection import KFold, StratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from neurovis.core import make_rng
from neurovis.datasets.digit69 import NAME, load_digit69
from neurovis.encoding.ridge import Ridge
from neurovis.evaluation.studies.resampling import compute_bootstrap_ci, permute_within
from neurovis.evaluation.studies.results import StudyResult, make_result_row, make_result_table

_N_FOLDS = 5
_ALPHAS = np.geomspace(1e1, 1e6, 11)  # voxels are z-scored, so the largest eigenvalue is about 1e5
_SPLIT = "5 stratified folds, scaling and penalty within training folds; interval resamples trials; "
_LABELS = "null permutes digits over the trials of a fold"
_ANY = "null permutes images over trials"
_SAME = "null permutes images over trials of the same digit"


@dataclass(frozen=True)
class _Fold:
    """Training and test trials, z-scored by the training trials and rotated onto their span.

    Linear machines and ridge do not notice the rotation, and it need not be repeated for permutations.
    """

    X_train: NDArray[np.float64]
    X_test: NDArray[np.float64]
    train: NDArray[np.intp]
    test: NDArray[np.intp]


def analyse_digit69(
    root: str | Path | None = None,
    *,
    n_permutations: int = 100,
    seed: int = 0,
    cache: str | Path | None = None,
) -> StudyResult:
    """Decode the digit, reconstruct the image, and identify it among the others.

    Parameters
    ----------
    root, cache : path, optional
        As in :func:`neurovis.datasets.digit69.load_digit69`.
    n_permutations : int
        Permutations of each null; the whole cross-validation is repeated for each.
    seed : int
        Of folds, permutations and bootstraps.

    Returns
    -------
    StudyResult
        ``figures_data``: ``images`` and ``reconstructions`` (n, 28, 28; 0-1, the latter not clipped),
        ``digit``, ``accuracy`` (hit or miss) and ``pixel_correlation`` (n,), ``null_accuracy`` and
        ``null_pixel_correlation`` (n_permutations,).

    Notes
    -----
    Digits look alike, so any digit correlates with any reconstruction: the pixel correlation is compared
    with permuted images (does the response matter at all), and with images permuted within a digit (does it
    say more than which digit it was). Identification asks whether a reconstruction correlates better with
    its own image than with another one, on average over the others.
    """
    stimuli, responses = load_digit69(root=root, cache=cache)
    X = responses.values
    digit = stimuli.table["digit"].to_numpy()
    images = np.stack([stimuli.load(name)[..., 0] for name in responses["stimulus_id"].values]) / 255.0
    pixels = images.reshape(len(images), -1)

    folds = _make_folds(X, digit, seed)
    rng = make_rng(seed, NAME, "digit")
    correct = _decode_digit(folds, digit)
    # Within the test trials of a fold, so that folds stay as balanced as they are for the true digits: others
    # decode below chance.
    fold = np.empty(len(digit), dtype=int)
    for number, one in enumerate(folds):
        fold[one.test] = number
    null_accuracy = np.array(
        [_decode_digit(folds, digit[permute_within(fold, rng)]).mean() for _ in range(n_permutations)]
    )
    reconstruction = _reconstruct(folds, pixels)
    measured = _measure(reconstruction, pixels, digit)
    anything = np.zeros(len(digit))
    null_any = _permute_images(folds, pixels, digit, anything, n_permutations, make_rng(seed, NAME, "any"))
    null_same = _permute_images(folds, pixels, digit, digit, n_permutations, make_rng(seed, NAME, "same"))

    def make_row(quantity: str, cases: NDArray, null: NDArray, permuted: str, **extra: Any) -> dict[str, Any]:
        rng = make_rng(seed, NAME, "ci", quantity)
        low, high = compute_bootstrap_ci(lambda drawn: cases[drawn].mean(), len(cases), rng)
        return make_result_row(
            study=NAME,
            subject="1",
            region="V1-V3",
            quantity=quantity,
            value=cases.mean(),
            ci=(float(low), float(high)),
            null=null,
            n=len(cases),
            split=_SPLIT + permuted,
            **extra,
        )

    r, gain, identified, identified_same = measured
    rows = [
        make_row("accuracy, six or nine", correct, null_accuracy, _LABELS, chance=0.5, reference=0.93),
        make_row("pixel correlation with the image", r, null_any[0], _ANY),
        make_row("the same minus that with other images of the digit", gain, null_same[1], _SAME, chance=0.0),
        make_row("identification among all images", identified, null_any[2], _ANY, chance=0.5),
        make_row(
            "identification among images of the digit", identified_same, null_same[3], _SAME, chance=0.5
        ),
    ]
    figures = {
        "images": images,
        "reconstructions": reconstruction.reshape(images.shape),
        "digit": digit,
        "pixel_correlation": r,
        "accuracy": correct,
        "null_accuracy": null_accuracy,
        "null_pixel_correlation": null_any[0],
    }
    return StudyResult(make_result_table(rows), figures)


def _make_folds(X: NDArray, digit: NDArray, seed: int) -> list[_Fold]:
    folds = []
    for train, test in StratifiedKFold(_N_FOLDS, shuffle=True, random_state=seed).split(X, digit):
        rotation = make_pipeline(StandardScaler(), PCA(svd_solver="full")).fit(X[train])
        folds.append(_Fold(rotation.transform(X[train]), rotation.transform(X[test]), train, test))
    return folds


def _decode_digit(folds: list[_Fold], digit: NDArray) -> NDArray[np.float64]:
    """Hit (1) or miss (0) of each trial."""
    correct = np.empty(len(digit))
    for fold in folds:
        machine = SVC(kernel="linear").fit(fold.X_train, digit[fold.train])
        correct[fold.test] = machine.predict(fold.X_test) == digit[fold.test]
    return correct


def _reconstruct(folds: list[_Fold], pixels: NDArray) -> NDArray[np.float64]:
    """Reconstruction of every trial from a model that was fitted without it, (n, n_pixels)."""
    reconstruction = np.empty_like(pixels)
    for fold in folds:
        # Trials are sorted by digit, so the inner folds must be shuffled. The rotated features stay as they
        # are: scaling each to unit variance would undo the order that the rotation found.
        inner = KFold(_N_FOLDS, shuffle=True, random_state=0)
        model = Ridge(_ALPHAS, cv=inner, standardise=False).fit(fold.X_train, pixels[fold.train])
        reconstruction[fold.test] = model.predict(fold.X_test)
    return reconstruction


def _measure(reconstruction: NDArray, pixels: NDArray, digit: NDArray) -> NDArray[np.float64]:
    """Four numbers for each trial (4, n).

    Pixel correlation with its image; that minus the mean with other images of the digit; share of all other
    images, and of those of the digit, that it correlates less with than with its own.
    """
    n = len(pixels)
    r = np.corrcoef(reconstruction, pixels)[:n, n:]
    own = np.diagonal(r)
    better = (own[:, None] > r) + 0.5 * (own[:, None] == r)
    other = ~np.eye(n, dtype=bool)
    same = other & (digit[:, None] == digit)
    gain = own - np.average(r, axis=1, weights=same)
    return np.stack(
        [own, gain, np.average(better, axis=1, weights=other), np.average(better, axis=1, weights=same)]
    )


def _permute_images(
    folds: list[_Fold],
    pixels: NDArray,
    digit: NDArray,
    groups: NDArray,
    n_permutations: int,
    rng: np.random.Generator,
) -> NDArray[np.float64]:
    """Means of :func:`_measure` when images are exchanged within groups before training, (4, n)."""
    null = np.empty((4, n_permutations))
    for index in range(n_permutations):
        order = permute_within(groups, rng)
        reconstruction = _reconstruct(folds, pixels[order])
        null[:, index] = _measure(reconstruction, pixels[order], digit[order]).mean(axis=1)
    return null

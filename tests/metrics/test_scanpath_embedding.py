import numpy as np
import pytest

from neurovis.metrics.scanpath_embedding import compute_time_delay_embedding

A = np.array([[100.0, 100.0], [300.0, 100.0], [300.0, 300.0], [100.0, 300.0]])


def _embed_slowly(model, human, side):
    model, human = model / side, human / side
    scores = []
    for k in range(1, min(len(model), len(human)) + 1):
        errors = []
        for i in range(len(model) - k + 1):
            window = model[i : i + k]
            errors.append(
                min(
                    sum(np.linalg.norm(p - q) for p, q in zip(window, human[j : j + k], strict=True))
                    for j in range(len(human) - k + 1)
                )
                / k
            )
        scores.append(np.exp(-np.mean(errors)))
    return np.mean(scores)


def test_equals_the_definition(rng):
    first, second = (
        [rng.uniform((0, 0), (800, 600), (n, 2)) for n in rng.integers(1, 12, 40)] for _ in range(2)
    )
    found = compute_time_delay_embedding(first, second, size_px=(600, 800))
    slow = [_embed_slowly(a, b, 800) for a, b in zip(first, second, strict=True)]
    np.testing.assert_allclose(found, slow, atol=1e-12)


def test_known_values():
    models = [A, A[[0, 2, 1, 3]], np.add(A, (40, 0))]
    found = compute_time_delay_embedding(models, [A] * 3, size_px=(400, 400))
    np.testing.assert_allclose(found, [1, 0.8119, np.exp(-0.1)], atol=5e-5)


def test_a_piece_of_a_path_is_in_it_but_not_the_path_in_the_piece():
    found = compute_time_delay_embedding([A[1:3], A], [A, A[1:3]], size_px=(400, 400))
    assert found[0] == pytest.approx(1)
    assert found[1] < 0.9
    with pytest.raises(ValueError, match="at least one fixation"):
        compute_time_delay_embedding([A], [A[:0]], size_px=(400, 400))

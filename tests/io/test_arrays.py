import numpy as np
import pytest
from scipy.io import savemat

from neurovis.io.arrays import read_mat, read_npz


@pytest.fixture(params=["mat", "npz"])
def made(request, tmp_path, rng):
    arrays = {"a": rng.normal(size=(40, 50)), "b": np.arange(6.0).reshape(2, 3)}
    path = tmp_path / f"x.{request.param}"
    if request.param == "mat":
        savemat(path, arrays, do_compression=True)
        return path, arrays, read_mat
    np.savez_compressed(path, **arrays)
    return path, arrays, read_npz


def test_wanted_arrays_come_back(made):
    path, arrays, read = made
    found = read(path, ["b"])
    assert list(found) == ["b"]
    np.testing.assert_array_equal(found["b"], arrays["b"])


def test_missing_arrays_are_named(made):
    path, _, read = made
    with pytest.raises(ValueError, match=r"'a', 'b'\].*without \['c'\]"):
        read(path, ["a", "c"])


@pytest.mark.parametrize("keep", [0.0, 0.1, 0.5, 0.95])
def test_truncated_files_are_refused(made, keep):
    path, _, read = made
    content = path.read_bytes()
    path.write_bytes(content[: int(keep * len(content))])
    with pytest.raises(ValueError, match="truncated or not a"):
        read(path, ["a", "b"])


def test_foreign_and_missing_files_are_refused(made, tmp_path):
    path, _, read = made
    path.write_text("this is not an array container, but a text that is long enough for a header " * 4)
    with pytest.raises(ValueError, match="truncated or not a"):
        read(path, ["a"])
    with pytest.raises(FileNotFoundError, match=r"nothing\.bin"):
        read(tmp_path / "nothing.bin", ["a"])


def test_pickles_and_single_arrays_are_not_loaded(tmp_path):
    np.savez(tmp_path / "p.npz", a=np.array([{}], dtype=object))
    with pytest.raises(ValueError, match="not a NumPy archive"):
        read_npz(tmp_path / "p.npz", ["a"])
    np.save(tmp_path / "s.npy", np.zeros(3))
    with pytest.raises(ValueError, match="not a NumPy archive"):
        read_npz(tmp_path / "s.npy", ["a"])

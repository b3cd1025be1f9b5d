"""Encoders survive the disk; foreign and truncated files are refused."""

import numpy as np
import pytest

from neurovis.encoding.ridge import Ridge
from neurovis.encoding.storage import read_ridge, write_ridge

safetensors = pytest.importorskip("safetensors.numpy")


@pytest.mark.parametrize("columns", [slice(None), 0])
def test_round_trip_predicts_alike(columns, rng, tmp_path):
    X, y = rng.normal(size=(30, 4)), rng.normal(size=(30, 3))[:, columns]
    fitted = Ridge(standardise=False).fit(X, y)
    read = read_ridge(write_ridge(fitted, tmp_path / "deep" / "ridge.safetensors"))
    np.testing.assert_array_equal(read.predict(X), fitted.predict(X))
    np.testing.assert_array_equal(read.alpha_, fitted.alpha_)
    assert read.standardise is False
    with pytest.raises(ValueError, match="features"):
        read.predict(X[:, :3])


def test_bad_files(rng, tmp_path):
    with pytest.raises(ValueError, match="encoder must be fitted"):
        write_ridge(Ridge(), tmp_path / "a.safetensors")
    with pytest.raises(FileNotFoundError, match="no encoder at"):
        read_ridge(tmp_path / "a.safetensors")
    safetensors.save_file({"x": np.ones(2)}, str(tmp_path / "foreign.safetensors"))
    with pytest.raises(ValueError, match="must have the format"):
        read_ridge(tmp_path / "foreign.safetensors")
    whole = write_ridge(
        Ridge().fit(rng.normal(size=(9, 2)), rng.normal(size=(9, 2))), tmp_path / "b.safetensors"
    )
    whole.write_bytes(whole.read_bytes()[:-20])
    with pytest.raises(ValueError, match="truncated or no safetensors file"):
        read_ridge(whole)

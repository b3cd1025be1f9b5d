import numpy as np
import pandas as pd
import pytest

from neurovis.datasets.images import write_images_once


def _table(n):
    return pd.DataFrame(
        {"digit": np.arange(n)}, index=pd.Index([f"s{i}" for i in range(n)], name="stimulus_id")
    )


def test_pixels_survive_and_files_are_written_once(tmp_path, rng):
    images = rng.integers(0, 256, size=(3, 5, 4, 3), dtype=np.uint8)
    first = write_images_once(images, _table(3), name="toy", size_dva=(5, 4), cache=tmp_path)
    np.testing.assert_array_equal(first.load("s2"), images[2])
    stamp = first.path("s0").stat().st_mtime_ns
    second = write_images_once(images, _table(3), name="toy", size_dva=(5, 4), cache=tmp_path)
    assert second.root == first.root
    assert second.path("s0").stat().st_mtime_ns == stamp
    assert second.table["digit"].tolist() == [0, 1, 2]


def test_other_images_tables_and_sizes_get_other_folders(tmp_path, rng):
    images = rng.integers(0, 256, size=(3, 5, 4), dtype=np.uint8)
    changed = images.copy()
    changed[0, 0, 0] ^= 1
    sets = [
        write_images_once(images, _table(3), name="toy", size_dva=(5, 4), cache=tmp_path),
        write_images_once(changed, _table(3), name="toy", size_dva=(5, 4), cache=tmp_path),
        write_images_once(images, _table(3) + 1, name="toy", size_dva=(5, 4), cache=tmp_path),
        write_images_once(images, _table(3), name="toy", size_dva=(10, 8), cache=tmp_path),
    ]
    assert len({stimuli.root for stimuli in sets}) == 4


def test_wrong_images_are_refused_before_anything_is_written(tmp_path):
    with pytest.raises(TypeError, match="uint8"):
        write_images_once(np.zeros((3, 5, 4)), _table(3), name="toy", size_dva=(5, 4), cache=tmp_path)
    with pytest.raises(ValueError, match="3 rows of table, got 2"):
        write_images_once(
            np.zeros((2, 5, 4), np.uint8), _table(3), name="toy", size_dva=(5, 4), cache=tmp_path
        )
    assert not list(tmp_path.iterdir())

"""Label tables are read; whatever a pickle could do beyond that is refused and not done."""

import os
import pickle

import numpy as np
import pytest

from neurovis.io.npy_mapping import read_npy_mapping

TABLE = {0: "Unknown", 1: "V1v", 2: "V1d", 300: "hV4"}


@pytest.mark.parametrize("kind", [int, np.int64, np.int32, np.uint8, np.uint16])
def test_tables_of_every_key_type_are_read(tmp_path, kind):
    table = {kind(key): name for key, name in TABLE.items() if kind is not np.uint8 or key < 256}
    np.save(tmp_path / "mapping.npy", table)
    read = read_npy_mapping(tmp_path / "mapping.npy")
    assert read == table
    assert {type(key) for key in read} == {int}


class Harmful:
    def __init__(self, target):
        self.target = target

    def __reduce__(self):
        return os.mkdir, (str(self.target),)


@pytest.mark.parametrize("wrap", [lambda x: {0: "Unknown", 1: x}, lambda x: x, lambda x: [x]])
def test_code_in_the_file_is_refused_and_not_run(tmp_path, wrap):
    target = tmp_path / "made"
    path = tmp_path / "mapping.npy"
    np.save(path, np.array(wrap(Harmful(target)), dtype=object).reshape(()))
    with pytest.raises(ValueError, match=r"nothing else, got posix\.mkdir; do not load"):
        read_npy_mapping(path)
    assert not target.exists()
    np.load(path, allow_pickle=True)
    assert target.exists()


def test_what_is_no_table_is_refused(tmp_path):
    path = tmp_path / "mapping.npy"
    for content in ({"V1v": 1}, {1: 2}, [1, "V1v"], {1.5: "V1v"}):
        np.save(path, np.array(content, dtype=object) if isinstance(content, dict) else content)
        with pytest.raises(ValueError, match=r"mapping\.npy must hold"):
            read_npy_mapping(path)
    for content in (np.arange(3), np.array([TABLE, TABLE], dtype=object)):
        np.save(path, content)
        with pytest.raises(ValueError, match="one dictionary of whole numbers"):
            read_npy_mapping(path)
    np.save(path, TABLE)
    content = path.read_bytes()
    for broken in (content[:-20], content[:40], b"hello", pickle.dumps(TABLE)):
        path.write_bytes(broken)
        with pytest.raises(ValueError, match=r"truncated or not a NumPy file|must hold"):
            read_npy_mapping(path)
    with pytest.raises(FileNotFoundError, match="no file at"):
        read_npy_mapping(tmp_path / "absent.npy")

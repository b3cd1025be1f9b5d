"""Encoders survive the disk; foreign, truncated and mismatched files are refused."""

import importlib
import json

import numpy as np
import pytest
from sklearn.base import BaseEstimator
from sklearn.linear_model import LinearRegression
from sklearn.model_selection import GroupKFold, KFold

from neurovis.encoding import storage
from neurovis.encoding.best_layer import BestLayer
from neurovis.encoding.prf import PRF
from neurovis.encoding.ridge import Ridge
from neurovis.encoding.stacking import Stacked
from neurovis.encoding.storage import (
    ENCODER_CLASSES,
    compute_neuroid_hash,
    read_encoder,
    write_encoder,
)

safetensors = pytest.importorskip("safetensors.numpy")
IDS = ["a", "b", "c"]


class Pair(BaseEstimator):
    """Two encoders as one, with every kind of parameter that a file may hold."""

    _FITTED = ("members_", "by_name_")

    def __init__(self, first=None, labels=None, options=None, cv=None):
        self.first, self.labels, self.options, self.cv = first, labels, options, cv

    def fit(self, X, y):
        self.members_ = [Ridge(alphas=a).fit(X, y) for a in (1.0, 100.0)]
        self.by_name_ = {"a": {"b": np.arange(3)}, "a.b": np.ones((2, 2), dtype="f4"), "none": None}
        self.n_features_in_ = X.shape[1]
        return self

    def predict(self, X):
        return sum(member.predict(X) for member in self.members_) / 2


@pytest.fixture
def problem(rng):
    return rng.normal(size=(30, 4)), rng.normal(size=(30, 3))


@pytest.fixture
def whole(problem, tmp_path):
    return write_encoder(Ridge().fit(*problem), tmp_path / "b.safetensors", neuroid_ids=IDS)


@pytest.fixture
def pair_is_known(monkeypatch):
    # The module that tests are imported from has no name that import_module could find again.
    module = type("Module", (), {"Pair": Pair})
    monkeypatch.setattr(storage, "ENCODER_CLASSES", {**ENCODER_CLASSES, "Pair": Pair.__module__})
    original = importlib.import_module
    monkeypatch.setattr(
        storage.importlib, "import_module", lambda name: module if name == Pair.__module__ else original(name)
    )


def rewrite(path, change=None, **arrays):
    """The same file with another record or other arrays."""
    with importlib.import_module("safetensors").safe_open(str(path), framework="numpy") as stream:
        record = json.loads(stream.metadata()["record"])
        kept = {name: stream.get_tensor(name) for name in stream.keys()}  # noqa: SIM118 (not a dict)
    kept = {name: array for name, array in {**kept, **arrays}.items() if array is not None}
    if change:
        change(record)
    safetensors.save_file(kept, str(path), metadata={"record": json.dumps(record)})


@pytest.mark.parametrize("name", sorted(ENCODER_CLASSES))
def test_every_class_of_the_table_is_there(name):
    made = getattr(importlib.import_module(ENCODER_CLASSES[name]), name)
    assert isinstance(made._FITTED, tuple)
    assert ENCODER_CLASSES[name].startswith("neurovis.encoding.")


@pytest.mark.parametrize("columns", [slice(None), 0])
@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_round_trip_predicts_alike(columns, dtype, problem, tmp_path):
    X, y = problem[0].astype(dtype), problem[1][:, columns].astype(dtype)
    ids = IDS if y.ndim == 2 else IDS[:1]
    fitted = Ridge(standardise=False, cv=KFold(3, shuffle=True, random_state=1)).fit(X, y)
    path = write_encoder(fitted, tmp_path / "deep" / "ridge.safetensors", neuroid_ids=ids)
    read = read_encoder(path, neuroid_ids=np.array(ids))
    np.testing.assert_array_equal(read.predict(X), fitted.predict(X))
    assert read.predict(X).dtype == fitted.predict(X).dtype
    np.testing.assert_array_equal(read.alpha_, fitted.alpha_)
    assert read.standardise is False
    assert repr(read.cv) == repr(fitted.cv)
    with pytest.raises(ValueError, match="features"):
        read.predict(X[:, :3])


@pytest.mark.parametrize("encoder", [BestLayer(np.arange(4) % 2), PRF(), Stacked(np.arange(4) % 2)])
def test_a_single_response_vector_stays_one(encoder, problem, tmp_path):
    X, y = problem
    fitted = encoder.fit(X, y[:, 0])
    read = read_encoder(write_encoder(fitted, tmp_path / "one.safetensors", neuroid_ids=IDS[:1]))
    assert read.predict(X).shape == (len(X),)
    np.testing.assert_array_equal(read.predict(X), fitted.predict(X))


def test_a_stack_of_encoders_round_trips(problem, tmp_path, pair_is_known):
    X, y = problem
    labels = np.array([["V1", "hV4"], ["", "V1"]])
    options = {"sizes": (1, 2.5), "words": ["a", None], "array": np.arange(4) > 1}
    fitted = Pair(Ridge(alphas=[1.0, 2.0]).fit(X, y), labels, options, GroupKFold(4)).fit(X, y)
    read = read_encoder(write_encoder(fitted, tmp_path / "pair.safetensors", neuroid_ids=IDS))
    np.testing.assert_array_equal(read.predict(X), fitted.predict(X))
    np.testing.assert_array_equal(read.first.predict(X), fitted.first.predict(X))
    np.testing.assert_array_equal(read.labels, labels)
    assert read.options["sizes"] == (1, 2.5)
    assert read.options["words"] == ["a", None]
    np.testing.assert_array_equal(read.options["array"], options["array"])
    assert read.cv.n_splits == 4
    np.testing.assert_array_equal(read.by_name_["a"]["b"], np.arange(3))
    np.testing.assert_array_equal(read.by_name_["a.b"], np.ones((2, 2)))
    assert read.by_name_["none"] is None


def test_labels_may_be_text_objects(problem, tmp_path):
    X, y = problem
    labels = np.array(["gabor", "words", "gabor", "words"], dtype=object)
    fitted = BestLayer(labels).fit(X, y)
    read = read_encoder(write_encoder(fitted, tmp_path / "a.safetensors", neuroid_ids=IDS))
    np.testing.assert_array_equal(read.layers, labels)
    np.testing.assert_array_equal(read.predict(X), fitted.predict(X))


def test_people_can_read_the_twin(whole):
    twin = json.loads(whole.with_suffix(".json").read_text())
    assert twin["encoder"]["class"] == "Ridge"
    assert twin["arrays"]["encoder.coef_"] == "float64 (4, 3)"
    assert twin["neuroid_hash"] == compute_neuroid_hash(IDS)
    whole.with_suffix(".json").unlink()
    read_encoder(whole)


@pytest.mark.parametrize(
    ("ids", "words"),
    [
        (["a", "c", "b"], "fitted to, in their order, got as many, but others or in another order"),
        (["a", "b"], "3 neuroids it was fitted to, in their order, got 2 neuroids"),
        (["a", "b", "a"], "neuroid_ids must be unique, got 1 repeated"),
    ],
)
def test_other_neuroids_are_refused(whole, ids, words):
    with pytest.raises(ValueError, match=words):
        read_encoder(whole, neuroid_ids=ids)


def test_hash_tells_ids_from_their_joins():
    assert compute_neuroid_hash(["a", "bc"]) != compute_neuroid_hash(["ab", "c"])


def test_encoders_that_cannot_be_written(problem, tmp_path):
    X, y = problem
    path = tmp_path / "a.safetensors"
    with pytest.raises(ValueError, match="encoder must be fitted, got Ridge without coef_"):
        write_encoder(Ridge(), path, neuroid_ids=IDS)
    with pytest.raises(TypeError, match=r"encoder must be .*Ridge.*, got sklearn.*LinearRegression"):
        write_encoder(LinearRegression().fit(X, y), path, neuroid_ids=IDS)
    fitted = Ridge().fit(X, y)
    with pytest.raises(ValueError, match="neuroid_ids must name the 3 neuroids of the encoder, got 2"):
        write_encoder(fitted, path, neuroid_ids=IDS[:2])
    with pytest.raises(TypeError, match="neuroid_ids must be a sequence of names, got the string 'abc'"):
        write_encoder(fitted, path, neuroid_ids="abc")
    with pytest.raises(ValueError, match=r"path must end in .safetensors, got 'a.npz'"):
        write_encoder(fitted, tmp_path / "a.npz", neuroid_ids=IDS)
    fitted.cv = iter([])
    with pytest.raises(TypeError, match=r"encoder.cv must be a JSON value.*got list_iterator"):
        write_encoder(fitted, path, neuroid_ids=IDS)
    fitted.cv = 5
    fitted.coef_[1, 1] = np.nan
    with pytest.raises(ValueError, match=r"encoder.coef_ must be finite, got 1 NaN"):
        write_encoder(fitted, path, neuroid_ids=IDS)
    assert not list(tmp_path.iterdir())


def test_truncated_and_foreign_files(whole, tmp_path):
    with pytest.raises(FileNotFoundError, match="no encoder at"):
        read_encoder(tmp_path / "none.safetensors")
    safetensors.save_file({"x": np.ones(2)}, str(tmp_path / "foreign.safetensors"))
    with pytest.raises(ValueError, match=r"must have the format 'neurovis.encoding/1', got None"):
        read_encoder(tmp_path / "foreign.safetensors")
    complete = whole.read_bytes()
    for kept in (0, 7, 40, len(complete) - 20):
        whole.write_bytes(complete[:kept])
        with pytest.raises(ValueError, match="truncated or no safetensors file"):
            read_encoder(whole)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda r: r["encoder"].update({"class": "Popen"}), "class of the stored encoder must be .*'Popen'"),
        (lambda r: r["encoder"]["parameters"].update(shell=True), "must hold a whole encoder.*shell"),
        (lambda r: r["encoder"]["fitted"].pop("coef_"), "must hold a whole encoder.*coef_"),
        (lambda r: r.update(format="neurovis.encoding/9"), "must have the format"),
        (
            lambda r: r["encoder"]["parameters"].update(cv={"splitter": ["check_cv", {"dict": {}}]}),
            "splitter must be .*got 'check_cv'",
        ),
        (lambda r: r["encoder"]["parameters"].update(cv={"code": "x"}), "kind of a stored value must be"),
    ],
)
def test_records_that_were_tampered_with(whole, change, words):
    rewrite(whole, change)
    with pytest.raises(ValueError, match=words):
        read_encoder(whole)


def test_damaged_arrays(whole):
    rewrite(whole, **{"encoder.coef_": np.full((4, 3), np.nan)})
    with pytest.raises(ValueError, match=r"encoder.coef_.*must be finite, got 12 NaN"):
        read_encoder(whole)
    rewrite(whole, **{"encoder.coef_": None})
    with pytest.raises(ValueError, match="must hold a whole encoder"):
        read_encoder(whole)

"""The bridge keeps every value and coordinate, and never meets a stale cache."""

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from PIL import Image

from neurovis.core import StimulusSet, average_repeats, make_neural_data
from neurovis.evaluation.brainscore import (
    compute_data_hash,
    from_brainscore_stimuli,
    from_neuroid_assembly,
    is_offline_error,
    load_public_benchmark,
    prepare_brainscore,
    read_assembly,
    to_brainscore_stimuli,
    to_neuroid_assembly,
    write_assembly,
)

pytest.importorskip("botocore", reason="Brain-Score is not installed; install the extra brainscore")
pytestmark = pytest.mark.filterwarnings("ignore")  # of Brain-Score's own 2022 stack


@pytest.fixture(scope="module", autouse=True)
def _home():
    prepare_brainscore()


def make_data(values, *, n_repeats, region="IT"):
    n_stimuli, n_neuroids = values.shape[0] // n_repeats, values.shape[1]
    return make_neural_data(
        values,
        rows="presentation",
        row_coords={
            "stimulus_id": np.tile([f"im{i:03d}" for i in range(n_stimuli)], n_repeats),
            "repeat": np.repeat(np.arange(n_repeats), n_stimuli),
            "session": np.repeat(np.arange(n_repeats), n_stimuli) // 2,
        },
        neuroid_coords={
            "neuroid_id": [f"v{i}" for i in range(n_neuroids)],
            "subject": np.where(np.arange(n_neuroids) % 2, "02", "01"),
            "region": [region] * n_neuroids,
            "vertex": np.arange(n_neuroids),
            "ncsnr": np.linspace(0.1, 2, n_neuroids),
            "in_V1": np.arange(n_neuroids) % 3 == 0,
        },
        units="z",
        source="miniature",
    )


@pytest.fixture
def data(rng):
    return make_data(rng.normal(size=(60, 7)), n_repeats=3)


@pytest.fixture
def stimuli(tmp_path, rng):
    ids = [f"im{i:03d}" for i in range(20)]
    for item in ids:
        Image.fromarray(rng.integers(0, 255, (8, 8, 3), dtype=np.uint8)).save(tmp_path / f"{item}.png")
    table = pd.DataFrame({"path": [f"{item}.png" for item in ids]}, index=ids)
    table["category"] = [("face", "place")[i % 2] for i in range(20)]
    return StimulusSet("miniature", table, tmp_path, (8.0, 8.0))


@pytest.mark.parametrize("averaged", [False, True])
def test_data_survive_the_round_trip(data, stimuli, averaged):
    data = average_repeats(data) if averaged else data
    assembly = to_neuroid_assembly(data, stimuli)
    assert list(assembly["object_name"].values[:2]) == ["face", "place"]
    xr.testing.assert_identical(from_neuroid_assembly(assembly), data)
    xr.testing.assert_identical(from_neuroid_assembly(assembly.transpose("neuroid", "presentation")), data)


def test_netcdf_keeps_values_indexes_and_time_bin(data, stimuli, tmp_path):
    assembly = to_neuroid_assembly(data, stimuli, time_bin_ms=(70, 170))
    path = write_assembly(assembly, tmp_path / "assy.nc")
    again = read_assembly(path)
    assert again["time_bin"].item() == (70, 170)
    assert again.get_index("presentation").names == assembly.get_index("presentation").names
    back = from_neuroid_assembly(again)
    np.testing.assert_array_equal(back.values, data.values)
    np.testing.assert_array_equal(back["session"].values, data["session"].values)
    with pytest.raises(FileNotFoundError, match="write_assembly"):
        read_assembly(tmp_path / "absent.nc")


def test_stimuli_survive_the_round_trip_and_are_named_by_content(stimuli):
    converted = to_brainscore_stimuli(stimuli)
    back = from_brainscore_stimuli(converted, size_dva=(8, 8))
    assert back.stimulus_ids == stimuli.stimulus_ids
    np.testing.assert_array_equal(back.load("im003"), stimuli.load("im003"))
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(stimuli.path("im003"))
    assert to_brainscore_stimuli(stimuli).identifier != converted.identifier


def test_identifiers_change_with_a_single_value(data):
    other = data.copy(deep=True)
    other.values[0, 0] += 1e-9
    assert compute_data_hash(other) != compute_data_hash(data)
    assert to_neuroid_assembly(other).attrs["identifier"] != to_neuroid_assembly(data).attrs["identifier"]
    assert compute_data_hash(data.copy(deep=True)) == compute_data_hash(data)


def test_bad_input_is_named(data, stimuli):
    with pytest.raises(ValueError, match="time window"):
        to_neuroid_assembly(data.expand_dims(time=[0.0], axis=2))
    with pytest.raises(ValueError, match="'im019'"):
        to_neuroid_assembly(data, stimuli.subset(stimuli.stimulus_ids[:19]))


def test_home_cannot_change_after_import(data, tmp_path):
    to_neuroid_assembly(data)
    import result_caching  # noqa: F401

    assert prepare_brainscore() == prepare_brainscore()
    with pytest.raises(RuntimeError, match="before Brain-Score is imported"):
        prepare_brainscore(tmp_path)


def test_missing_network_is_told_from_a_wrong_name():
    from botocore.exceptions import EndpointConnectionError

    wrapped = Exception([ValueError("x"), EndpointConnectionError(endpoint_url="http://127.0.0.1:9")])
    assert is_offline_error(wrapped)
    assert not is_offline_error(Exception([ValueError("x")]))
    with pytest.raises(ValueError, match="nosuch-benchmark"):
        load_public_benchmark("nosuch-benchmark")


def test_public_benchmark_says_that_the_network_is_missing(monkeypatch):
    import brainscore_vision
    from botocore.exceptions import EndpointConnectionError

    def refuse(identifier):
        # A bare Exception around a list is what the S3 loader raises.
        raise Exception([EndpointConnectionError(endpoint_url="http://127.0.0.1:9")])  # noqa: TRY002

    monkeypatch.setattr(brainscore_vision, "load_benchmark", refuse)
    with pytest.raises(ConnectionError, match=r"MajajHong2015public\.IT-pls.*make_benchmark"):
        load_public_benchmark("MajajHong2015public.IT-pls")

"""Physiology of units whose tuning is known: the published numbers, planted tuning, and refusals."""

import itertools

import numpy as np
import pandas as pd
import pytest

from neurovis.motion.energy import MotionEnergyPyramid
from neurovis.motion.energy_units import (
    KERNEL_RADIUS_PX,
    N_TAPS,
    EnergyUnits,
    PatternUnits,
    PyramidUnits,
    compute_pattern_weights,
)
from neurovis.motion.neurophysiology import (
    Screen,
    examine_units,
    find_optima,
    measure_gratings,
    measure_plaids,
    measure_responses,
    summarise_stages,
)
from neurovis.motion.neurophysiology_fits import (
    classify_by_z,
    classify_plaids,
    compute_opponent_index,
    compute_partial_pair,
    compute_speed_surface,
    describe_directions,
    fit_speed_tuning,
)
from neurovis.motion.protocols import MotionUnits
from neurovis.stimuli.motion_probes import make_drifting_grating

DIRECTIONS = np.arange(0, 360, 30.0)
# The conditions under which the numbers of the model's description were measured.
PUBLISHED = Screen(size_px=(64, 64), n_frames=16, border=14)
OPTIMUM = {"spatial_frequencies_cpp": [0.1], "temporal_frequencies_cpf": [0.125]}
SMALL = Screen(size_px=(40, 40), n_frames=10, border=14)


class PlantedUnits:
    """Tuning set by hand: the strongest wave of a movie is read off its spectrum."""

    name = "planted"
    stages = ("separable", "speed")
    fps = 20.0

    def respond(self, movie):
        wave = np.fft.fftn(movie - movie.mean())
        place = np.unravel_index(np.abs(wave).argmax(), wave.shape)
        w, fy, fx = (np.fft.fftfreq(n)[k] for n, k in zip(movie.shape, place, strict=True))
        direction = np.angle(-np.sign(w) * complex(fx, -fy))
        parameters = np.array([2.0, np.log2(0.125), 1.0, np.log2(0.125), 0.9, 0.0])
        bell = np.exp((np.cos(direction - np.pi / 2) - 1) * 3)
        out = {}
        for slope, stage in enumerate(self.stages):
            parameters[5] = slope
            tuned = bell * compute_speed_surface(np.hypot(fx, fy), abs(w), parameters)
            out[stage] = np.full((1, 3, 3), tuned)
        return out


def test_energy_unit_has_the_published_direction_tuning():
    gratings = measure_gratings(EnergyUnits([0.0]), screen=PUBLISHED, **OPTIMUM)["v1"]
    tuning = gratings.values[:, :, 0, 0]
    relative = tuning[0] / tuning.max()
    assert relative[[0, 1, 11]] == pytest.approx([1, 0.206, 0.206], abs=1e-3)
    assert relative[6] == pytest.approx(0.092, abs=1e-3)
    assert relative[[2, 3, 9, 10]].max() < 1e-3
    row = describe_directions(tuning, DIRECTIONS).iloc[0]
    assert row["direction_index"] == pytest.approx(0.908, abs=1e-3)
    assert row["best_direction_deg"] == 0
    plaids = measure_plaids(EnergyUnits([0.0]), {"v1": gratings}, screen=PUBLISHED)["v1"]
    found = classify_plaids(tuning, plaids.values, DIRECTIONS).iloc[0]
    assert found["r_component"] > 0.99
    # The other correlation is what rounding leaves of 0 / 0; only its size is the unit's.
    assert abs(found["r_pattern"]) == pytest.approx(0.23, abs=0.01)
    assert found["plaid_class"] == "component"


def test_energy_unit_is_separable_with_the_published_values():
    gratings = measure_gratings(
        EnergyUnits([0.0]), screen=PUBLISHED, directions_deg=[0, 90, 180, 270],
        spatial_frequencies_cpp=[0.05, 0.1, 0.15],
        temporal_frequencies_cpf=[0.0625, 0.09375, 0.125, 0.15625, 0.1875],
    )["v1"]  # fmt: skip
    surface = gratings.sel(direction_deg=0).values[0]
    surface = surface / surface.max()
    np.testing.assert_array_equal(surface.argmax(axis=1), [2, 2, 2])
    assert surface[:, 2] == pytest.approx([0.249, 1, 0.237], abs=1e-3)
    fit = fit_speed_tuning(surface[None], [0.05, 0.1, 0.15], gratings["temporal_frequency_cpf"].values).iloc[
        0
    ]
    assert abs(fit["speed_slope"]) < 0.02
    assert fit["speed_class"] == "separable"


def test_energy_unit_equals_plain_loops():
    rng = np.random.default_rng(3)
    movie = rng.random((7, 18, 18)).astype(np.float32)
    units = EnergyUnits(
        [40.0, 220.0], [0.08, 0.2], 0.1, sigma_px=3.0, decay_frames=2.0, aspect=0.7, offset=0.3
    )
    found = units.respond(movie)["v1"]
    direction, frequency = 40.0, 0.08
    theta = np.deg2rad(180 - direction)
    reach = np.arange(-KERNEL_RADIUS_PX, KERNEL_RADIUS_PX + 1)
    kernels = np.empty((2, 15, 15))
    for i, y in enumerate(reach):
        for j, x in enumerate(reach):
            along, across = x * np.cos(theta) + y * np.sin(theta), -x * np.sin(theta) + y * np.cos(theta)
            envelope = np.exp(-(along**2) / 18 - 0.49 * across**2 / 18)
            kernels[:, i, j] = envelope * np.cos(2 * np.pi * frequency * along - np.array([0, np.pi / 2]))
    kernels -= kernels.mean(axis=(1, 2), keepdims=True)
    row, column = 9, 8
    energy = []
    for t in range(N_TAPS - 1, len(movie)):
        total = 0j
        for tap in range(N_TAPS):
            u = 0j
            for i, y in enumerate(reach):
                for j, x in enumerate(reach):
                    u += (kernels[0, i, j] + 1j * kernels[1, i, j]) * (
                        movie[t - tap, row - y, column - x] - 0.5
                    )
            total += np.exp(-tap / 2 + 2j * np.pi * 0.1 * tap) * u
        energy.append(abs(total) ** 2 + 0.09)
    assert found[0, row, column] == pytest.approx(np.mean(energy), rel=1e-4)


def test_peak_energy_is_that_of_the_best_grating():
    units = EnergyUnits([0.0, 120.0], 0.1, 0.125)
    movies = [
        make_drifting_grating(
            size_px=(40, 40), n_frames=10, direction_deg=direction, spatial_frequency_cpp=0.1,
            temporal_frequency_cpf=0.125,
        )
        for direction in units.direction_deg
    ]  # fmt: skip
    found = measure_responses(units, movies, screen=SMALL)["v1"]
    np.testing.assert_allclose(np.diag(found), units.peak_energy, rtol=2e-3)


def test_weighted_units_are_pattern_units_with_the_published_values():
    grid = itertools.product(
        np.arange(0, 360, 15), [0.05, 0.1, 0.2], [0, 1 / 32, 1 / 16, 1 / 8, 3 / 16, 1 / 4]
    )
    v1 = pd.DataFrame(
        list(grid), columns=["direction_deg", "spatial_frequency_cpp", "temporal_frequency_cpf"]
    )
    weights = compute_pattern_weights(v1, direction_deg=[0.0], speed_ppf=1.25)

    def respond(*directions):
        drive = 0.0
        for direction in directions:
            away = (v1["direction_deg"] - direction + 180) % 360 - 180
            octaves = np.log2(v1["spatial_frequency_cpp"] / 0.1)
            slower = v1["temporal_frequency_cpf"] - 0.125
            drive = drive + np.exp(-((away / 25) ** 2 + (octaves / 0.5) ** 2 + (slower / 0.04) ** 2) / 2)
        return (drive / (drive.sum() + 0.1)).to_numpy()

    v1_gratings = np.stack([respond(d) for d in DIRECTIONS], axis=1)
    v1_plaids = np.stack([respond(d + 60, d - 60) for d in DIRECTIONS], axis=1)
    gratings, plaids = (np.maximum(weights @ values, 0) ** 2 for values in (v1_gratings, v1_plaids))
    found = classify_plaids(gratings, plaids, DIRECTIONS).iloc[0]
    assert found[["r_pattern", "r_component"]].tolist() == pytest.approx([0.98, -0.22], abs=0.005)
    assert found[["z_pattern", "z_component"]].tolist() == pytest.approx([6.96, -0.68], abs=0.01)
    assert found["plaid_class"] == "pattern"
    one = ((v1["direction_deg"] == 0) & (v1["spatial_frequency_cpp"] == 0.1)).idxmax() + 3
    alone = classify_plaids(v1_gratings[[one]], v1_plaids[[one]], DIRECTIONS).iloc[0]
    assert alone["r_component"] == pytest.approx(1)
    assert alone["plaid_class"] == "component"


def test_pattern_units_follow_patterns_in_movies_and_their_v1_does_not():
    grid = np.meshgrid(DIRECTIONS, [0.05, 0.1, 0.2], [0.0, 1 / 16, 1 / 8, 1 / 4], indexing="ij")
    v1 = EnergyUnits(*(axis.ravel() for axis in grid))
    units = PatternUnits(v1, [0.0, 90.0], speed_ppf=1.25)
    assert isinstance(units, MotionUnits)
    gratings = measure_gratings(units, screen=SMALL, **OPTIMUM)
    plaids = measure_plaids(units, gratings, screen=SMALL)
    best = describe_directions(gratings["mt"].values[:, :, 0, 0], DIRECTIONS)
    assert best["best_direction_deg"].tolist() == [0, 90]
    found = {
        stage: classify_plaids(gratings[stage].values[:, :, 0, 0], plaids[stage].values, DIRECTIONS)
        for stage in units.stages
    }
    assert (found["mt"]["plaid_class"] == "pattern").all()
    assert (found["mt"]["z_pattern"] > 3).all()
    tuned = (v1.table["spatial_frequency_cpp"] == 0.1) & (v1.table["temporal_frequency_cpf"] == 1 / 8)
    assert (found["v1"]["plaid_class"][tuned] == "component").all()


def test_planted_tuning_comes_out_of_the_whole_examination():
    grid = [0.0625, 0.125, 0.1875, 0.25, 0.3125]
    screen = Screen(size_px=(32, 32), n_frames=16)
    found = examine_units(
        PlantedUnits(), screen=screen, directions_deg=np.arange(0, 360, 45), spatial_frequencies_cpp=grid,
        temporal_frequencies_cpf=grid, half_angle_deg=45,
    )  # fmt: skip
    table = found.table.set_index("stage")
    assert table["best_direction_deg"].tolist() == [90, 90]
    assert table["best_spatial_frequency_cpp"].tolist() == [0.125, 0.125]
    assert table["best_temporal_frequency_hz"].tolist() == [2.5, 2.5]
    assert table["best_speed_ppf"].tolist() == [1, 1]
    assert table["speed_slope"].tolist() == pytest.approx([0, 1], abs=0.01)
    assert table["speed_class"].tolist() == ["separable", "speed"]
    assert found.gratings["speed"].dims[0] == "unit"
    assert found.plaids["speed"].attrs["half_angle_deg"] == 45
    assert summarise_stages(found.table)["stage"].tolist() == ["separable", "speed"]


def test_speed_fit_recovers_planted_surfaces():
    spatial = 2.0 ** np.arange(-5, 0)
    temporal = 2.0 ** np.arange(-5, 0)
    planted = np.array([
        [3.0, -3.0, 1.2, -3.2, 0.8, slope] for slope in (0.0, 0.5, 1.0, -0.4)
    ])  # fmt: skip
    maps = np.stack([compute_speed_surface(spatial[:, None], temporal, own) for own in planted])
    fit = fit_speed_tuning(np.concatenate([maps, np.zeros((1, 5, 5))]), spatial, temporal)
    columns = ["amplitude", "fit_s0", "fit_sigma_s", "fit_w0", "fit_sigma_t", "speed_slope"]
    np.testing.assert_allclose(fit[columns][:4], planted, atol=1e-4)
    assert fit["fit_r2"].tolist() == pytest.approx([1, 1, 1, 1, 0])
    assert fit["speed_class"].tolist() == ["separable", "unclassified", "speed", "separable", "unclassified"]
    assert fit["speed_slope"].iloc[4] == 0


def test_partial_correlation_is_that_of_residuals(rng):
    y, a, b = rng.normal(size=(3, 4, 12))
    first, second = compute_partial_pair(y, a, b)
    for i in range(4):
        for own, other, found in ((a, b, first), (b, a, second)):
            design = np.stack([np.ones(12), other[i]], axis=1)
            left = [v - design @ np.linalg.lstsq(design, v, rcond=None)[0] for v in (y[i], own[i])]
            assert found[i] == pytest.approx(np.corrcoef(*left)[0, 1], abs=1e-9)


def test_partial_correlation_is_zero_where_nothing_is_left():
    y = np.array([[1.0, 2, 3, 5], [1, 1, 1, 1], [1, 2, 3, 5]])
    same = np.array([[2.0, 4, 6, 10], [1, 2, 3, 4], [1, 2, 3, 4]])
    other = np.array([[1.0, 0, 1, 0], [1, 0, 1, 0], [1, 2, 3, 4]])
    first, second = compute_partial_pair(y, same, other)
    assert first[0] == pytest.approx(1)
    assert second[0] == 0
    assert first[1] == second[1] == first[2] == second[2] == 0


def test_classes_follow_the_criterion():
    r = np.tanh(np.array([1.3, 1.2, 0.9, -0.5]) / 3)
    other = np.tanh(np.array([0.0, 0.0, 2.3, -3.0]) / 3)
    z, z_other, label = classify_by_z(r, other, 12, names=("a", "b"))
    np.testing.assert_allclose(z, [1.3, 1.2, 0.9, -0.5])
    np.testing.assert_allclose(z_other, [0, 0, 2.3, -3])
    assert label.tolist() == ["a", "unclassified", "b", "unclassified"]


def test_direction_numbers_of_simple_curves():
    cosine = 1 + np.cos(np.deg2rad(DIRECTIONS - 75))
    flat, silent = np.ones(12), np.zeros(12)
    one = np.eye(12)[4]
    found = describe_directions(np.stack([cosine, flat, silent, one]), DIRECTIONS)
    assert found["preferred_direction_deg"][0] == pytest.approx(75)
    assert found["direction_variance"].tolist() == pytest.approx([0.5, 1, 1, 0])
    assert found["direction_index"].tolist() == pytest.approx(
        [1 - (1 - np.cos(np.pi / 12)) / (1 + np.cos(np.pi / 12)), 0, 0, 1]
    )
    assert found["bandwidth_deg"][[1, 2, 3]].tolist() == [360, 360, 30]
    assert compute_opponent_index([3.0, 0.0], [1.0, 0.0]).tolist() == [0.5, 0]


def test_pyramid_filters_prefer_the_direction_of_their_table():
    pyramid = MotionEnergyPyramid(
        size_px=(48, 48), fps=12, spatial_frequencies_cpi=(0, 4), temporal_frequencies_hz=(0, 2, 4)
    )
    units = PyramidUnits(pyramid)
    assert isinstance(units, MotionUnits)
    gratings = measure_gratings(
        units, screen=Screen(size_px=(48, 48), n_frames=16), directions_deg=np.arange(0, 360, 45),
        spatial_frequencies_cpp=[2 / 48, 4 / 48, 8 / 48], temporal_frequencies_cpf=[2 / 12, 4 / 12],
    )["pyramid"]  # fmt: skip
    optima = find_optima(gratings)
    np.testing.assert_array_equal(optima["direction_deg"], units.table["direction_deg"])
    np.testing.assert_allclose(optima["temporal_frequency_cpf"] * 12, units.table["temporal_frequency_hz"])
    np.testing.assert_allclose(optima["spatial_frequency_cpp"] * 48, units.table["spatial_frequency_cpi"])


def test_summary_counts_classes_and_puts_the_median_into_its_interval():
    table = pd.DataFrame(
        {
            "model": "m", "stage": ["a"] * 4 + ["b"], "peak": [1.0, 2, 3, 0, 1],
            "direction_index": [0.1, 0.5, 0.9, 0, 1],
            "pattern_index": [1.0, 2, 4, 0, -1], "speed_slope": [0.0, 0.1, 1, 0, 0],
            "fit_r2": [0.5, 0.9, 1, 0, 1],
            "plaid_class": ["pattern", "pattern", "component", "unclassified", "component"],
            "speed_class": ["speed", "separable", "separable", "unclassified", "speed"],
        }
    )  # fmt: skip
    found = summarise_stages(table).set_index("stage")
    assert found.loc["a", ["n_units", "n_silent"]].tolist() == [4, 1]
    assert found.loc["a", ["pattern", "component", "speed", "separable"]].tolist() == [0.5, 0.25, 0.25, 0.5]
    assert found.loc["a", "pattern_index"] == 2  # of the three that respond
    assert found.loc["a", "pattern_index_low"] == 1
    assert found.loc["a", "pattern_index_high"] == 4
    assert np.isnan(found.loc["b", "speed_slope_low"])


def test_wrong_input_is_refused():
    units = EnergyUnits([0.0])
    movie = np.full((6, 20, 20), 0.5, dtype=np.float32)
    with pytest.raises(ValueError, match="border must leave cells"):
        measure_responses(units, [movie], screen=Screen(border=10))
    with pytest.raises(ValueError, match="entry for the stage 'v1'"):
        measure_responses(units, [movie], screen=Screen(border={"mt": 1}))
    with pytest.raises(ValueError, match="at least 6 frames"):
        units.respond(movie[:5])
    with pytest.raises(ValueError, match="at most 1"):
        units.respond(movie * 100)
    with pytest.raises(ValueError, match="at least one movie"):
        measure_responses(units, [])
    with pytest.raises(ValueError, match="equal steps"):
        measure_gratings(units, directions_deg=[0, 10, 20, 90])
    with pytest.raises(ValueError, match="whole number of steps of 30"):
        classify_plaids(np.ones((1, 12)), np.ones((1, 12)), DIRECTIONS, half_angle_deg=45)
    with pytest.raises(ValueError, match="leave out 0"):
        fit_speed_tuning(np.ones((1, 3, 3)), [0, 0.1, 0.2], [0.1, 0.2, 0.3])
    with pytest.raises(ValueError, match="one entry for each of the 2 directions"):
        EnergyUnits([0.0, 90.0], [0.1, 0.1, 0.1])

    class Wrong(EnergyUnits):
        def respond(self, movie):
            return {"v2": np.ones((1, 3, 3))}

    with pytest.raises(ValueError, match="must answer with the stages"):
        measure_responses(Wrong([0.0]), [movie])


def test_a_unit_that_ignores_direction_is_no_pattern_cell():
    tuning = np.ones((2, 12))
    found = classify_plaids(tuning, tuning, DIRECTIONS)
    assert (found["plaid_class"] == "unclassified").all()
    assert (found["pattern_index"] == 0).all()

"""Illusions read out from energy units, whose answers are known."""

import numpy as np
import pytest

from neurovis.motion.energy_units import EnergyUnits
from neurovis.motion.neurophysiology import Screen, measure_gratings
from neurovis.motion.neurophysiology_illusions import (
    DirectionReadout,
    compute_adapted_gains,
    fit_direction_readout,
    measure_aftereffect,
    measure_illusions,
    measure_opponent_index,
)
from neurovis.stimuli.motion_probes import (
    make_drifting_grating,
    make_missing_fundamental,
    make_reverse_phi,
)

PUBLISHED = Screen(size_px=(64, 64), n_frames=16, border=14)
SHOWN = {"size_px": (64, 64), "n_frames": 16}
SMALL = Screen(size_px=(40, 40), n_frames=10)
DIRECTIONS = np.arange(0, 360, 30.0)


def make_quarter_steps(direction):
    return make_drifting_grating(
        direction_deg=direction, spatial_frequency_cpp=0.1, temporal_frequency_cpf=0.25, **SHOWN
    )


@pytest.fixture(scope="module")
def bank():
    return EnergyUnits(DIRECTIONS, 0.1, 0.1875)


def test_reverse_phi_mirrors_the_opponent_index_as_published():
    units = EnergyUnits([0.0, 180.0], 0.1, 0.25)
    plain = measure_opponent_index(units, make_quarter_steps, 0, screen=PUBLISHED)["v1"]
    reversed_ = measure_opponent_index(
        units, lambda d: make_reverse_phi(make_quarter_steps(d)), 0, screen=PUBLISHED
    )["v1"]
    assert plain == pytest.approx([0.946, -0.946], abs=1e-3)
    np.testing.assert_allclose(reversed_, -plain, atol=1e-6)


def test_missing_fundamental_moves_backwards_as_published():
    third = EnergyUnits([0.0], 3 / 24, 0.25)
    first = EnergyUnits([0.0], 1 / 24, 0.25)

    def measure(units, **options):
        return measure_opponent_index(
            units, lambda d: make_missing_fundamental(direction_deg=d, period_px=24, **SHOWN, **options), 0,
            screen=PUBLISHED,
        )["v1"].item()  # fmt: skip

    assert measure(third) == pytest.approx(-0.943, abs=1e-3)
    assert measure(first, fundamental=True) == pytest.approx(0.732, abs=1e-3)


def test_illusions_of_an_even_bank(bank):
    found = measure_illusions(bank, screen=SMALL).set_index("stimulus")
    assert found["human_shift_deg"].to_dict()["barber pole 3:1"] == 45
    size = found["shift_deg"].abs()
    assert size["grating"] < 0.1
    assert size[["reverse phi", "missing fundamental", "aftereffect"]].tolist() == pytest.approx(
        [180] * 3, abs=0.1
    )
    # Local energy sees the ends of the bars, but hardly follows them.
    assert 0.5 < found["shift_deg"]["barber pole 3:1"] < 20
    assert (found["consistency"] > 0.99).all()
    assert found["strength"]["grating"] == pytest.approx(1, abs=0.02)


def test_a_square_barber_pole_pulls_to_neither_side(bank):
    found = measure_illusions(bank, screen=SMALL, barber_ratio=1.0).set_index("stimulus")
    assert found["shift_deg"]["barber pole 1:1"] == pytest.approx(0, abs=0.01)


def test_adaptation_repels_and_makes_flicker_drift_away(bank):
    table = measure_aftereffect(bank, screen=SMALL, spatial_frequency_cpp=0.1, temporal_frequency_cpf=0.125)
    flicker = table[table["test"] == "counterphase"]
    drift = (flicker["after_deg"] - flicker["adapted_deg"]) % 360
    np.testing.assert_allclose(drift, 180, atol=0.1)
    gratings = table[table["test"] == "grating"]
    shift = gratings.groupby(gratings["offset_deg"].abs())["shift_deg"].mean()
    assert shift[30.0] > 1
    assert shift[30.0] > shift[60.0] > abs(shift[90.0])
    assert shift[[0.0]].tolist() == pytest.approx([0], abs=0.01)
    none = measure_aftereffect(bank, screen=SMALL, adaptation=0.0)
    assert none["shift_deg"].abs().max() < 1e-9


def test_gains_follow_their_formula():
    gains = compute_adapted_gains([[2.0, 0], [1, 4], [5, 5]], [2.0, 4.0, 0.0], adaptation=3.0)
    np.testing.assert_allclose(gains, [[0.25, 1], [4 / 7, 0.25], [1, 1]])


def test_readout_is_unbiased_for_an_uneven_population():
    # Twice as many units prefer 0 degrees: a plain vector sum would be pulled there.
    units = EnergyUnits([0.0, *DIRECTIONS, 0.0, 15.0], 0.1, 0.125)
    gratings = measure_gratings(
        units, screen=SMALL, spatial_frequencies_cpp=[0.1], temporal_frequencies_cpf=[0.125]
    )["v1"]
    values = gratings.values[:, :, 0, 0]
    preferred = np.exp(1j * np.deg2rad(units.direction_deg))
    pulled = np.rad2deg(np.angle((values / values.max(axis=1, keepdims=True)).T @ preferred)) % 360
    decoded, strength = fit_direction_readout(gratings).decode(values)
    away = (decoded - DIRECTIONS + 180) % 360 - 180
    assert np.abs(away).max() < 0.3
    assert np.abs((pulled - DIRECTIONS + 180) % 360 - 180).max() > 5
    assert strength == pytest.approx(np.ones(12), abs=0.02)


def test_wrong_input_is_refused(bank):
    class Blind:
        name, stages, fps = "blind", ("v1",), 30.0

        def respond(self, movie):
            return {"v1": np.ones((2, 4, 4))}

    with pytest.raises(ValueError, match="drive some unit by their direction"):
        measure_illusions(Blind(), screen=SMALL)
    with pytest.raises(ValueError, match="adaptation must be at least 0"):
        measure_aftereffect(bank, screen=SMALL, adaptation=-1)
    readout = DirectionReadout(np.ones((2, 2)), np.ones(2))
    with pytest.raises(ValueError, match="responses must have shape"):
        readout.decode(np.ones((3, 1)))
    assert readout.decode(np.zeros((2, 1)))[1] == 0

"""V1 stage against a slow reference, against published ground truths of energy units, and its own table."""

import math

import numpy as np
import pytest
import torch
from torch.nn import functional

from neurovis.motion.v1 import EnergyBank, V1Stage


def set_logit(parameter, value):
    parameter.data.fill_(float(torch.logit(torch.tensor(value, dtype=torch.float64))))


def make_unit(n_pooled=11, radius_px=7, **tuning):
    """One unit with f = .1, w = .125, sd .95 and decay .8 of their largest values, theta 0."""
    bank = EnergyBank(1, radius_px, 6, n_pooled)
    bank.orientation.data.fill_(-40.0)
    shares = {"spatial_frequency": 0.4, "temporal_frequency": 0.5, "spatial_sd": 0.95, "decay": 0.8} | tuning
    for name, share in shares.items():
        set_logit(getattr(bank, name), share)
    return bank


def make_drift(direction_deg, frequency=0.1, temporal=0.125, n_frames=16, side=64, contrast=1.0):
    """Grating drifting in a direction (0 right, counter-clockwise), (1, n_frames, side, side)."""
    angle = math.radians(direction_deg)
    time = torch.arange(n_frames)[:, None, None]
    y, x = torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")
    cycles = frequency * (x * math.cos(angle) - y * math.sin(angle)) - temporal * time
    return (0.5 + 0.5 * contrast * torch.cos(2 * math.pi * cycles))[None].float()


@torch.no_grad()
def respond(bank, movie, border=14):
    return float(bank(movie, torch.tensor(0.0))[0, 0, border:-border, border:-border].mean())


def test_the_bank_of_the_paper_has_3331_parameters():
    stage = V1Stage()
    assert sum(p.numel() for p in stage.parameters()) == 3331
    assert sum(p.numel() for p in stage.parameters() if not p.requires_grad) == 256


def test_scales_of_the_paper():
    scales = V1Stage().scale_step ** np.arange(1, 9)
    np.testing.assert_allclose(scales, [0.673, 0.453, 0.305, 0.205, 0.138, 0.093, 0.0625, 0.0421], atol=5e-4)


def test_direction_tuning():
    bank = make_unit()
    response = np.array([respond(bank, make_drift(direction)) for direction in range(0, 360, 30)])
    response /= response.max()
    assert response.argmax() == 6  # theta 0 prefers leftward motion
    np.testing.assert_allclose(response[[5, 7]], 0.206, atol=5e-4)
    np.testing.assert_allclose(response[0], 0.092, atol=5e-4)
    assert (response[[2, 3, 4, 8, 9, 10]] <= 1e-3).all()
    assert 1 - response[0] == pytest.approx(0.908, abs=5e-4)


def test_a_plaid_is_seen_by_its_components():
    bank = make_unit()
    directions = np.arange(0, 360, 30)
    grating = np.array([respond(bank, make_drift(d)) for d in directions])
    plaid = np.array([respond(bank, (make_drift(d + 60) + make_drift(d - 60)) / 2) for d in directions])
    component = np.roll(grating, 2) + np.roll(grating, -2)
    # The partial correlation with the pattern is what rounding leaves of 0 / 0, so it is not asked for.
    r_c, r_p, r_pc = (
        np.corrcoef(a, b)[0, 1] for a, b in ((plaid, component), (plaid, grating), (grating, component))
    )
    assert (r_c - r_p * r_pc) / math.sqrt((1 - r_p**2) * (1 - r_pc**2)) > 0.99
    assert r_p < 0


def test_spatial_and_temporal_frequency_are_separable():
    bank = make_unit()
    temporal = np.array([0.0625, 0.125, 0.1875])
    best = respond(bank, make_drift(180))
    for frequency, share in ((0.05, 0.249), (0.1, 1.0), (0.15, 0.237)):
        response = [respond(bank, make_drift(180, frequency, w)) for w in temporal]
        assert temporal[np.argmax(response)] == 0.125
        assert max(response) / best == pytest.approx(share, abs=2e-3)


def test_blocks_equal_grouped_convolutions():
    torch.manual_seed(0)
    bank, movie, floor = EnergyBank(5, 7, 6, 6), torch.randn(2, 11, 10, 12), torch.tensor(0.3)
    with torch.no_grad():
        kernels = bank.make_spatial_kernels().flip(-2, -1).flatten(0, 1)[:, None]
        filtered = functional.conv2d(movie.reshape(22, 1, 10, 12), kernels, padding=7)
        cosine, sine = filtered.view(2, 11, 2, 5, 120).permute(2, 0, 4, 3, 1).reshape(2, -1, 5, 11)
        t_cosine, t_sine = bank.make_temporal_kernels().flip(-1)[:, :, None]
        filter_time = lambda u, k: functional.conv1d(u, k, groups=5)  # noqa: E731
        odd = filter_time(cosine, t_sine) + filter_time(sine, t_cosine)
        even = filter_time(cosine, t_cosine) - filter_time(sine, t_sine)
        energy = odd**2 + even**2 + 0.09
        pooled = (energy * bank.pooling).mean(-1).abs().view(2, 120, 5).transpose(1, 2).reshape(2, 5, 10, 12)
        torch.testing.assert_close(bank(movie, floor), pooled, atol=1e-4 * float(pooled.std()), rtol=1e-5)


def test_kernels_are_true_convolutions_without_mean():
    """One unit, one place, one moment, written out."""
    torch.manual_seed(1)
    bank, movie = EnergyBank(1, 3, 4, 1), torch.rand(1, 4, 7, 7, dtype=torch.float64).float()
    with torch.no_grad():
        cosine, sine = bank.make_spatial_kernels()[:, 0].double().numpy()
        t_cosine, t_sine = bank.make_temporal_kernels()[:, 0].double().numpy()
        found = float(bank(movie, torch.tensor(0.5))[0, 0, 3, 3])
    assert abs(cosine.sum()) < 1e-4
    assert abs(sine.sum()) < 1e-4
    frames = movie[0].double().numpy()
    u_c, u_s = (
        [sum(k[a, b] * frames[t, 6 - a, 6 - b] for a in range(7) for b in range(7)) for t in range(4)]
        for k in (cosine, sine)
    )
    past = lambda kernel, u: sum(kernel[lag] * u[3 - lag] for lag in range(4))  # noqa: E731
    odd = past(t_sine, u_c) + past(t_cosine, u_s)
    even = past(t_cosine, u_c) - past(t_sine, u_s)
    assert found == pytest.approx(odd**2 + even**2 + 0.25, rel=1e-4)


def test_output_is_normalised_over_units():
    torch.manual_seed(0)
    stage = V1Stage(3, 6, span=4.0, radius_px=4, stride=4)
    with torch.no_grad():
        response = stage(torch.rand(2, 11, 32, 40))
    assert response.shape == (2, 18, 8, 10)
    assert (response >= 0).all()
    # Far above the semisaturation the mean over units is the gain.
    np.testing.assert_allclose(response.mean(1), 4.0, rtol=0.2)


@pytest.mark.parametrize("direction", [0, 45, 90, 200])
def test_the_table_tells_physical_direction_and_frequency(direction):
    """The grating a unit's row asks for drives it far better than the opposite one and other frequencies."""
    torch.manual_seed(3)
    stage = V1Stage(2, 1, span=2.0, n_frames=16, stride=1)
    for bank in stage.banks:
        bank.load_state_dict(make_unit().state_dict())
        set_logit(bank.orientation, (180 - direction) % 360 / 360 + 1e-6)
    row = stage.make_tuning_table().iloc[0]
    assert (row["direction_deg"] - direction + 180) % 360 == pytest.approx(180, abs=0.01)
    assert row["spatial_frequency_cpp"] == pytest.approx(0.1 * 0.5)  # the first level is half the frames
    assert row["speed_px"] == pytest.approx(2.5)

    @torch.no_grad()
    def measure(direction_deg, frequency):
        movie = make_drift(direction_deg, frequency, row["temporal_frequency_cpf"], side=128)
        level = functional.interpolate(movie, scale_factor=stage.scale_step, mode="bilinear")
        return respond(stage.banks[0], level)

    best = measure(direction, row["spatial_frequency_cpp"])
    assert measure(direction + 180, row["spatial_frequency_cpp"]) < 0.15 * best
    for factor in (0.5, 1.5):
        assert measure(direction, factor * row["spatial_frequency_cpp"]) < 0.5 * best


def test_every_free_parameter_gets_a_gradient():
    torch.manual_seed(0)
    stage = V1Stage(2, 4, span=2.0, radius_px=4, stride=4)
    stage(torch.rand(1, 11, 24, 24)).square().mean().backward()
    for name, parameter in stage.named_parameters():
        if parameter.requires_grad:
            assert torch.isfinite(parameter.grad).all(), name
            assert parameter.grad.abs().max() > 0, name

"""Log-polar sampling of smooth waves of known formula, which can be turned, zoomed and moved exactly."""

import math

import numpy as np
import pytest
import torch
from torchvision.transforms import functional as transforms

from neurovis.foveation.points import make_square, normalise_points
from neurovis.foveation.sampling import CartesianSampler, LogPolarSampler

N = 224
SIDE = 256
PAPER = LogPolarSampler(N, N, antialias=False)


@pytest.fixture(scope="module")
def waves():
    """Sum of 24 waves of about 6 rad per half image, as a function of x and y in half images."""
    rng = np.random.default_rng(3)
    direction, phase = rng.uniform(0, 2 * np.pi, (2, 24))
    length = rng.normal(6, 1, 24)

    def evaluate(x, y):
        argument = np.multiply.outer(x, length * np.cos(direction))
        argument += np.multiply.outer(y, length * np.sin(direction)) + phase
        return np.cos(argument).sum(-1)

    return evaluate


def draw(evaluate, *, turn_deg=0.0, zoom=1.0, shift=(0.0, 0.0), size=(SIDE, SIDE)):
    """The waves turned counter-clockwise on the screen, enlarged and moved, as a tensor (1, 1, h, w)."""
    y, x = np.meshgrid(*((2 * np.arange(n) + 1) / n - 1 for n in size), indexing="ij")
    x, y = x - shift[0], y - shift[1]
    cosine, sine = math.cos(math.radians(turn_deg)), math.sin(math.radians(turn_deg))
    # Turning the picture counter-clockwise reads it at points turned clockwise, where y runs downwards.
    image = evaluate((cosine * x - sine * y) / zoom, (sine * x + cosine * y) / zoom)
    return torch.from_numpy(image)[None, None]


def correlate(a, b):
    return float(np.corrcoef(np.ravel(a), np.ravel(b))[0, 1])


def find_column_shift(moved, still):
    """Circular shift of columns with the largest cross-correlation."""
    spectra = [np.fft.fft(x - x.mean(), axis=1) for x in (moved, still)]
    products = np.fft.ifft((spectra[0] * spectra[1].conj()).sum(0)).real
    return int(products.argmax())


@pytest.mark.parametrize(
    ("turn_deg", "columns", "largest_error"),
    [(360 * 10 / 224, 10, 6e-4), (45, 28, 6e-4), (90, 56, 1e-6), (180, 112, 1e-6)],
)
def test_rotation_is_a_shift_of_columns(waves, turn_deg, columns, largest_error):
    still, turned = (PAPER(draw(waves, turn_deg=turn))[0, 0].numpy() for turn in (0, turn_deg))
    assert find_column_shift(turned, still) == (N - columns) % N
    # Rings whose samples reach beyond the middles of the outermost pixels see the edge.
    inside = PAPER.radii.numpy() < 1 - 2 / SIDE
    difference = (np.roll(still, -columns, axis=1) - turned)[inside]
    assert np.sqrt((difference**2).mean()) / still[inside].std() < largest_error


def test_rotation_with_antialiasing_is_a_shift_too(waves):
    retina = LogPolarSampler(N, N)
    still, turned = (retina(draw(waves, turn_deg=turn))[0, 0].numpy() for turn in (0, 45))
    inside = retina.radii.numpy() < 0.95
    difference = (np.roll(still, -28, axis=1) - turned)[inside]
    assert np.sqrt((difference**2).mean()) / still[inside].std() < 2e-3


def test_torchvision_turns_counter_clockwise(waves):
    image = draw(waves)
    turned = transforms.rotate(image, 90.0)
    still, moved = (PAPER(part)[0, 0].numpy() for part in (image, turned))
    assert find_column_shift(moved, still) == 168
    torch.testing.assert_close(PAPER(image, angle_deg=90.0), PAPER(turned), atol=1e-6, rtol=0)


@pytest.mark.parametrize(
    ("zoom", "rows", "unshifted"), [(math.sqrt(2), -22.3, 0.68), (2.0, -44.6, 0.29), (0.5, 44.6, 0.19)]
)
def test_zoom_is_a_shift_of_rows(waves, zoom, rows, unshifted):
    still, zoomed = (PAPER(draw(waves, zoom=z))[0, 0].numpy() for z in (1.0, zoom))
    place = np.arange(N)

    def score(shift):
        own = place[(place - shift >= 0) & (place - shift <= N - 1) & (place > 2) & (place - shift > 2)]
        below = np.clip(np.floor(own - shift).astype(int), 0, N - 2)
        part = (own - shift - below)[:, None]
        return correlate(zoomed[own], (1 - part) * still[below] + part * still[below + 1])

    nearest = max(range(-60, 61), key=score)
    best = max(nearest + np.arange(-1, 1.05, 0.1), key=score)
    assert best == pytest.approx(rows, abs=0.15)
    assert score(best) > 0.9997
    assert correlate(still, zoomed) < unshifted + 0.3
    assert correlate(still, zoomed) < score(best) - 0.1


def test_zooming_the_retina_zooms_the_image(waves):
    # The retina of half the radius sees the image enlarged twice.
    zoomed = PAPER(draw(waves, zoom=2.0))
    narrow = PAPER.zoom(0.5)(draw(waves))
    inside = PAPER.radii < 0.99
    assert correlate(narrow[0, 0][inside], zoomed[0, 0][inside]) > 0.9999
    assert PAPER.zoom(0.5).n_octaves == PAPER.n_octaves
    assert PAPER.zoom(0.5, keep_inner=True).n_octaves == PAPER.n_octaves - 1


def test_moving_the_fixation_loses_likeness_steadily(waves):
    image = draw(waves)
    still = PAPER(image)
    shifts = (0.05, 0.1, 0.2)
    likeness = [correlate(still, PAPER(image, [[x, 0.0]])) for x in shifts]
    assert 1 > likeness[0] > likeness[1] > likeness[2]
    # The image itself loses more: most samples of the retina are near the fixation, and the image is smooth.
    rolled = [correlate(image, image.roll(-round(x * SIDE / 2), -1)) for x in shifts]
    assert all(retinal > cartesian for retinal, cartesian in zip(likeness, rolled, strict=True))
    # 0.977, 0.908 and 0.662 for one drawing of the waves; they differ by a few per cent.
    np.testing.assert_allclose(likeness, [0.977, 0.908, 0.662], atol=0.12)


def test_the_fixation_is_where_the_image_moves(waves):
    # A retina at (x, y) of an image moved by (x, y) sees what the middle saw, apart from the frame.
    image, moved = draw(waves), draw(waves, shift=(0.25, -0.125))
    inside = PAPER.radii < 0.7
    still, seen = PAPER(image), PAPER(moved, [[0.25, -0.125]])
    torch.testing.assert_close(seen[..., inside, :], still[..., inside, :], atol=2e-3, rtol=0)


def test_elongated_images_break_the_shift_unless_made_square(waves):
    sides = (SIDE, SIDE * 3 // 2)
    y, x = np.meshgrid(*((2 * np.arange(n) + 1 - n) / SIDE for n in sides), indexing="ij")
    turn = math.radians(45)
    images = [
        torch.from_numpy(waves(math.cos(t) * x - math.sin(t) * y, math.sin(t) * x + math.cos(t) * y))[
            None, None
        ]
        for t in (0, turn)
    ]
    squeezed = [torch.nn.functional.interpolate(image, (SIDE, SIDE), mode="bilinear") for image in images]
    cropped = [LogPolarSampler(N, N, square="crop", antialias=False)(image)[0, 0] for image in images]
    elliptic = [PAPER(image)[0, 0] for image in squeezed]
    inside = PAPER.radii.numpy() < 0.99
    assert correlate(np.roll(elliptic[0], -28, axis=1)[inside], elliptic[1][inside]) < 0.9
    assert correlate(np.roll(cropped[0], -28, axis=1)[inside], cropped[1][inside]) > 0.9999
    with pytest.raises(ValueError, match=r"square, got 256 x 384 px; choose square='pad'"):
        PAPER(images[0])


@pytest.mark.parametrize("antialias", [False, True])
def test_inverse_gives_the_image_back(waves, antialias):
    image = draw(waves)
    retina = LogPolarSampler(N, N, antialias=antialias)
    back = retina.invert(retina(image), side_px=SIDE, fill=math.nan)[0, 0].numpy()
    y, x = np.meshgrid(*2 * [(2 * np.arange(SIDE) + 1) / SIDE - 1], indexing="ij")
    ring = (np.hypot(x, y) > 1 / 16) & (np.hypot(x, y) < 0.9)
    assert correlate(back[ring], image[0, 0].numpy()[ring]) > 0.999
    assert np.isnan(back[np.hypot(x, y) > 1]).all()
    assert np.isnan(back[np.hypot(x, y) < 1 / 33]).all()


def test_inverse_of_a_coarse_map_puts_blocks_where_they_were():
    retina = LogPolarSampler(64, 64)
    coarse = torch.zeros(1, 1, 8, 8)
    coarse[0, 0, 1, 2] = 1
    back = retina.invert(coarse, [[0.2, -0.1]], side_px=200)[0, 0]
    row, column = divmod(int(back.argmax()), 200)
    x, y = (2 * column + 1) / 200 - 1 - 0.2, (2 * row + 1) / 200 - 1 + 0.1
    # Rings 8 to 15 and angles 16 to 23 of 64; the middles are 11.5 and 19.5.
    assert math.hypot(x, y) == pytest.approx(32 ** (-11.5 / 63), abs=0.02)
    assert math.degrees(math.atan2(y, x)) == pytest.approx(360 * 19.5 / 64, abs=2)


def test_localisation_toy():
    """A disc of radius 0.15 on a cell of the grid of fixations, scored by a local contrast in log-polar."""
    rng = np.random.default_rng(0)
    steps = np.linspace(-0.9, 0.9, 11)
    places = np.stack(np.meshgrid(steps, steps, indexing="xy"), axis=-1).reshape(-1, 2)
    retina = LogPolarSampler(64, 64, r_min=0.5 / 32, r_max=0.5, outside="border")
    radii = retina.radii
    y, x = np.meshgrid(*2 * [(2 * np.arange(128) + 1) / 128 - 1], indexing="ij")
    hits, best = [], []
    for target in rng.choice(121, 25, replace=False):
        distance = np.hypot(x - places[target, 0], y - places[target, 1])
        image = (distance < 0.15) + rng.normal(0, 0.05, (128, 128))
        seen = retina(torch.from_numpy(image)[None, None], places[None])[0, :, 0].mean(-1)
        inner, around = seen[:, radii < 0.12].mean(1), seen[:, (radii > 0.18) & (radii < 0.5)].mean(1)
        likelihood = torch.sigmoid(10 * (inner - around - 0.5)).numpy()
        hits.append(likelihood.argmax() == target)
        mask = np.arange(121) == target
        best.append(
            max(
                (mask & (likelihood > t)).sum() / (mask | (likelihood > t)).sum()
                for t in np.linspace(0, 1, 36)
            )
        )
    assert all(hits)
    assert best == [1.0] * 25


def test_antialiasing_removes_what_the_rim_cannot_carry():
    """A checkerboard of single pixels is grey where samples are further apart than its pixels."""
    row, column = np.mgrid[:SIDE, :SIDE]
    board = torch.from_numpy(((row + column) % 2).astype(float))[None, None]
    rim = PAPER.radii < 0.9
    coarse = (PAPER.compute_spacing(SIDE) > 2) & rim
    aliased = PAPER(board)[0, 0][coarse]
    smooth = LogPolarSampler(N, N)(board)[0, 0][coarse]
    assert smooth.std() < 0.05 < 0.15 < aliased.std()
    assert float(smooth.mean()) == pytest.approx(0.5, abs=0.01)


def test_spacing_is_the_larger_distance_between_neighbours():
    retina = LogPolarSampler(N, N)
    x = retina.radii.numpy() * SIDE / 2
    spacing = retina.compute_spacing(SIDE).numpy()
    np.testing.assert_allclose(
        spacing, np.maximum(x * 2 * np.pi / N, x - np.append(x[1:], x[-1] ** 2 / x[-2]))
    )
    # 3.59 px at the rim and 0.112 at the innermost ring of an image of 256 px.
    np.testing.assert_allclose(spacing[[0, -1]], [3.59, 0.112], atol=0.005)
    assert x[0] - x[1] == pytest.approx(1.97, abs=0.01)


def test_several_fixations_are_those_one_by_one(rng):
    images = torch.from_numpy(rng.random((2, 3, 37, 37)))
    points = rng.uniform(-1, 1, (2, 4, 2))
    for retina in (LogPolarSampler(12, 16), CartesianSampler(14)):
        together = retina(images, points)
        assert together.shape[:3] == (2, 4, 3)
        for k in range(4):
            torch.testing.assert_close(together[:, k], retina(images, points[:, k]))


def test_rolling_equals_turning_the_retina(rng):
    image = torch.from_numpy(rng.random((1, 3, 50, 50)))
    retina = LogPolarSampler(20, 24)
    for steps in (1, 5, 17):
        torch.testing.assert_close(
            retina(image, angle_deg=steps * 360 / 24), retina(image).roll(-steps, -1), atol=1e-12, rtol=0
        )


def test_cartesian_sampler_is_an_area_resize_with_a_mask(rng):
    image = torch.from_numpy(rng.random((1, 2, 64, 64)))
    plain = CartesianSampler(32, mask=False)(image)
    torch.testing.assert_close(plain, torch.nn.functional.avg_pool2d(image, 2))
    torch.testing.assert_close(CartesianSampler(64, mask=False)(image), image)
    masked = CartesianSampler(32)(image)
    y, x = np.meshgrid(*2 * [np.arange(32) - 15.5], indexing="ij")
    torch.testing.assert_close(masked, plain * torch.from_numpy(np.hypot(x, y) < 16))
    quarter = CartesianSampler(64, mask=False)(image, angle_deg=90.0)
    torch.testing.assert_close(quarter, image.rot90(1, (2, 3)), atol=1e-12, rtol=0)


def test_gradients_reach_images_and_fixations(rng):
    image = torch.from_numpy(rng.random((1, 1, 24, 24))).requires_grad_()
    points = torch.tensor([[0.1, -0.2]], dtype=torch.float64, requires_grad=True)
    for retina in (LogPolarSampler(6, 8), CartesianSampler(6)):
        assert torch.autograd.gradcheck(retina, (image, points), fast_mode=True)


@pytest.mark.parametrize("square", ["pad", "crop"])
def test_points_follow_the_image_into_its_square(square):
    image = torch.zeros(1, 1, 30, 50)
    image[0, 0, 11, 27] = 1
    (x, y), *_ = normalise_points([[27.5, 11.5]], (30, 50), square=square)
    framed = make_square(image, square)[0, 0]
    row, column = divmod(int(framed.argmax()), framed.shape[1])
    side = framed.shape[1]
    np.testing.assert_allclose([x, y], [(2 * column + 1) / side - 1, (2 * row + 1) / side - 1])


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (
            (torch.zeros(2, 3, 8, 8), [[0.0, 1.2]] * 2),
            ValueError,
            r"\[-1, 1\], got a coordinate of magnitude 1.2",
        ),
        ((torch.zeros(2, 3, 8, 8), [[0.0, math.nan]] * 2), ValueError, "magnitude nan"),
        ((torch.zeros(2, 3, 8, 8), [[0.0, 0.0]]), ValueError, r"shape \(2, 2\) or \(2, k, 2\)"),
        ((torch.zeros(3, 8, 8),), ValueError, r"images must have shape .* got \(3, 8, 8\)"),
        ((torch.zeros(1, 3, 8, 8, dtype=torch.uint8),), TypeError, "floating point, got torch.uint8"),
    ],
)
def test_bad_input_is_named(arguments, error, message):
    for retina in (LogPolarSampler(8, 8), CartesianSampler(8)):
        with pytest.raises(error, match=message):
            retina(*arguments)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"r_min": 1.0, "r_max": 0.5}, "0 < r_min < r_max, got 1.0 and 0.5"),
        ({"n_rho": 1}, "n_rho and n_theta must be at least 2, got 1"),
        ({"outside": "reflect"}, "outside must be 'zeros' or 'border', got 'reflect'"),
        ({"square": "squeeze"}, "square must be 'pad' or 'crop', got 'squeeze'"),
    ],
)
def test_bad_options_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        LogPolarSampler(**options)

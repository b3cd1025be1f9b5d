import numpy as np
import pandas as pd
import pytest
import torch
from scipy import signal
from torch import nn

from neurovis.features.weights import build_seeded
from neurovis.foveation.eccentric_pooling import compute_rings
from neurovis.gaze.eccnet import EccNet, _make_area_matrix, _make_pool, _Window, correlate, make_ivsn, sharpen
from neurovis.gaze.search import Glance, SearchSetup, SearchTask, make_array_task, simulate_search
from neurovis.gaze.search_protocols import PROTOCOLS, SearchProtocol, find_protocol
from neurovis.gaze.vgg import Backbone, load_vgg_world, make_vgg_stages
from neurovis.stimuli.asymmetry_experiments import make_search_displays

# Search image [px]: output sides and rings of pools 3 and 4, the spec of the paper's network.
THIRD_339 = {16: 2, 20: 3, 24: 3, 28: 4, 32: 4, 36: 5, 40: 5, 44: 6, 48: 6, np.inf: 7}
FOURTH_339 = {8: 2, 10: 3, 12: 3, 14: 4, 16: 5, 18: 5, 20: 6, 22: 6, 24: 7, np.inf: 8}
RINGS = {
    339: (101, THIRD_339, 51, FOURTH_339),
    198: (
        66, {16: 2, 20: 3, 24: 3, 28: 4, 32: 4, np.inf: 5}, 33, {8: 2, 10: 3, 12: 3, 14: 4, 16: 5, np.inf: 5}
    ),
}  # fmt: skip


def make_backbone(widths=(3, 4, 4, 5, 5), seed=0):
    def build():
        stages = make_vgg_stages(widths)
        for layer in stages.modules():
            if isinstance(layer, nn.Conv2d):
                # Enough variance that every layer still differs between places.
                nn.init.kaiming_normal_(layer.weight)
                nn.init.zeros_(layer.bias)
        return stages

    return Backbone("small", build_seeded(build, seed))


SMALL = SearchProtocol("small", 9, background=120, kernels=((3, 1), (5, 3)), px_per_dva=24.0)


def make_small_task(side=100, n_trials=3, seed=0):
    rng = np.random.default_rng(seed)
    cells = (np.arange(side) // 25)[:, None] * 4 + np.arange(side) // 25
    images = rng.integers(0, 256, (n_trials, side, side, 3), dtype=np.uint8)
    rows = {"target_index": np.arange(n_trials) % 2, "target_top_px": 0, "target_left_px": 0}
    rows |= {"target_bottom_px": 10, "target_right_px": 10}
    trials = pd.DataFrame(rows, index=[f"s{n}" for n in range(n_trials)])
    targets = [images[0, :24, :24].copy(), images[1, 5:35, 8:31].copy()]
    return SearchTask("small", trials, images.__getitem__, targets, (side, side), cells), images


def pool_slowly(x, sizes):
    """Average of stride 2 as TensorFlow's "same": window (size) by output pixel, padding not counted."""
    n_out, n_in = sizes.shape[0], x.shape[-1]
    out = np.empty((len(x), n_out, n_out))
    for row in range(n_out):
        for column in range(n_out):
            size = sizes[row, column]
            before = max((n_out - 1) * 2 + size - n_in, 0) // 2
            top, left = 2 * row - before, 2 * column - before
            part = x[:, max(top, 0) : max(top + size, 0), max(left, 0) : max(left + size, 0)]
            out[:, row, column] = part.mean(axis=(1, 2))
    return out


def size_map(n_in, px_per_deg, slope):
    n_out = (n_in + 1) // 2
    offset = np.arange(n_out) - n_out // 2
    distance = np.hypot(offset[:, None], offset)
    sizes = np.zeros((n_out, n_out), int)
    for ring in reversed(compute_rings(n_in, px_per_deg=px_per_deg, slope=slope)):
        sizes[distance < ring.radius_px] = ring.size_px
    return sizes


def attend_slowly(backbone, image, target, fixation, protocol, slopes=(0, 0, 0.07, 0.16, 0.32)):
    """One attention map by whole windows, loops and OpenCV, following the paper step by step."""
    cv2 = pytest.importorskip("cv2", reason="OpenCV is the reference; install neurovis[video]")
    side, px_per_deg = len(image), [24, 12, 6, 3, 2]
    pad = side + protocol.margin_px
    padded = np.full((side + 2 * pad, side + 2 * pad, 3), protocol.background, np.uint8)
    padded[pad : pad + side, pad : pad + side] = image
    window = padded[fixation[0] : fixation[0] + 2 * pad, fixation[1] : fixation[1] + 2 * pad]

    def run(pixels, is_target):
        x = ((pixels / 255 - 0.5) / 0.5).transpose(2, 0, 1)
        layers = []
        for depth, stage in enumerate(backbone.stages):
            with torch.no_grad():
                before = stage(torch.from_numpy(x).float()[None])[0].double().numpy()
            if before.shape[1] != before.shape[2]:
                more = max(before.shape[1:]) - np.array(before.shape[1:])
                squared = np.pad(before, [(0, 0), *((n // 2, n - n // 2) for n in more)])
            else:
                squared = before
            after = pool_slowly(squared, size_map(squared.shape[-1], px_per_deg[depth], slopes[depth]))
            layers = (
                [pool_slowly(layer, np.full(2 * (-(-layer.shape[-1] // 2),), 2)) for layer in layers[:]]
                if (depth and not is_target)
                else layers
            )
            if is_target:
                layers = [pool_slowly(layer, np.full(2 * (-(-layer.shape[-1] // 2),), 2)) for layer in layers]
            layers.append(after if is_target else before)
            x = after
        return layers[2:]

    total, weights = 0, []
    search, wanted = run(window, is_target=False), run(target, is_target=True)
    maps = []
    for features, kernel in zip(search, wanted, strict=True):
        match = np.zeros(features.shape[1:])
        height, width = kernel.shape[1:]
        for plane, weight in zip(features, kernel, strict=True):
            top, left = (height - 1) // 2, (width - 1) // 2
            grown = np.pad(plane, ((top, height - 1 - top), (left, width - 1 - left)))
            match += signal.correlate2d(grown, weight, mode="valid")
        weights.append(match.max())
        maps.append((match - match.min()) / np.ptp(match))
    total = sum(w * m for w, m in zip(weights, maps, strict=True)) / sum(weights)
    for _ in range(3):
        one, two = (cv2.GaussianBlur(total, (size, size), sigma) for size, sigma in protocol.kernels)
        total = total + one - two
    grown = cv2.resize(total, (2 * pad, 2 * pad), interpolation=cv2.INTER_AREA)
    top, left = pad - fixation[0], pad - fixation[1]
    return grown[top : top + side, left : left + side]


def test_attention_equals_a_slow_reference():
    backbone, (task, images) = make_backbone(), make_small_task()
    attend = EccNet(backbone).begin(SearchSetup(task, SMALL))
    fixations = np.array([[50, 50], [3, 99], [81, 17]])
    found = attend(Glance(images, fixations, np.arange(3)))
    for trial in range(3):
        target = task.targets[task.trials["target_index"].iloc[trial]]
        wanted = attend_slowly(backbone, images[trial], target, fixations[trial], SMALL)
        np.testing.assert_allclose(found[trial], wanted, atol=2e-4)


@pytest.mark.parametrize("side", RINGS)
def test_rings_of_the_displays(side):
    n_third, third, n_fourth, fourth = RINGS[side]
    model = EccNet(make_backbone())
    pools = [_make_pool(model, depth, n, PROTOCOLS["orientation"])
             for depth, n in zip((2, 3), (2 * (side + 64) // 4, n_third), strict=True)]  # fmt: skip
    assert [pool.n_out for pool in pools] == [n_third, n_fourth]
    assert [dict(pool.rings) for pool in pools] == [third, fourth]
    # Pools 1 and 2 are ordinary ones.
    for depth in range(2):
        assert {size for _, size in _make_pool(model, depth, 64, PROTOCOLS["orientation"]).rings} == {2}


@pytest.mark.parametrize("pooling", ["eccentric", "average", "max"])
@pytest.mark.parametrize("name", ["top_down", "curve_in_lines"])
def test_what_is_computed_once_for_the_empty_window_changes_nothing(name, pooling):
    displays = make_search_displays(name, seed=0, n_trials=1)
    task = make_array_task(displays)
    side = task.size_px[0]
    window = _Window(EccNet(make_backbone(), pooling), task.size_px, find_protocol(name))
    images = np.stack([task.load(2)] * 4)
    fixations = np.array([[side // 2, side // 2], [0, side - 1], [side - 1, 2], [side // 3, side // 5]])
    assert window.reach == 21
    with torch.inference_mode():
        quick = window.compute_features(images, fixations)
        window.reach = None
        whole = window.compute_features(images, fixations)
    assert [layer.shape[-1] for layer in quick] == [{198: 33, 339: 51}[side]] * 3
    for one, two in zip(quick, whole, strict=True):
        torch.testing.assert_close(one, two, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("size", [(1, 1), (2, 2), (3, 4), (13, 13), (14, 12)])
def test_correlation_at_every_size_of_the_kernel(size):
    rng = np.random.default_rng(0)
    x, kernel = rng.normal(size=(3, 21, 19)), rng.normal(size=(3, *size))
    found = correlate(*(torch.from_numpy(array).float() for array in (x, kernel))).numpy()
    top, left = ((n - 1) // 2 for n in size)
    padded = np.pad(x, ((0, 0), (top, size[0] - 1 - top), (left, size[1] - 1 - left)))
    wanted = [
        [(padded[:, r : r + size[0], c : c + size[1]] * kernel).sum() for c in range(19)] for r in range(21)
    ]
    np.testing.assert_allclose(found, wanted, atol=1e-4)


@pytest.mark.parametrize("kernels", [((3, 1), (5, 3)), ((5, 3), (7, 5)), ((3, 0), (5, 1)), ((1, 0), (7, 0))])
def test_sharpening_and_growing_equal_opencv(kernels):
    cv2 = pytest.importorskip("cv2", reason="OpenCV is the reference; install neurovis[video]")
    x = np.random.default_rng(1).random((17, 17)).astype(np.float32)
    wanted = x.copy()
    for _ in range(3):
        one, two = (cv2.GaussianBlur(wanted, (size, size), sigma) for size, sigma in kernels)
        wanted = wanted + one - two
    np.testing.assert_allclose(sharpen(torch.from_numpy(x), kernels).numpy(), wanted, atol=2e-5)
    for n_out in (68, 71, 124):
        grow = _make_area_matrix(17, n_out).numpy()
        resized = cv2.resize(x, (n_out, n_out), interpolation=cv2.INTER_AREA)
        np.testing.assert_allclose(grow @ x @ grow.T, resized, atol=1e-5)


def test_features_that_match_only_at_the_target_draw_the_eye():
    # Identity stages on colour: only the target is red, the background is black.
    backbone = Backbone("colour", nn.ModuleList(nn.Identity() for _ in range(5)), (0, 0, 0), (1, 1, 1))
    rows, images = [], np.zeros((4, 64, 64, 3), np.uint8)
    images[..., 1] = np.kron(np.indices((4, 4)).sum(0) % 2, np.ones((16, 16))) * 200
    for number, cell in enumerate((0, 3, 10, 15)):
        top, left = 16 * (cell // 4), 16 * (cell % 4)
        images[number, top : top + 16, left : left + 16] = (255, 0, 0)
        rows.append((0, top, left, top + 16, left + 16))
    columns = ["target_index", "target_top_px", "target_left_px", "target_bottom_px", "target_right_px"]
    target = np.zeros((32, 32, 3), np.uint8)
    target[..., 0] = 255
    cells = np.kron(np.arange(16).reshape(4, 4), np.ones((16, 16), int))
    task = SearchTask(
        "red",
        pd.DataFrame(rows, columns=columns, index=list("abcd")),
        images.__getitem__,
        [target],
        (64, 64),
        cells,
    )
    for model in (EccNet(backbone), make_ivsn(backbone)):
        found = simulate_search(model, task, SearchProtocol("red", 16), progress=False)
        assert found.trials["n_saccades"].tolist() == [1, 1, 1, 1]


def test_a_blank_display_gives_an_even_map_and_no_nan():
    task, images = make_small_task()
    blank = np.full_like(images, SMALL.background)
    for weighting in ("maximum", "equal"):
        protocol = SearchProtocol("blank", 9, background=120, weighting=weighting)
        backbone = Backbone("zero", nn.ModuleList(nn.ReLU() for _ in range(5)), (1, 1, 1))
        maps = EccNet(backbone).begin(SearchSetup(task, protocol))(
            Glance(blank, np.full((3, 2), 50), np.arange(3))
        )
        np.testing.assert_array_equal(maps, 0)


def test_ablations_change_what_they_name():
    backbone, (task, images) = make_backbone(), make_small_task()
    glance = Glance(images, np.full((3, 2), 50), np.arange(3))

    def attend(model):
        return model.begin(SearchSetup(task, SMALL))(glance)

    whole = attend(EccNet(backbone))
    # A plain model beside it, built first or not, changes nothing.
    plain = attend(make_ivsn(backbone))
    np.testing.assert_array_equal(attend(EccNet(backbone)), whole)
    assert not np.allclose(plain, whole)
    without = attend(EccNet(backbone, "average"))
    assert not np.allclose(without, whole)
    # Eccentric pools first make a target square that is not, so this holds for the square one.
    flat = attend(EccNet(backbone, slopes=(0.0,) * 5))
    np.testing.assert_allclose(flat[::2], without[::2], atol=1e-5)
    top = EccNet(backbone, layer_weights=(0.0, 0.0, 1.0))
    one = top.begin(SearchSetup(task, SMALL))(glance)
    three = (whole - one) != 0
    assert three.any()
    # Weights that are alike for one layer do not depend on its maximum.
    equal = SearchProtocol(**{**vars(SMALL), "weighting": "equal"})
    np.testing.assert_allclose(top.begin(SearchSetup(task, equal))(glance), one, atol=1e-5)


def test_short_precision_looks_at_the_same_places():
    task, images = make_small_task(n_trials=6)
    glance = Glance(images, np.full((6, 2), 50), np.arange(6))
    whole, short = (
        EccNet(make_backbone(), precision=precision).begin(SearchSetup(task, SMALL))(glance)
        for precision in ("float32", "bfloat16")
    )
    for one, two in zip(whole, short, strict=True):
        assert not np.array_equal(one, two)
        assert np.corrcoef(one.ravel(), two.ravel())[0, 1] > 0.995


def test_wide_scenes_are_seen_up_to_the_windows_border():
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (1, 30, 120, 3), dtype=np.uint8)
    rows = {
        "target_index": [0],
        "target_top_px": 0,
        "target_left_px": 0,
        "target_bottom_px": 9,
        "target_right_px": 9,
    }
    task = SearchTask(
        "wide", pd.DataFrame(rows, index=["a"]), image.__getitem__, [image[0, :16, :16]], (30, 120)
    )
    protocol = SearchProtocol("wide", 9, uses_cells=False, weighting="equal")
    attend = EccNet(make_backbone()).begin(SearchSetup(task, protocol))
    found = attend(Glance(image, np.array([[15, 10]]), np.array([0])))[0]
    assert np.isfinite(found[:, :40]).all()
    assert np.isneginf(found[:, 40:]).all()


def test_wrong_models_are_refused():
    backbone = make_backbone()
    with pytest.raises(ValueError, match="pooling must be 'eccentric', 'average' or 'max'"):
        EccNet(backbone, "mean")
    with pytest.raises(ValueError, match="precision must be 'float32' or 'bfloat16'"):
        EccNet(backbone, precision="half")
    task, images = make_small_task()
    attend = EccNet(backbone).begin(SearchSetup(task, SearchProtocol("coarse", 9, px_per_dva=12.0)))
    with pytest.raises(ValueError, match="px_per_dva of protocol 'coarse' must leave 2 pixels"):
        attend(Glance(images, np.full((3, 2), 50), np.arange(3)))
    with pytest.raises(ValueError, match="layer_weights must not all be zero"):
        EccNet(backbone, layer_weights=(0.0, 0.0, 0.0))
    with pytest.raises(ValueError, match="slopes must have one entry"):
        EccNet(backbone, slopes=(0.0,))


def test_shipped_network_searches():
    displays = make_search_displays("top_down", seed=0, n_trials=2, set_sizes=(6,))
    found = simulate_search(
        EccNet(load_vgg_world()),
        make_array_task(displays),
        find_protocol("top_down"),
        progress=False,
        keep_maps=True,
    )
    assert found.trials["found"].all()
    assert all(np.isfinite(maps).all() and np.ptp(maps) > 0 for maps in found.maps.values())

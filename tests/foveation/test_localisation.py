"""Maps over fixations and what they find, against loops and maps whose answer is known."""

import math

import numpy as np
import pytest
import torch
import xarray as xr
from torch import nn

from neurovis.foveation.cam import compute_grad_cam
from neurovis.foveation.classifier import FoveatedClassifier
from neurovis.foveation.likelihood import (
    center_maps,
    choose_saccades,
    compute_fixation_maps,
    compute_log_odds,
    make_fixation_grid,
    select_class,
)
from neurovis.foveation.localisation import (
    compute_box_distance,
    compute_energy_ratio,
    compute_iou_curve,
    compute_pointing,
    rasterise_boxes,
    sample_masks,
)
from neurovis.foveation.sampling import CartesianSampler, LogPolarSampler


class CentreSurround(nn.Module):
    """Logits (0, contrast) of the inner against the outer rings: high where a bright disc is fixated."""

    def forward(self, x):
        ring = x.mean(dim=(1, 3))
        n = ring.shape[1]
        contrast = ring[:, n // 2 :].mean(1) - ring[:, : n // 2].mean(1)
        return torch.stack([torch.zeros_like(contrast), 10 * (contrast - 0.3)], dim=1)


@pytest.fixture
def discs():
    """Bright discs on grid cells, the classifier that finds them, the grid and the masks."""
    grid = make_fixation_grid("full", scale=0.5)
    places = np.array([(0.0, 0.0), (0.54, -0.36), (-0.72, 0.72)])
    y, x = np.meshgrid(*2 * [(2 * np.arange(80) + 1) / 80 - 1], indexing="ij")
    masks = np.stack([np.hypot(x - a, y - b) < 0.15 for a, b in places])
    images = torch.from_numpy(masks[:, None].repeat(3, axis=1)).float()
    retina = LogPolarSampler(32, 32, r_max=1, r_min=0.05, outside="border")
    classifier = FoveatedClassifier(retina, CentreSurround(), mean=(0.0,) * 3, std=(1.0,) * 3)
    return classifier, images, grid, masks, places


def test_grids_of_the_paper():
    valid = make_fixation_grid("valid", scale=0.1)
    np.testing.assert_allclose(valid.fix_x, np.linspace(-0.9, 0.9, 11))
    full = make_fixation_grid("full", scale=0.4)
    np.testing.assert_allclose(full.fix_y, np.linspace(-0.9, 0.9, 11))
    assert (full.scale == 0.4).all()
    multi = make_fixation_grid("multi", scale=0.1)
    np.testing.assert_allclose(multi.scale[5, 5:], [1, 0.82, 0.64, 0.46, 0.28, 0.1])
    np.testing.assert_array_equal(multi.scale, multi.scale.T)
    # Every window of the nested rings stays inside the image.
    reach = np.maximum(np.abs(multi.fix_x), np.abs(multi.fix_y)[:, None])
    assert (reach + multi.scale <= 1 + 1e-9).all()
    for options, message in (
        ({"kind": "spiral"}, "kind must be 'valid', 'full' or 'multi'"),
        ({"n": 4}, "n must be odd and at least 3, got 4"),
        ({"scale": 1.5}, r"scale must be in \(0, 1\], got 1.5"),
    ):
        with pytest.raises(ValueError, match=message):
            make_fixation_grid(**options)


def test_maps_equal_one_glance_at_a_time(discs, rng):
    classifier, _, _, _, _ = discs
    images = torch.from_numpy(rng.random((3, 3, 40, 40))).float()
    grid = make_fixation_grid("multi", n=5, scale=0.2)
    maps = compute_fixation_maps(classifier, images, grid, batch_size=7)
    assert maps.dims == ("stimulus", "fix_y", "fix_x", "class")
    with torch.no_grad():
        for row in range(5):
            for column in range(5):
                retina = classifier.retina.zoom(float(maps["scale"][row, column]))
                point = [[grid.fix_x[column], grid.fix_y[row]]] * 3
                wanted = classifier(images, point, retina=retina).softmax(1)
                np.testing.assert_allclose(maps[:, row, column], wanted, atol=1e-5)
    labels = np.array([1, 0, 1])
    chosen = compute_fixation_maps(classifier, images, grid, labels=labels)
    np.testing.assert_allclose(chosen, select_class(maps, labels), atol=1e-6)
    np.testing.assert_array_equal(select_class(maps, labels)[1], maps[1, ..., 0])


def test_maps_find_discs(discs):
    classifier, images, grid, masks, places = discs
    maps = compute_fixation_maps(classifier, images, grid, labels=[1, 1, 1])
    np.testing.assert_allclose(choose_saccades(maps), places, atol=1e-9)
    inside = sample_masks(masks, grid.fix_x, grid.fix_y)
    np.testing.assert_array_equal(compute_pointing(maps.values, inside), 1)
    assert compute_iou_curve(maps.values, inside).max(axis=1).min() > 0.5
    assert compute_energy_ratio(maps.values, inside).min() > 3
    centred = center_maps(maps)
    assert np.unravel_index(np.nanargmax(centred), centred.shape) == (5, 5)
    assert int(centred["n_maps"][5, 5]) == 3
    # No shifted map reaches the corner where both others are cut off.
    assert np.isnan(centred.values[centred["n_maps"].values == 0]).all()


def test_centred_mean_by_hand():
    values = np.zeros((2, 3, 3))
    values[0, 1, 1], values[0, 1, 2] = 5, 1
    values[1, 0, 0], values[1, 0, 1] = 7, 3
    maps = xr.DataArray(
        values, dims=("stimulus", "fix_y", "fix_x"), coords={"fix_y": [-1, 0, 1], "fix_x": [-0.5, 0, 0.5]}
    )
    centred = center_maps(maps)
    np.testing.assert_allclose(centred, [[0, 0, 0], [0, 6, 2], [0, 0, 0]])
    np.testing.assert_array_equal(centred["n_maps"], [[1, 1, 1], [1, 2, 2], [1, 2, 2]])
    np.testing.assert_allclose(centred["shift_x"], [-0.5, 0, 0.5])
    lonely = center_maps(maps[1:])
    assert np.isnan(lonely.values[0]).all()
    assert np.isnan(lonely.values[:, 0]).all()
    with pytest.raises(ValueError, match="odd sides, got 2 x 3"):
        center_maps(maps[:, :2])
    with pytest.raises(ValueError, match="maps must be finite"):
        center_maps(maps.where(maps < 5))
    with pytest.raises(ValueError, match="maps must have dims"):
        choose_saccades(maps.rename(fix_x="x"))


def test_masks_are_averaged_over_cells(rng):
    masks = rng.random((2, 24, 24)) < 0.5
    # A grid whose cells tile the image.
    line = (2 * np.arange(6) + 1) / 6 - 1
    expected = masks.reshape(2, 6, 4, 6, 4).mean(axis=(2, 4)) >= 0.5
    np.testing.assert_array_equal(sample_masks(masks, line, line), expected)
    # Cells at the edges are cut off there.
    edge = np.zeros((1, 10, 10), dtype=bool)
    edge[:, :, 0] = True
    assert sample_masks(edge, [-1, 0, 1], [0.0, 0.5]).tolist() == [[[False, False, False]] * 2]
    edge[:, :, 1] = True
    assert sample_masks(edge, [-1, 0, 1], [0.0, 0.5]).tolist() == [[[True, False, False]] * 2]


def test_overlap_pointing_and_energy_equal_loops(rng):
    maps, masks = rng.random((4, 5, 6)), rng.random((4, 5, 6)) < 0.4
    curve = compute_iou_curve(maps, masks)
    assert curve.shape == (4, 36)
    for k in range(4):
        for level, threshold in enumerate(np.linspace(0, 1, 36)):
            places = {tuple(p) for p in np.argwhere(maps[k] > threshold)}
            truth = {tuple(p) for p in np.argwhere(masks[k])}
            assert curve[k, level] == pytest.approx(len(places & truth) / len(places | truth))
        row, column = divmod(int(maps[k].argmax()), 6)
        assert compute_pointing(maps, masks)[k] == masks[k, row, column]
        ratio = maps[k][masks[k]].mean() / maps[k][~masks[k]].mean()
        assert compute_energy_ratio(maps, masks)[k] == pytest.approx(ratio)


def test_constant_maps_score_chance(rng):
    masks = rng.random((3, 11, 11)) < 0.3
    constant = np.full((3, 11, 11), 0.5)
    np.testing.assert_allclose(compute_pointing(constant, masks), masks.mean(axis=(1, 2)))
    np.testing.assert_allclose(compute_iou_curve(constant, masks).max(axis=1), masks.mean(axis=(1, 2)))
    np.testing.assert_allclose(compute_energy_ratio(constant, masks), 1)
    assert math.isinf(compute_energy_ratio(masks[:1].astype(float), masks[:1])[0])


def test_boxes_and_distances():
    mask = rasterise_boxes([(1, 2, 3, 5), (2, 4, 9, 20)], (4, 6))
    assert mask.astype(int).tolist() == [[0] * 6, [0, 0, 1, 1, 1, 0], [0, 0, 1, 1, 1, 1], [0, 0, 0, 0, 1, 1]]
    box = [0.0, -1.0, 1.0, 1.0]
    points = [(0.5, 0.5), (2.0, 0.5), (-4.0, 5.0), (0.0, -0.25)]
    np.testing.assert_allclose(compute_box_distance(points, [box] * 4), [0, 1, 5, 0.25])
    with pytest.raises(ValueError, match=r"\(top, left, bottom, right\) with an area"):
        rasterise_boxes([(3, 2, 1, 5)], (4, 6))


def test_unusable_masks_are_named():
    maps = np.ones((1, 3, 3))
    with pytest.raises(ValueError, match="at least one place each"):
        compute_pointing(maps, np.zeros((1, 3, 3), dtype=bool))
    with pytest.raises(ValueError, match="leave a place free"):
        compute_energy_ratio(maps, np.ones((1, 3, 3), dtype=bool))
    with pytest.raises(ValueError, match=r"masks must have shape \(1, 3, 3\), got \(1, 3, 4\)"):
        compute_iou_curve(maps, np.ones((1, 3, 4), dtype=bool))
    with pytest.raises(ValueError, match="maps must be at least 0, got -1"):
        compute_energy_ratio(-maps, np.eye(3, dtype=bool)[None])


def test_log_odds():
    np.testing.assert_allclose(
        compute_log_odds([0.5, 0.75, 0.0]), [0, math.log(3), math.log(1e-6 / (1 - 1e-6))]
    )


def make_reader(retina, *, layers):
    return FoveatedClassifier(retina, nn.Sequential(*layers), mean=(0.0,) * 3, std=(1.0,) * 3)


def test_grad_cam_of_a_linear_network_is_its_weighted_map(rng):
    images = torch.from_numpy(rng.random((2, 3, 20, 20))).float()
    head = nn.Linear(3, 4)
    layers = (nn.Identity(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), head)
    classifier = make_reader(CartesianSampler(20, mask=False), layers=layers)
    cam = compute_grad_cam(classifier, images, [2, 1], layer="0")
    # The mean gradient of a pooled linear readout is its weight over the number of places.
    weights = head.weight[[2, 1]].detach()[:, :, None, None] / 400
    torch.testing.assert_close(cam, (weights * images).sum(1, keepdim=True).clamp(min=0))


@pytest.mark.parametrize(
    "retina",
    [LogPolarSampler(64, 64, outside="border"), CartesianSampler(64), CartesianSampler(64, mask=False)],
)
def test_cam_goes_back_to_where_the_thing_is(retina):
    y, x = np.meshgrid(*2 * [(2 * np.arange(80) + 1) / 80 - 1], indexing="ij")
    blob = np.exp(-((x - 0.4) ** 2 + (y + 0.2) ** 2) / 0.02)
    images = torch.from_numpy(np.repeat(blob[None, None], 3, axis=1)).float()
    head = nn.Linear(3, 2)
    nn.init.ones_(head.weight)
    classifier = make_reader(retina, layers=(nn.Identity(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), head))
    points = [[0.1, 0.1]]
    cam = compute_grad_cam(classifier, images, [0], layer="0", fixations=points)
    back = retina.invert(cam, points, side_px=80)[0, 0]
    row, column = divmod(int(back.argmax()), 80)
    assert math.hypot((2 * column + 1) / 80 - 1.4, (2 * row + 1) / 80 - 0.8) < 0.06


def test_cam_refuses_what_gives_no_map():
    layers = (nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2))
    classifier = make_reader(CartesianSampler(8), layers=layers)
    images = torch.zeros(1, 3, 8, 8)
    with pytest.raises(ValueError, match="layer must be one of the backbone's, got 'layer4'"):
        compute_grad_cam(classifier, images, [0], layer="layer4")
    with pytest.raises(ValueError, match=r"must give one map .* '3'"):
        compute_grad_cam(classifier, images, [0], layer="3")
    with pytest.raises(ValueError, match="labels must be below 2, got 2"):
        compute_grad_cam(classifier, images, [2], layer="0")

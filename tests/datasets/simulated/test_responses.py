import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from neurovis.core import StimulusSet, make_grid_dva
from neurovis.datasets.simulated import CATEGORY_OF_REGION, ResponseModel, compute_true_responses
from neurovis.stimuli.world_shares import SUBTYPE_NAMES


def test_silent_vertices_are_exactly_zero_and_the_rest_varies(subject, scene_responses):
    responsive = subject.table["responsive"].to_numpy()
    assert scene_responses.dtype == np.float32
    assert (scene_responses[:, ~responsive] == 0).all()
    assert (scene_responses[:, responsive].std(0) > 0).all()


def test_signal_sd_holds_on_other_scenes_of_the_world(subject, scene_responses):
    table = subject.table
    responsive = table["responsive"].to_numpy()
    ratio = scene_responses.std(0)[responsive] / table["signal_sd"][responsive]
    assert np.median(ratio) == pytest.approx(1.0, abs=0.1)
    assert np.quantile(ratio, 0.05) > 0.6


def test_category_regions_prefer_their_category(subject, scenes, scene_responses):
    area = np.zeros((len(scenes), len(SUBTYPE_NAMES)))
    for row, scene in enumerate(scenes):
        for thing in scene.objects:
            area[row, SUBTYPE_NAMES.index(thing.subtype)] += thing.mask.mean()
    by_category = area.reshape(len(scenes), 6, 2).sum(2)
    dominant = by_category.argmax(1)
    names = ["face", "body", "place", "word", "food", "object"]
    responsive = subject.table["responsive"].to_numpy()
    for region, category in CATEGORY_OF_REGION.items():
        here = (subject.table["region"] == region).to_numpy() & responsive
        mean = scene_responses[:, here].mean(1)
        means = [mean[dominant == column].mean() for column in range(6)]
        assert names[int(np.argmax(means))] == category, (region, dict(zip(names, means, strict=True)))


def test_parts_of_a_region_prefer_other_subtypes(subject, scenes, scene_responses):
    table = subject.table
    for category, region in (("face", "FFA"), ("place", "PPA")):
        pair = {"face": ("human", "animal"), "place": ("indoor", "outdoor")}[category]
        shows = [
            np.array([sum(o.mask.mean() for o in scene.objects if o.subtype == subtype) for scene in scenes])
            for subtype in pair
        ]
        contrast = []
        for part in (f"{region}-1", f"{region}-2"):
            here = ((table["subdivision"] == part) & table["responsive"]).to_numpy()
            mean = (scene_responses[:, here] / table["signal_sd"].to_numpy()[here]).mean(1)
            contrast.append(mean[shows[0] > 0.03].mean() - mean[shows[1] > 0.03].mean())
        assert contrast[0] > contrast[1] + 0.3


def test_visual_field_is_contralateral(subject):
    x, y = make_grid_dva((64, 64), (8.0, 8.0))
    texture = np.where((np.floor(x * 1.5) + np.floor(y * 1.5)) % 2 > 0, 0.9, 0.1)
    left = np.where(x < -1.0, texture, 0.5)
    images = np.repeat(np.stack([left, left[:, ::-1]])[..., None], 3, axis=3)
    responses = compute_true_responses(subject, images)
    table = subject.table
    v1 = (table["region"].isin(("V1", "V2", "V3")) & table["responsive"]).to_numpy()
    far = v1 & (table["x_dva"].abs() > 1.5).to_numpy()
    right_hemisphere = (table["hemisphere"] == "right").to_numpy()
    prefers_left = responses[0] > responses[1]
    assert (prefers_left[far] == right_hemisphere[far]).mean() > 0.98


def test_array_set_and_model_agree(subject, scenes, tmp_path):
    images = np.stack([scene.image for scene in scenes[:5]])
    for row, image in enumerate(images):
        Image.fromarray(image).save(tmp_path / f"{row}.png")
    table = pd.DataFrame({"path": [f"{row}.png" for row in range(5)]}, index=[f"s{row}" for row in range(5)])
    stimuli = StimulusSet("five", table, tmp_path, (8.0, 8.0))
    expected = compute_true_responses(subject, images)
    np.testing.assert_allclose(compute_true_responses(subject, stimuli, batch_size=2), expected, atol=1e-4)
    pixels = torch.from_numpy(images).permute(0, 3, 1, 2).float() / 255
    np.testing.assert_allclose(ResponseModel(subject)(pixels).numpy(), expected, atol=1e-4)


def test_responses_have_gradients_with_respect_to_pixels(subject, scenes):
    pixels = torch.from_numpy(scenes[0].image[None].copy()).permute(0, 3, 1, 2).float() / 255
    pixels.requires_grad_(True)
    model = ResponseModel(subject)
    ffa = torch.from_numpy(((subject.table["region"] == "FFA") & subject.table["responsive"]).to_numpy())
    before = model(pixels)[:, ffa].mean()
    before.backward()
    assert torch.isfinite(pixels.grad).all()
    with torch.no_grad():
        step = (pixels + 0.01 * pixels.grad.sign()).clamp(0, 1)
        assert model(step)[:, ffa].mean() > before


def test_hmt_responds_to_motion_more_than_to_stills(subject, tmp_path):
    rng = np.random.default_rng(3)
    background = np.kron(rng.random((16, 32)), np.ones((4, 4)))
    moving = np.stack([background[:, 2 * frame : 2 * frame + 64] for frame in range(24)])
    movies = {"moving": moving, "still": np.repeat(moving[:1], 24, axis=0)}
    for name, frames in movies.items():
        np.save(tmp_path / f"{name}.npy", (np.repeat(frames[..., None], 3, axis=3) * 255).astype(np.uint8))
    table = pd.DataFrame({"path": [f"{name}.npy" for name in movies]}, index=list(movies))
    stimuli = StimulusSet("movies", table, tmp_path, (8.0, 8.0), fps=24.0)
    responses = compute_true_responses(subject, stimuli)
    rows = subject.table[(subject.table["region"] == "hMT") & subject.table["responsive"]]
    hmt = responses[:, rows.index] / rows["signal_sd"].to_numpy()
    # The picture moves to the left: 180 degrees.
    away = np.abs((rows["direction_deg"].to_numpy() - 180 + 180) % 360 - 180)
    difference = hmt[0] - hmt[1]
    assert difference[away < 40].mean() > 3 * max(difference[away > 140].mean(), 0.1)


def test_messages(subject):
    with pytest.raises(ValueError, match="batch_size must be at least 1, got 0"):
        compute_true_responses(subject, np.zeros((1, 8, 8, 3)), batch_size=0)
    with pytest.raises(ValueError, match="images must have 4 dimension"):
        compute_true_responses(subject, np.zeros((8, 8, 3)))

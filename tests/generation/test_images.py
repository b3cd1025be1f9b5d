"""Generated images on disk: resumed after a kill, refused for another configuration, read as stimuli."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from neurovis.core import OtherConfigurationError
from neurovis.generation.guidance import Guidance
from neurovis.generation.images import generate_images
from neurovis.generation.sampling import sample
from neurovis.io import read_stimulus_set

SETTINGS = {"n_steps": 2, "size_px": (16, 16)}


def redness(images):
    return images[:, 0].mean(dim=(1, 2))


def blueness(images):
    return images[:, 2].mean(dim=(1, 2))


def test_images_are_those_of_sample_with_a_row_each(model, tmp_path):
    guidance = {"V4": Guidance(redness), "FFA 1": Guidance(blueness, every=2)}
    stimuli = generate_images(model, tmp_path, guidance, seeds=[3, 5], scales=[0, 4], **SETTINGS)
    table = stimuli.table
    assert table[["region", "scale", "seed"]].values.tolist() == [
        [region, scale, seed] for region in ("FFA 1", "V4") for scale in (0.0, 4.0) for seed in (3, 5)
    ]
    assert (table["control"] == "guided").all()
    expected = sample(model, guidance=Guidance(redness, 4), seeds=[3, 5], **SETTINGS).images
    stored = stimuli.load("guided_V4_scale-4_seed-5")
    np.testing.assert_array_equal(stored, (expected[1] * 255).round().byte().permute(1, 2, 0).numpy())
    predicted = redness(torch.tensor(stored).permute(2, 0, 1)[None] / 255)
    assert table.loc["guided_V4_scale-4_seed-5", "predicted"] == pytest.approx(float(predicted), rel=1e-5)
    assert table["saturated"].isna().tolist() == [True, True, False, False] * 2
    again = read_stimulus_set(tmp_path)
    assert again.stimulus_ids == stimuli.stimulus_ids
    assert again.size_dva == (8.0, 8.0)


def test_a_folder_grows_and_keeps_what_is_there(model, tmp_path):
    guidance = {"V4": Guidance(redness, 2)}
    first = generate_images(model, tmp_path, guidance, seeds=[0, 1], **SETTINGS)
    before = {name: first.path(name).stat().st_mtime_ns for name in first.stimulus_ids}
    more = generate_images(model, tmp_path, guidance, seeds=[1, 2], scales=[2, 3], **SETTINGS)
    more = generate_images(
        model, tmp_path, {"V4": Guidance(redness, -2)}, seeds=[0], control="sign flipped", **SETTINGS
    )
    assert len(more) == 6
    assert {name: more.path(name).stat().st_mtime_ns for name in before} == before


def test_refuses_a_folder_of_other_images(model, tmp_path):
    options = {"seeds": [0], **SETTINGS}
    generate_images(model, tmp_path, {"V4": Guidance(redness, 2)}, **options)
    for guidance, changes, message in (
        ({"V4": Guidance(blueness, 2)}, {}, "another objective of guided/V4"),
        ({"V4": Guidance(redness, 2, gradient="full")}, {}, "another guidance of guided/V4"),
        ({"V4": Guidance(redness, 2)}, {"n_steps": 3}, "another sampling"),
    ):
        with pytest.raises(OtherConfigurationError, match=message):
            generate_images(model, tmp_path, guidance, **{**options, **changes})
    with pytest.raises(ValueError, match=r"got '\.\./V4'"):
        generate_images(model, tmp_path, {"../V4": Guidance(redness, 2)}, **options)


def test_each_image_has_its_own_prompt(model, tmp_path):
    guidance = {"V4": Guidance(redness, 0), "FFA": Guidance(blueness, 0)}
    prompts = {"V4": ["a red cup", "a dog"], "FFA": ["a face", "a dog"]}
    options = {"seeds": [3, 5], "prompt_scale": 4.0, **SETTINGS}
    stimuli = generate_images(model, tmp_path, guidance, prompts=prompts, **options)
    assert stimuli.table.loc["guided_V4_scale-0_seed-5", "prompt"] == "a dog"
    expected = sample(model, prompt=["a red cup", "a dog"], **options).images
    stored = stimuli.load("guided_V4_scale-0_seed-3")
    np.testing.assert_array_equal(stored, (expected[0] * 255).round().byte().permute(1, 2, 0).numpy())
    # The same noise and text give the same image, whatever region they are about.
    same = [stimuli.load(f"guided_{region}_scale-0_seed-5") for region in prompts]
    np.testing.assert_array_equal(*same)
    again = generate_images(model, tmp_path, guidance, prompts=prompts, **options)
    assert again.table["prompt"].tolist() == stimuli.table["prompt"].tolist()
    with pytest.raises(OtherConfigurationError, match="of 'a dog' where 'a cat' is wanted"):
        generate_images(
            model, tmp_path, guidance, prompts={**prompts, "V4": ["a red cup", "a cat"]}, **options
        )
    with pytest.raises(ValueError, match="a text for each of 2 seeds"):
        generate_images(model, tmp_path, guidance, prompts={"V4": ["a", "b"]}, **options)


def test_a_killed_run_loses_and_repeats_nothing(model, pipeline_folder, tmp_path):
    folder = tmp_path / "images"
    code = f"""
import sys, time
sys.path.insert(0, {str(Path(__file__).parent)!r})
from test_images import SETTINGS, redness
from neurovis.generation.guidance import Guidance
from neurovis.generation.images import generate_images
from neurovis.generation.model import load_latent_diffusion

def slow(images):
    time.sleep(0.05)
    return redness(images)

model = load_latent_diffusion({str(pipeline_folder)!r})
guidance = {{"V4": Guidance(slow, 2)}}
generate_images(model, {str(folder)!r}, guidance, seeds=range(200), batch_size=2, **SETTINGS)
"""
    process = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 250
        while len(found := sorted(folder.glob("images/*/*/*.png"))) < 3:
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.02)
    finally:
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    found = sorted(folder.glob("images/*/*/*.png"))
    assert 3 <= len(found) < 200
    assert not (folder / "stimuli.tsv").exists()
    written = {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in found}
    for path in found:
        Image.open(path).load()  # whole

    seeds = range(len(found) + 2)
    stimuli = generate_images(
        model, folder, {"V4": Guidance(redness, 2)}, seeds=seeds, batch_size=2, **SETTINGS
    )
    assert sorted(stimuli.table["seed"]) == list(seeds)
    assert {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in found} == written
    fresh = sample(model, guidance=Guidance(redness, 2), seeds=list(seeds), batch_size=2, **SETTINGS).images
    for name, row in stimuli.table.iterrows():
        expected = (fresh[row["seed"]] * 255).round().byte().permute(1, 2, 0).numpy()
        assert np.abs(stimuli.load(name).astype(int) - expected).max() <= 1

"""Movies that models take: video files read as arrays do, and what is no movie is refused."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from neurovis.core import StimulusSet
from neurovis.datasets.simulated import make_subject
from neurovis.datasets.simulated.movies import compute_movie_responses, select_regions
from neurovis.features.frames import FrameFeatures
from neurovis.features.pixels import PixelFeatures
from neurovis.features.video import ClipSampling, VideoFeatures
from neurovis.io.video import read_video_frames
from neurovis.motion.features import MotionEnergyFeatures
from neurovis.stimuli.movie_variants import write_movie_variants

FPS, SIZE = 12.0, (24, 36)


class Mean(nn.Module):
    """Mean colour of every frame."""

    def __init__(self):
        super().__init__()
        self.keep = nn.Identity()

    def forward(self, clips):
        return self.keep(clips.mean(dim=(3, 4)).flatten(1))


def preprocess(frames):
    return torch.stack([torch.tensor(frame).permute(2, 0, 1) / 255.0 for frame in frames])


def make_video(n_frames=6, **options):
    return VideoFeatures("mean", Mean(), ("keep",), preprocess, ClipSampling(n_frames, **options))


def make_set(folder, movies, fps=FPS, size_dva=(8.0, 12.0)):
    for name, movie in movies.items():
        np.save(folder / f"{name}.npy", movie)
    table = pd.DataFrame(
        {"path": [f"{name}.npy" for name in movies]}, pd.Index(list(movies), name="stimulus_id")
    )
    return StimulusSet("movies", table, folder, size_dva, fps)


@pytest.fixture
def movie(rng):
    return rng.integers(0, 256, (12, *SIZE, 3), dtype=np.uint8)


def extract(kind, stimuli):
    """Rows of one way to take in movies, as an array."""
    if kind == "video":
        return make_video()(stimuli)["keep"].values
    if kind == "frames":
        return FrameFeatures(PixelFeatures())(stimuli)["colour"].values
    if kind == "motion":
        return MotionEnergyFeatures((4,), (0, 2))(stimuli, layers=["motion_energy"])["motion_energy"].values
    return compute_movie_responses(select_regions(make_subject("01", seed=0), ["hMT"]), stimuli).parts


KINDS = ("video", "frames", "motion", "cortex")


@pytest.mark.parametrize("kind", KINDS)
def test_video_files_and_arrays_of_their_frames_give_the_same(tmp_path, movie, kind):
    cv2 = pytest.importorskip("cv2")
    path = tmp_path / "clip.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), FPS, SIZE[::-1])
    for frame in movie:
        writer.write(cv2.cvtColor(frame, cv2.COLOR_RGB2BGR))
    writer.release()
    table = pd.DataFrame({"path": ["clip.avi"]}, pd.Index(["a"], name="stimulus_id"))
    stimuli = StimulusSet("files", table, tmp_path, (8.0, 12.0), FPS)
    arrays = make_set(tmp_path, {"a": read_video_frames(path)})
    np.testing.assert_array_equal(extract(kind, stimuli), extract(kind, arrays))
    with pytest.raises(ValueError, match=r"fps must be that of clip\.avi, 12 frames per second, got 25"):
        extract(kind, replace(stimuli, fps=25.0))


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_no_movie_is_refused(tmp_path, movie, kind):
    stimuli = make_set(tmp_path, {"a": movie})
    assert np.isfinite(extract(kind, stimuli)).all()
    with pytest.raises(ValueError, match="must be movies with a frame rate"):
        extract(kind, replace(stimuli, fps=None))
    with pytest.raises(ValueError, match=r"24 x 36 px of 'a'; height and width are swapped"):
        extract(kind, replace(stimuli, size_dva=(12.0, 8.0)))
    with pytest.raises(
        ValueError, match=r"must be movies \(frame, height, width, 3\), got shape \(24, 36, 3\)"
    ):
        extract(kind, make_set(tmp_path, {"a": movie[0]}))
    with pytest.raises(ValueError, match=r"must be movies .* got shape \(0, 24, 36, 3\) for 'a'"):
        extract(kind, make_set(tmp_path, {"a": movie[:0]}))
    with pytest.raises(ValueError, match="must hold uint8"):
        extract(kind, make_set(tmp_path, {"a": movie / 255}))
    if kind != "frames":  # features of a still picture need no second frame
        with pytest.raises(ValueError, match="at least 2 frames, got 1 for 'a'"):
            extract(kind, make_set(tmp_path, {"a": movie[:1]}))


@pytest.mark.parametrize("batch_size", [1, 4])
def test_clips_of_another_size_are_named(tmp_path, movie, batch_size):
    stimuli = make_set(tmp_path, {"a": movie, "b": movie[:, :20, :30]})
    with pytest.raises(ValueError, match=r"one shape after preprocessing, got \(6, 3, 20, 30\) for 'b'"):
        make_video()(stimuli, batch_size=batch_size)


def test_odd_sizes_are_taken(tmp_path, movie):
    stimuli = make_set(tmp_path, {"a": movie[:, :21, :35]}, size_dva=(6.0, 10.0))
    for kind in KINDS:
        assert np.isfinite(extract(kind, stimuli)).all()


def test_variants_of_video_files_are_arrays(tmp_path, movie):
    written = write_movie_variants(make_set(tmp_path, {"a": movie}), tmp_path / "variants")
    np.testing.assert_array_equal(written.load("a-reversed"), movie[::-1])
    with pytest.raises(ValueError, match="must be movies with a frame rate"):
        write_movie_variants(make_set(tmp_path, {"a": movie}, fps=None), tmp_path / "variants")

"""Movies on the simulated cortex: parts add up, shares follow from variances, the HRF peaks late."""

import numpy as np
import pytest

from neurovis.datasets.simulated import compute_true_responses
from neurovis.datasets.simulated.movies import (
    MovieResponses,
    compute_movie_responses,
    make_hrf_kernel,
    select_regions,
    simulate_movie_runs,
)
from neurovis.metrics.ceilings import compute_ncsnr
from neurovis.stimuli.movie_variants import VARIANTS, vary_movie, write_movie_variants
from neurovis.stimuli.world_movies import make_movie_world


@pytest.fixture(scope="module")
def shown(tmp_path_factory, subject):
    folder = tmp_path_factory.mktemp("movies")
    world = make_movie_world(folder / "w", n_movies=3, seed=1, n_frames=12, size_px=32, kinds=["translation"])
    clips = write_movie_variants(world, folder / "v", variants=("plain", "reversed"))
    small = select_regions(subject, ("V1", "hMT"))
    return small, clips, compute_movie_responses(small, clips)


def test_parts_add_up_and_only_hmt_sees_motion(shown):
    subject, clips, responses = shown
    np.testing.assert_allclose(
        responses.parts.sum(0), compute_true_responses(subject, clips), rtol=1e-4, atol=1e-5
    )
    hmt = (subject.table["region"] == "hMT").to_numpy()
    responsive = subject.table["responsive"].to_numpy()
    static, motion = responses.parts
    assert not motion[:, ~hmt].any()
    assert not responses.parts[:, :, ~responsive].any()
    assert (motion[:, hmt & responsive] > 0).mean() > 0.9
    # Backwards, the same frames move the other way.
    np.testing.assert_allclose(static[::2], static[1::2], rtol=1e-3, atol=1e-4)
    forth, back = motion[::2, hmt & responsive], motion[1::2, hmt & responsive]
    assert np.abs(forth - back).mean() > 0.3 * forth.mean()


@pytest.mark.parametrize("regions", [["hMT"], ["V1"], ["FFA"], ["FFA", "hMT"]])
def test_some_regions_answer_as_in_the_whole_brain(shown, subject, regions):
    _, clips, _ = shown
    clips = clips.subset(clips.stimulus_ids[:2])
    kept = subject.table["region"].isin(regions).to_numpy()
    whole, alone = (
        compute_movie_responses(s, clips).parts for s in (subject, select_regions(subject, regions))
    )
    assert alone.any()
    np.testing.assert_allclose(alone, whole[:, :, kept], rtol=1e-5, atol=1e-6)


def test_shares_are_covariances_with_the_whole(shown):
    _, _, responses = shown
    shares = responses.compute_shares().values
    known = np.isfinite(shares[0])
    np.testing.assert_allclose(shares[:, known].sum(0), 1.0)
    whole = responses.parts.sum(0)
    for vertex in np.flatnonzero(known)[::40]:
        expected = [np.cov(part[:, vertex], whole[:, vertex])[0, 1] for part in responses.parts]
        np.testing.assert_allclose(shares[:, vertex], expected / whole[:, vertex].var(ddof=1), rtol=1e-3)
    np.testing.assert_array_equal(known, responses.subject.table["responsive"].to_numpy())


def test_kernel_keeps_steady_responses_and_peaks_at_five_seconds():
    for t_r in (0.8, 1.0, 2.0):
        kernel = make_hrf_kernel(t_r)
        assert kernel.sum() == pytest.approx(1)
        assert 4 <= t_r * (kernel.argmax() + 0.5) <= 7


def test_runs_hold_signal_noise_and_drift(shown):
    subject, clips, responses = shown
    ids = list(clips.stimulus_ids)
    segments = {"a": ids * 10, "b": ids[::-1] * 10}
    data = simulate_movie_runs(responses, segments, n_repeats={"a": 2, "b": 30}, t_r=2.0, seed=0, drift=0.0)
    assert data.sizes["time"] == 32 * 60
    assert list(np.unique(data["run"].values[data["stimulus_id"].values == "a"])) == [1, 3]
    np.testing.assert_array_equal(data["time"].values[:3], [0, 2, 4])
    clean = simulate_movie_runs(responses, segments, n_repeats=1, t_r=2.0, seed=0, noise=0.0, drift=0.0)
    kernel = make_hrf_kernel(2.0)
    expected = np.zeros((60, subject.n_vertices))
    for onset, clip in enumerate(segments["a"]):
        for lag in range(min(len(kernel), 60 - onset)):
            expected[onset + lag] += kernel[lag] * responses.parts.sum(0)[ids.index(clip)]
    np.testing.assert_allclose(clean.values[:60], expected, rtol=1e-3, atol=1e-5)
    rows = data["stimulus_id"].values == "b"
    sample = np.tile(np.arange(60), 30)
    runs = data.values[rows].reshape(30, 60, -1)
    noise_sd = subject.table["noise_sd"].to_numpy()
    np.testing.assert_allclose(runs.std(0, ddof=1).mean(0), noise_sd, rtol=0.15)
    error = (runs - runs.mean(0)) / noise_sd
    assert (error[:, 1:] * error[:, :-1]).mean() == pytest.approx(0.3, abs=0.05)
    ncsnr = compute_ncsnr(data.values[rows], sample)
    truth = clean.values[60:].std(0) / noise_sd
    np.testing.assert_allclose(ncsnr[truth > 0.2], truth[truth > 0.2], rtol=0.25)


def test_variants_mirror_and_reverse(rng):
    movie = rng.integers(0, 256, (4, 5, 6, 3), dtype=np.uint8)
    np.testing.assert_array_equal(vary_movie(movie, "plain"), movie)
    np.testing.assert_array_equal(vary_movie(movie, "reversed"), movie[::-1])
    np.testing.assert_array_equal(vary_movie(movie, "mirrored-reversed"), movie[::-1, :, ::-1])
    assert len(VARIANTS) == 4
    with pytest.raises(ValueError, match="pass a movie of RGB frames"):
        vary_movie(movie[0], "mirrored")


def test_bad_input_is_refused(shown, subject):
    _, clips, responses = shown
    with pytest.raises(ValueError, match="regions must be among"):
        select_regions(subject, ["MST"])
    with pytest.raises(KeyError, match="no responses to clip 'x'"):
        responses.arrange(["x"])
    with pytest.raises(ValueError, match="must not be empty"):
        simulate_movie_runs(responses, {}, n_repeats=1, t_r=2.0, seed=0)
    with pytest.raises(ValueError, match="n_repeats at least 1"):
        simulate_movie_runs(responses, {"a": clips.stimulus_ids}, n_repeats=0, t_r=2.0, seed=0)
    assert isinstance(responses, MovieResponses)

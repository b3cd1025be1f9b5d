"""Optical flow from planted responses: better than any control, and every part as a slow reference says."""

import numpy as np
import pytest
from scipy import signal

from neurovis.datasets.simulated.flow import simulate_flow_clips
from neurovis.datasets.simulated.movies import make_hrf_kernel
from neurovis.decoding.flow import (
    compare_flow_decoders,
    compute_masked_epe,
    make_codebook,
    quantise_flow,
    train_flow_decoder,
)
from neurovis.decoding.windows import choose_delay, stack_windows
from neurovis.metrics.regression import pearson_r


def compare(seed, *, n_train, n_test, n_epochs):
    train = simulate_flow_clips(n_train, seed=seed)
    test = simulate_flow_clips(n_test, seed=seed, part="test")
    kinds = {
        "both": ("brain and frame", "codes"),
        "regression": ("brain and frame", "regression"),
        "frame": ("frame", "codes"),
        "brain": ("brain", "codes"),
    }
    decoders = {
        name: train_flow_decoder(
            train.brain, train.frame, train.flow, train.mask, source=source, head=head, n_codes=16,
            n_epochs=n_epochs, seed=seed,
        )
        for name, (source, head) in kinds.items()
    }  # fmt: skip
    return compare_flow_decoders(
        decoders, test.brain, test.frame, test.flow, test.mask, mean_flow=train.flow.mean(0), seed=seed
    )


def check(table):
    error = table["object"]
    assert error["both"] < 0.6 * error["zero flow"]
    assert error["regression"] < 0.6 * error["zero flow"]
    assert abs(error["frame"] / error["zero flow"] - 1) < 0.02
    assert error["brain"] > 1.3 * error["both"]
    assert error["both, shuffled"] > error["zero flow"]
    assert error["quantisation floor"] < error["both"] < error["both, argmax"]
    assert table.loc["both", "cosine"] > 0.7
    assert abs(table.loc["both, shuffled", "cosine"]) < 0.15
    # Everywhere, "nothing moves" is hard to beat: the object is small.
    assert table.loc["zero flow", "all"] < 0.5 * error["zero flow"]


def test_brain_and_frame_together_give_the_flow_of_the_object():
    check(compare(0, n_train=900, n_test=200, n_epochs=12))


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(5))
def test_the_thresholds_hold_over_seeds(seed):
    table = compare(seed, n_train=2000, n_test=400, n_epochs=12)
    print(table.round(3))
    check(table)


def test_decoding_repeats_under_a_seed_and_ignores_other_clips():
    clips = simulate_flow_clips(80, seed=1)
    options = {"n_codes": 4, "n_epochs": 1, "width": 8, "n_blocks": 1}
    first, second = (
        train_flow_decoder(clips.brain, clips.frame, clips.flow, clips.mask, seed=3, **options)
        for _ in range(2)
    )
    decoded = first.decode(clips.brain, clips.frame)
    assert decoded.shape == clips.flow.shape
    np.testing.assert_array_equal(decoded, second.decode(clips.brain, clips.frame))
    np.testing.assert_allclose(
        first.decode(clips.brain[:7], clips.frame[:7], batch_size=3), decoded[:7], atol=1e-5
    )
    best = first.decode(clips.brain, clips.frame, readout="argmax").reshape(-1, 2)
    assert {tuple(code) for code in best} <= {tuple(code) for code in first.codebook}


def test_several_steps_keep_their_order(rng):
    clips = simulate_flow_clips(300, seed=2, snr=20.0, n_voxels=60)
    flow = np.concatenate([clips.flow, -clips.flow, 0 * clips.flow], axis=1)
    decoder = train_flow_decoder(
        clips.brain, clips.frame, flow, head="regression", n_codes=8, n_epochs=12, dropout=0.0, seed=0
    )
    decoded = decoder.decode(clips.brain, clips.frame)
    assert decoded.shape == (300, 3, 8, 8, 2)
    r = [np.corrcoef(decoded[:, step].ravel(), clips.flow[:, 0].ravel())[0, 1] for step in range(2)]
    assert r[0] > 0.8
    assert r[1] < -0.8
    assert np.abs(decoded[:, 2]).mean() < 0.3 * np.abs(decoded[:, 0]).mean()


def test_codes_are_balanced_between_object_and_background(rng):
    mask = np.zeros((200, 16, 16), bool)
    mask[:, :2, :2] = True
    flow = rng.normal(0, 0.05, (200, 1, 16, 16, 2))
    flow[:, 0, :2, :2] += rng.normal(0, 4, (200, 1, 1, 2))
    balanced, plain = (make_codebook(flow, m, n_codes=8, n_samples=2000) for m in (mask, None))
    truth = flow[:, 0, :2, :2].reshape(-1, 2)
    floor = [np.hypot(*(truth - c[quantise_flow(truth, c)]).T).mean() for c in (balanced, plain)]
    assert floor[0] < floor[1]
    assert (np.diff(np.hypot(*balanced.T)) >= 0).all()


def test_nearest_codes_and_masked_errors_equal_loops(rng):
    flow, other = rng.normal(size=(2, 3, 2, 4, 5, 2))
    codes = rng.normal(size=(6, 2))
    found = quantise_flow(flow, codes)
    for place in np.ndindex(flow.shape[:-1]):
        assert found[place] == np.argmin([np.hypot(*(flow[place] - code)) for code in codes])
    mask = rng.random((3, 4, 5)) < 0.4
    mask[2] = False
    errors = compute_masked_epe(flow, other, mask)
    for clip in range(2):
        expected = [np.hypot(*(flow[clip, t, y, x] - other[clip, t, y, x])) for t in range(2)
                    for y in range(4) for x in range(5) if mask[clip, y, x]]  # fmt: skip
        assert errors[clip] == pytest.approx(np.mean(expected))
    assert np.isnan(errors[2])
    assert not compute_masked_epe(flow, flow, np.ones_like(mask)).any()


def test_windows_stay_in_their_run(rng):
    responses = rng.normal(size=(7, 2))
    runs = np.array([1, 1, 1, 1, 2, 2, 2])
    windows = stack_windows(responses, (-1, 0, 2), runs)
    for row in range(7):
        for place, offset in enumerate((-1, 0, 2)):
            source = row + offset
            inside = 0 <= source < 7 and runs[source] == runs[row]
            expected = responses[source] if inside else 0.0
            np.testing.assert_array_equal(windows[row, 2 * place : 2 * place + 2], expected)


@pytest.mark.parametrize("seed", range(3))
def test_the_haemodynamic_delay_is_found(seed):
    t_r, rng = 2.0, np.random.default_rng(seed)
    velocity = rng.normal(size=(6, 100, 2))
    kernel = make_hrf_kernel(t_r)
    weights = rng.normal(size=(2, 80))
    bold = signal.lfilter(kernel / np.sqrt((kernel**2).sum()), [1.0], velocity @ weights, axis=1)
    bold += 2 * rng.normal(size=bold.shape)
    runs = np.repeat(np.arange(6), 100)
    delay, scores = choose_delay(
        bold.reshape(600, -1), velocity.reshape(600, 2), runs, validation=(4, 5), delays=range(6)
    )
    assert 4 <= delay * t_r <= 6
    assert scores[delay] > scores[0] + 0.1


def test_truth_of_the_simulation_is_what_it_says():
    clips = simulate_flow_clips(3000, seed=4, snr=0.5)
    again = simulate_flow_clips(3000, seed=4, snr=0.5)
    np.testing.assert_array_equal(clips.brain, again.brain)
    assert clips.mask.sum((1, 2)).tolist() == [9] * 3000
    inside = np.where(
        clips.mask[..., None], clips.velocity[:, None, None, :2], clips.velocity[:, None, None, 2:]
    )
    np.testing.assert_allclose(clips.flow[:, 0], inside)
    # Signal 1, noise 2.
    np.testing.assert_allclose(clips.brain.var(0), 3.0, rtol=0.15)
    linear = np.c_[np.ones(3000), clips.velocity]
    fitted = linear @ np.linalg.lstsq(linear, clips.brain[:, 200:], rcond=None)[0]
    np.testing.assert_allclose(pearson_r(clips.brain[:, 200:], fitted) ** 2, 1 / 3, atol=0.06)


def test_bad_input_is_refused(rng):
    clips = simulate_flow_clips(40, seed=5)
    arrays = (clips.brain, clips.frame, clips.flow)
    with pytest.raises(ValueError, match="source"):
        train_flow_decoder(*arrays, source="eyes")
    with pytest.raises(ValueError, match="agree in clips and grid"):
        train_flow_decoder(clips.brain, clips.frame, clips.flow[:, :, :4])
    with pytest.raises(ValueError, match="distinct vectors"):
        make_codebook(np.zeros((2, 1, 4, 4, 2)), n_codes=3)
    decoder = train_flow_decoder(*arrays, n_codes=4, n_epochs=1, width=8)
    with pytest.raises(ValueError, match="400 voxels"):
        decoder.decode(clips.brain[:, 1:], clips.frame)
    with pytest.raises(ValueError, match="readout"):
        decoder.decode(clips.brain, clips.frame, readout="mean")
    with pytest.raises(ValueError, match="validation"):
        choose_delay(clips.brain, clips.velocity, np.zeros(40), validation=(0,), delays=(0,))
    with pytest.raises(ValueError, match="object_size"):
        simulate_flow_clips(3, seed=0, grid=4, object_size=5)

"""Single-trial betas against nilearn: one model (LSA), one model per trial (LSS), OLS and AR(1)."""

import numpy as np
import pandas as pd
import pytest
from nilearn.glm.first_level import glover_hrf, make_first_level_design_matrix, run_glm
from nilearn.glm.regression import ARModel

from neurovis.datasets import single_trial as st

T_R, N_SCANS = 1.5, 120


@pytest.fixture
def case(rng):
    onsets = 6.0 + np.cumsum(rng.uniform(5, 8, size=22))
    events = pd.DataFrame({"onset": onsets, "duration": 2.0})
    frame_times = st.make_frame_times(N_SCANS, T_R)
    confounds = rng.normal(size=(N_SCANS, 3)) * [0.1, 5.0, 1e3]
    trials = st.make_trial_regressors(events, frame_times)
    noise = rng.normal(size=(N_SCANS, 6))
    for scan in range(1, N_SCANS):
        noise[scan] += np.linspace(-0.2, 0.6, 6) * noise[scan - 1]
    series = (
        trials @ rng.normal(1, 1, size=(22, 6)) + 0.3 * noise + confounds @ rng.normal(size=(3, 6)) * 1e-3
    )
    return events, frame_times, confounds, trials, series


def nilearn_design(events, names, frame_times, confounds, glm):
    return make_first_level_design_matrix(
        frame_times,
        events.assign(trial_type=names),
        hrf_model=glm.hrf_model,
        drift_model=None if glm.drift_model == "none" else glm.drift_model,
        high_pass=glm.high_pass,
        drift_order=glm.drift_order,
        add_regs=confounds,
        add_reg_names=[f"c{i}" for i in range(confounds.shape[1])],
    )


def nilearn_betas(design, series, names, noise_model):
    labels, results = run_glm(series, design.to_numpy(), noise_model=noise_model)
    theta = np.empty((design.shape[1], series.shape[1]))
    for label, result in results.items():
        theta[:, labels == label] = result.theta
    return theta[[list(design).index(name) for name in names]]


@pytest.mark.parametrize("noise_model", ["ols", "ar1"])
@pytest.mark.parametrize(
    ("drift_model", "hrf_model"), [("cosine", "glover"), ("polynomial", "spm"), ("none", "spm")]
)
def test_lsa_equals_nilearn(case, noise_model, drift_model, hrf_model):
    events, frame_times, confounds, _, series = case
    glm = st.TrialGlm("lsa", hrf_model, drift_model, noise_model=noise_model)
    names = [f"t{i:03d}" for i in range(len(events))]
    design = nilearn_design(events, names, frame_times, confounds, glm)
    expected = nilearn_betas(design, series, names, noise_model)
    trials = st.make_trial_regressors(events, frame_times, hrf_model=hrf_model)
    nuisance = st.make_nuisance(frame_times, glm, confounds=confounds)
    betas = st.estimate_trial_betas(series, trials, nuisance, glm)
    np.testing.assert_allclose(betas, expected, rtol=1e-4, atol=1e-4)
    assert np.abs(expected).max() > 0.5


def test_lss_equals_one_nilearn_model_per_trial(case):
    events, frame_times, confounds, trials, series = case
    glm = st.TrialGlm("lss")
    expected = []
    for trial in range(len(events)):
        names = np.where(np.arange(len(events)) == trial, "this", "others")
        design = nilearn_design(events, names, frame_times, confounds, glm)
        expected.append(nilearn_betas(design, series, ["this"], "ols")[0])
    nuisance = st.make_nuisance(frame_times, glm, confounds=confounds)
    betas = st.estimate_trial_betas(series, trials, nuisance, glm)
    np.testing.assert_allclose(betas, expected, rtol=1e-4, atol=1e-4)


def test_lss_with_ar1_equals_whitened_models(case):
    _, frame_times, confounds, trials, series = case
    glm = st.TrialGlm("lss", noise_model="ar1")
    nuisance = st.make_nuisance(frame_times, glm, confounds=confounds)
    coefficients = st.compute_ar1(series, np.hstack([trials.sum(axis=1, keepdims=True), nuisance]))
    assert len(np.unique(coefficients)) > 3
    betas = st.estimate_trial_betas(series, trials, nuisance, glm)
    for voxel, coefficient in enumerate(coefficients):
        for trial in (0, 9, 21):
            others = trials.sum(axis=1) - trials[:, trial]
            design = np.column_stack([trials[:, trial], others, nuisance])
            theta = ARModel(design, coefficient).fit(series[:, [voxel]]).theta[0, 0]
            assert betas[trial, voxel] == pytest.approx(theta, rel=1e-4, abs=1e-4)


def test_regressor_peaks_when_the_hrf_does():
    frame_times = st.make_frame_times(400, 0.1)
    events = pd.DataFrame({"onset": [10.0], "duration": [0.1]})
    regressor = st.make_trial_regressors(events, frame_times)[:, 0]
    hrf = glover_hrf(0.1, oversampling=1)
    peak = frame_times[regressor.argmax()] - 10.0
    assert peak == pytest.approx(0.1 * hrf.argmax(), abs=0.15)
    assert 4.5 < peak < 6.5
    assert not regressor[frame_times < 10.0].any()
    # Scans that were taken later see the same response earlier in their series.
    later = st.make_trial_regressors(events, st.make_frame_times(400, 0.1, start=1.0))[:, 0]
    np.testing.assert_allclose(later[:-10], regressor[10:], atol=0.02 * regressor.max())


def test_without_noise_lsa_is_exact_and_lss_close(case, rng):
    _, frame_times, confounds, trials, _ = case
    truth = rng.normal(1, 1, size=(22, 30))
    series = trials @ truth + 100 + np.outer(np.linspace(-1, 1, N_SCANS), np.ones(30)) + confounds[:, :1] * 7
    for method, least in (("lsa", 0.9999), ("lss", 0.9)):
        glm = st.TrialGlm(method, drift_model="polynomial")
        nuisance = st.make_nuisance(frame_times, glm, confounds=confounds)
        betas = st.estimate_trial_betas(series, trials, nuisance, glm)
        correlations = [np.corrcoef(betas[:, v], truth[:, v])[0, 1] for v in range(30)]
        assert np.median(correlations) > least, method


def test_other_events_are_modelled_by_type(case):
    events, frame_times, *_ = case
    others = events.iloc[:4].assign(
        trial_type=["cue", "button", "cue", "button"], onset=lambda e: e["onset"] + 2
    )
    glm = st.TrialGlm(drift_model="none")
    nuisance = st.make_nuisance(frame_times, glm, other_events=others)
    buttons = st.make_trial_regressors(others.iloc[[1, 3]], frame_times).sum(axis=1)
    assert nuisance.shape == (N_SCANS, 3)
    np.testing.assert_allclose(nuisance[:, 0], buttons)
    np.testing.assert_array_equal(nuisance[:, 2], 1.0)


def test_percent_scaling(rng):
    series = 500 + rng.normal(size=(50, 3))
    scaled = st.scale_series(series)
    np.testing.assert_allclose(scaled, 100 * (series - series.mean(0)) / series.mean(0), atol=1e-4)
    np.testing.assert_allclose(st.scale_series(series, scaling="none"), series, rtol=1e-6)
    with pytest.raises(ValueError, match=r"mean must be positive .* got 3 of 3 .*scaling='none'"):
        st.scale_series(series - 500.5)


def test_bad_designs_are_refused(case):
    events, frame_times, confounds, trials, _ = case
    glm = st.TrialGlm()
    with pytest.raises(ValueError, match=r"before the run ends at 180 s, got 1 later, the first at 180 s"):
        st.make_trial_regressors(pd.DataFrame({"onset": [1.0, 180.0], "duration": 1.0}), frame_times)
    with pytest.raises(ValueError, match=r"one row per scan \(120\), got 119"):
        st.make_nuisance(frame_times, glm, confounds=confounds[1:])
    nuisance = st.make_nuisance(frame_times, glm)
    last = st.make_trial_regressors(pd.DataFrame({"onset": [20.0, 178.4], "duration": 0.1}), frame_times)
    for method in st.METHODS:
        with pytest.raises(ValueError, match="got 1 of 2 that are not, the first is trial 1"):
            st.compute_trial_weights(last, nuisance, method=method)
    short = st.make_frame_times(25, T_R)
    few = st.make_trial_regressors(events[events["onset"] < 30].loc[[0, 0, 1, 2]], short)
    with pytest.raises(ValueError, match=r"separable trials.*rank 3.*pass method='lss'"):
        st.compute_trial_weights(few, st.make_nuisance(short, glm), method="lsa")
    with pytest.raises(ValueError, match="method must be 'lsa' or 'lss', got 'lsx'"):
        st.TrialGlm(method="lsx")
    with pytest.raises(ValueError, match="high_pass must be positive"):
        st.TrialGlm(high_pass=0)
    assert trials.shape == (N_SCANS, 22)


def test_a_single_trial_has_no_others(case):
    _, frame_times, _, trials, series = case
    glm = st.TrialGlm("lss")
    nuisance = st.make_nuisance(frame_times, glm)
    design = np.column_stack([trials[:, 3], nuisance])
    expected = np.linalg.lstsq(design, series, rcond=None)[0][0]
    np.testing.assert_allclose(
        st.estimate_trial_betas(series, trials[:, [3]], nuisance, glm)[0], expected, rtol=1e-4
    )

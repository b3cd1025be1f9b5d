"""RSA finds the planted geometry, and its ceiling bounds what a true model reaches."""

import numpy as np
import pytest
import xarray as xr

from neurovis.core import make_neural_data
from neurovis.evaluation.rsa import evaluate_rsa
from neurovis.metrics.rdm import compare_rdms, compute_rdm

IDS = [f"s{i:02d}" for i in range(24)]


def make_features(values):
    return xr.DataArray(values, dims=("stimulus", "feature"), coords={"stimulus_id": ("stimulus", IDS)})


def make_subject(signal, *, noise_sd, n_repeats, seed, label="01"):
    rng = np.random.default_rng(seed)
    trials = signal + noise_sd * rng.normal(size=(n_repeats, *signal.shape))
    k = signal.shape[1]
    return make_neural_data(
        trials.reshape(-1, k),
        rows="presentation",
        row_coords={"stimulus_id": IDS * n_repeats, "repeat": np.repeat(np.arange(n_repeats), len(IDS))},
        neuroid_coords={
            "neuroid_id": [f"{label}-{i}" for i in range(k)],
            "subject": [label] * k,
            "region": np.where(np.arange(k) < k // 2, "V1", "noise"),
        },
        units="z",
        source="planted",
    )


@pytest.fixture(scope="module")
def planted():
    rng = np.random.default_rng(0)
    latent = rng.normal(size=(len(IDS), 5))
    signal = latent @ rng.normal(size=(5, 80))
    signal[:, 40:] = 0
    features = {
        "true": make_features(signal[:, :40]),
        "other": make_features(rng.normal(size=(len(IDS), 40))),
    }
    return features, signal


@pytest.mark.parametrize("n_subjects", [1, 4])
def test_true_geometry_reaches_the_ceiling_and_others_stay_at_chance(planted, n_subjects):
    features, signal = planted
    data = [make_subject(signal, noise_sd=1.5, n_repeats=4, seed=s, label=f"0{s}") for s in range(n_subjects)]
    table = evaluate_rsa(features, data, zscore=False, n_bootstraps=100, n_permutations=200)
    table = table.set_index(["region", "features"])
    true, other = table.loc[("V1", "true")], table.loc[("V1", "other")]
    assert true["ceiling_of"] == ("subjects" if n_subjects > 1 else "split halves")
    assert true["similarity"] >= true["ceiling_low"]
    assert true["ceiling_low"] < true["ceiling_high"] <= 1
    assert true["p_value"] == pytest.approx(1 / 201)
    assert true["ci_low"] < true["similarity"] < true["ci_high"] + 0.05
    assert other["similarity"] < 0.3
    assert other["p_value"] > 0.01
    assert abs(table.loc[("noise", "true")]["similarity"]) < 0.2
    assert table.loc[("noise", "true")]["ceiling_low"] < 0.3


def test_similarity_is_the_mean_over_half_rdms(planted):
    features, signal = planted
    data = make_subject(signal, noise_sd=1.0, n_repeats=2, seed=3)
    table = evaluate_rsa(features, data, zscore=False, n_bootstraps=10, n_permutations=10)
    halves = [compute_rdm(data.values[: len(IDS), :40]), compute_rdm(data.values[len(IDS) :, :40])]
    expected = compare_rdms(np.stack(halves), compute_rdm(features["true"].values)).mean()
    row = table[(table["region"] == "V1") & (table["features"] == "true")].iloc[0]
    assert row["similarity"] == pytest.approx(expected)
    assert row["n_stimuli"] == len(IDS)


def test_rows_without_repeats_have_no_ceiling(planted):
    features, signal = planted
    data = make_subject(signal, noise_sd=1.0, n_repeats=1, seed=3)
    table = evaluate_rsa(features, data, zscore=False, n_bootstraps=10, n_permutations=10)
    assert (table["ceiling_of"] == "none").all()
    assert table["ceiling_low"].isna().all()


def test_bad_input_is_named(planted):
    features, signal = planted
    data = make_subject(signal, noise_sd=1.0, n_repeats=2, seed=3)
    with pytest.raises(ValueError, match="at least 4 stimuli"):
        evaluate_rsa(features, data, stimulus_ids=["nowhere", *IDS[:2]])
    with pytest.raises(ValueError, match="by must be"):
        evaluate_rsa(features, data, by="colour")
    with pytest.raises(ValueError, match="at least 3 neuroids"):
        evaluate_rsa(features, data, by="neuroid_id")


@pytest.mark.parametrize("comparison", ["whitened_cosine", "rho_a", "kendall_tau_a"])
def test_other_comparisons_find_the_true_geometry_below_its_ceiling(comparison, planted):
    features, signal = planted
    data = [make_subject(signal, noise_sd=1.5, n_repeats=4, seed=s, label=f"0{s}") for s in range(3)]
    table = evaluate_rsa(
        features,
        data,
        distance="squared_euclidean",
        comparison=comparison,
        zscore=False,
        n_bootstraps=30,
        n_permutations=99,
    ).set_index(["region", "features"])
    true, other = table.loc[("V1", "true")], table.loc[("V1", "other")]
    assert true["similarity"] > other["similarity"]
    assert true["p_value"] == 0.01
    assert other["p_value"] > 0.01
    assert 0 < true["ceiling_low"] < true["ceiling_high"] <= 1
    assert true["ci_low"] <= true["similarity"] <= true["ceiling_high"] + 0.05

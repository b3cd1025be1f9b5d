"""Parts of regions against the planted ones: by hand, and on the simulated cortex from pixels to clusters."""

import numpy as np
import pytest
from sklearn.metrics import adjusted_rand_score

from neurovis.core import average_repeats
from neurovis.datasets.simulated import compute_true_responses, make_subject, simulate_betas
from neurovis.encoding.ridge import Ridge
from neurovis.evaluation.preparation import zscore_sessions
from neurovis.evaluation.subregions import rank_images, score_subregions
from neurovis.features.open_clip import make_open_clip
from neurovis.generation.subregions import find_subregions, shuffle_weights
from neurovis.stimuli.world_files import make_world

REGIONS = ("OPA", "food")


@pytest.fixture(scope="module")
def cortex(tmp_path_factory):
    """Weights, planted parts and predictions of two subjects' regions, and the subtype of each scene."""
    scenes = make_world(tmp_path_factory.mktemp("world"), n_images=180, seed=21)
    features = make_open_clip("world-clip-resnet", normalise=True)(scenes)["output"]
    weights, parts, predicted = {}, {}, {}
    for name in ("01", "02"):
        subject = make_subject(name, seed=21)
        table = subject.table
        truth = compute_true_responses(subject, scenes)
        betas = simulate_betas(subject, scenes, n_repeats=4, n_sessions=4, seed=21, responses=truth)
        data = average_repeats(zscore_sessions(betas))
        order = [scenes.stimulus_ids.index(item) for item in data["stimulus_id"].values]
        encoder = Ridge().fit(features.values[order], data.values)
        for region in REGIONS:
            # Silent vertices would be a part of their own; gating by scores is the command's.
            own = np.flatnonzero((table["region"] == region) & table["responsive"])
            weights.setdefault(region, {})[name] = encoder.coef_.T[own]
            parts.setdefault(region, {})[name] = table["subdivision"].to_numpy()[own]
            predicted.setdefault(region, {})[name] = encoder.predict(features.values)[:, own]
    covariance = np.cov(features.values.T)
    return weights, parts, predicted, covariance, scenes


@pytest.mark.parametrize("region", REGIONS)
def test_planted_parts_of_the_simulated_cortex_are_found(cortex, region):
    weights, parts, _, covariance, _ = cortex
    found = find_subregions(weights[region], covariance=covariance)
    score = score_subregions(found.labels, parts[region], n_permutations=100, n_bootstraps=100)
    assert score["ari"] > 0.85
    assert score["p_value"] < 0.02
    assert found.stability > 0.85
    mixed = find_subregions(shuffle_weights(weights[region]), covariance=covariance)
    control = score_subregions(mixed.labels, parts[region], n_permutations=100, n_bootstraps=100)
    assert control["ari"] < 0.1
    assert mixed.stability < found.stability


def test_each_part_prefers_images_of_its_own_subtype(cortex):
    weights, parts, predicted, covariance, scenes = cortex
    found = find_subregions(weights["OPA"], covariance=covariance)
    ranked = rank_images(predicted["OPA"], found.labels, scenes.stimulus_ids)
    known = np.concatenate(list(parts["OPA"].values()))
    labels = np.concatenate(list(found.labels.values()))
    for cluster in (0, 1):
        names, counts = np.unique(known[labels == cluster], return_counts=True)
        wanted, other = ("indoor", "outdoor") if names[counts.argmax()] == "OPA-1" else ("outdoor", "indoor")
        best = ranked[ranked["cluster"] == cluster]["stimulus_id"].head(10)
        shown = scenes.table.loc[best, "subtype"]
        # Other scenes are those of things that stand in such a place.
        assert (shown == wanted).sum() >= 5
        assert (shown == other).sum() == 0


def test_score_is_the_adjusted_rand_index_without_unknown_neuroids():
    rng = np.random.default_rng(0)
    labels = {"01": rng.integers(2, size=40), "02": rng.integers(2, size=60)}
    planted = {name: np.where(part == 1, "b", "a") for name, part in labels.items()}
    planted["02"][:10] = np.where(labels["02"][:10] == 1, "a", "b")
    planted["01"][:5] = ""
    score = score_subregions(labels, planted)
    known = planted["01"][5:].tolist() + planted["02"].tolist()
    given = labels["01"][5:].tolist() + labels["02"].tolist()
    assert score["ari"] == pytest.approx(adjusted_rand_score(known, given))
    assert score["n"] == 95
    assert score["agreement"] == pytest.approx(85 / 95)
    assert score["ari_low"] < score["ari"] < score["ari_high"]
    assert score["p_value"] == pytest.approx(1 / 501)
    # Names of clusters do not matter.
    swapped = {name: 1 - part for name, part in labels.items()}
    assert score_subregions(swapped, planted) == score


def test_chance_is_not_significant():
    rng = np.random.default_rng(1)
    values = []
    for seed in range(20):
        labels = {"01": rng.integers(2, size=60)}
        planted = {"01": rng.choice(["a", "b"], 60)}
        values.append(score_subregions(labels, planted, n_permutations=99, n_bootstraps=2, seed=seed))
    assert np.mean([value["p_value"] <= 0.05 for value in values]) <= 0.2
    assert abs(np.mean([value["ari"] for value in values])) < 0.02


def test_images_are_ranked_by_what_tells_a_part_from_the_others():
    responses = {"01": np.array([[1.0, 0], [5, 5], [0, 2]]), "02": np.array([[3.0], [5], [0]])}
    ranked = rank_images(responses, {"01": [0, 1], "02": [0]}, ["a", "b", "c"])
    first = ranked[ranked["cluster"] == 0]
    assert first["stimulus_id"].tolist() == ["a", "b", "c"]
    assert first["response"].tolist() == [2, 5, 0]
    assert first["difference"].tolist() == [2, 0, -2]
    assert ranked[ranked["cluster"] == 1]["stimulus_id"].tolist() == ["c", "b", "a"]


def test_tells_what_does_not_fit():
    with pytest.raises(ValueError, match="same subjects"):
        score_subregions({"01": [0, 1]}, {"02": ["a", "b"]})
    with pytest.raises(ValueError, match="a part for each of 2 neuroids"):
        score_subregions({"01": [0, 1]}, {"01": ["a"]})
    with pytest.raises(ValueError, match="at least 2 parts"):
        score_subregions({"01": [0, 1]}, {"01": ["a", ""]})
    with pytest.raises(ValueError, match="responses of '01'"):
        rank_images({"01": np.zeros((3, 2))}, {"01": [0]}, ["a", "b", "c"])

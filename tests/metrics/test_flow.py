"""Measures of flow against plain formulas, the published values of null models, and planted deviations."""

import numpy as np
import pytest
from scipy import stats

from neurovis.metrics.flow import (
    bootstrap_flow_scores,
    compute_deviation_null,
    compute_direction_error,
    compute_epe,
    compute_partial_r,
    compute_rci,
    compute_speed_error,
    describe_aspect,
    make_group_permuter,
    make_group_sampler,
    score_perceived_flow,
    summarise_epe,
)


@pytest.fixture
def flows(rng):
    truth = rng.normal(scale=3, size=(120, 2))
    return truth + rng.normal(size=(120, 2)), truth


def test_errors_of_known_vectors():
    truth = np.array([[3.0, 0], [0, 2], [1, 1], [0, 0]])
    prediction = np.array([[0.0, 4], [0, -2], [2, 2], [1, 0]])
    assert compute_epe(truth, prediction).tolist() == pytest.approx([5, 4, np.sqrt(2), 1])
    assert compute_speed_error(truth, prediction).tolist() == pytest.approx([1, 0, np.sqrt(2), 1])
    angles = compute_direction_error(truth, prediction)
    assert angles[:3].tolist() == pytest.approx([90, 180, 0])
    assert np.isnan(angles[3])
    fields = np.zeros((4, 5, 6, 2))
    assert compute_epe(fields, fields + 1).shape == (4, 5, 6)


def test_robust_errors_ignore_an_outlier():
    errors = np.append(np.ones(39), 1000.0)
    found = summarise_epe(errors)
    assert found["mean"] > 20
    assert found["median"] == found["winsorised"] == 1
    np.testing.assert_allclose(summarise_epe(errors, share=0)["winsorised"], errors.mean())


def test_index_of_models_made_of_people_is_as_derived(flows):
    human, truth = flows
    ceiling = np.linalg.norm(human - truth, axis=1) / (
        np.linalg.norm(human, axis=1) + np.linalg.norm(truth, axis=1)
    )
    np.testing.assert_allclose(compute_rci(human, truth, human), ceiling)
    np.testing.assert_allclose(compute_rci(human, truth, (human + truth) / 2), ceiling / 2)
    np.testing.assert_allclose(compute_rci(human, truth, 2 * truth - human), -ceiling / 3)


def test_index_equals_a_plain_loop_and_is_bounded(rng):
    human, truth, model = rng.normal(size=(3, 50, 2))
    loop = []
    for r, g, m in zip(human, truth, model, strict=True):
        a = np.hypot(*(r - g)) / (np.hypot(*g) + np.hypot(*r))
        b = (r - g) @ (m - g) / (np.hypot(*(r - g)) * np.hypot(*(m - g)))
        c = np.hypot(*(m - g)) / (np.hypot(*(m - g)) + np.hypot(*(m - r)))
        loop.append(a * b * c)
    found = compute_rci(human, truth, model)
    np.testing.assert_allclose(found, loop)
    assert np.abs(found).max() <= 1


def test_index_is_zero_where_it_is_undefined():
    one = np.array([[1.0, 2.0]])
    assert compute_rci(one, one, one + 1) == 0
    assert compute_rci(one + 1, one, one) == 0
    assert compute_rci(0 * one, 0 * one, one) == 0


def test_partial_correlation_is_that_of_residuals(rng):
    first, second, given = rng.normal(size=(3, 30, 2))
    second = second + 0.5 * first + 2 * given
    for k in range(2):
        design = np.column_stack([np.ones(30), given[:, k]])
        left = [v[:, k] - design @ np.linalg.lstsq(design, v[:, k], rcond=None)[0] for v in (first, second)]
        expected = stats.pearsonr(*left)[0]
        assert compute_partial_r(first, second, given)[k] == pytest.approx(expected)
    assert (compute_partial_r(first, 3 * given + 1, given) == 0).all()
    np.testing.assert_allclose(compute_partial_r(first, first - given, given), 1)


def test_directions_do_not_jump_at_the_cut():
    truth = np.array([[1.0, 0.01], [1.0, -0.01], [-1.0, 0.0]])
    model = np.array([[1.0, -0.01], [1.0, 0.01], [-1.0, -0.1]])
    near = describe_aspect(model, truth, aspect="direction") - describe_aspect(
        truth, truth, aspect="direction"
    )
    assert np.abs(near).max() < 0.11
    assert describe_aspect(truth, truth, aspect="uv").tolist() == [1, 1, -1, 0.01, -0.01, 0]


def test_scores_with_the_truth_are_those_of_scipy(flows):
    human, truth = flows
    found = score_perceived_flow(human, truth)
    pair = human.T.ravel(), truth.T.ravel()
    assert found["r_truth"] == pytest.approx(stats.pearsonr(*pair)[0])
    assert found["rho_truth"] == pytest.approx(stats.spearmanr(*pair)[0])
    assert found["epe_truth"] == pytest.approx(np.hypot(*(human - truth).T).mean())
    assert found["speed_ratio"] == pytest.approx(np.median(np.hypot(*human.T) / np.hypot(*truth.T)))


def test_knowing_the_truth_alone_scores_nothing(flows, rng):
    """High correlation with people does not mean that their deviations are known."""
    human, truth = flows
    scores = [
        score_perceived_flow(human, truth, truth + rng.normal(scale=0.5, size=truth.shape)) for _ in range(40)
    ]
    assert np.mean([one["r_model"] for one in scores]) > 0.9
    for name in ("partial_uv", "partial_speed", "partial_direction", "partial_rank"):
        assert abs(np.mean([one[name] for one in scores])) < 0.06
    assert score_perceived_flow(human, truth, truth)["partial_uv"] == 0
    assert score_perceived_flow(human, truth, truth)["rci"] == 0


def test_planted_deviations_are_found_and_pass_their_null(flows, rng):
    human, truth = flows
    # Equal parts of people's deviation and of noise of the same size: a partial correlation of 1 / sqrt(2).
    model = truth + (human - truth) + rng.normal(size=truth.shape)
    found = score_perceived_flow(human, truth, model)
    assert found["partial_uv"] == pytest.approx(np.sqrt(0.5), abs=0.08)
    null = compute_deviation_null(human, truth, model, n_permutations=60)
    assert null["partial_uv"].max() < found["partial_uv"]
    assert abs(null["partial_uv"].mean()) < 0.05
    assert null["r_truth"].mean() == pytest.approx(found["r_truth"], abs=0.03)


def test_intervals_cover_and_respect_groups(flows, rng):
    human, truth = flows
    table = bootstrap_flow_scores(human, truth, human, n_bootstraps=60)
    assert ((table["low"] <= table["value"] + 1e-9) & (table["value"] <= table["high"] + 1e-9)).all()
    groups = np.repeat(np.arange(12), 10)
    shifted = human + np.repeat(rng.normal(scale=2, size=(12, 2)), 10, axis=0)
    width = {
        name: np.ptp(
            bootstrap_flow_scores(shifted, truth, groups=g, n_bootstraps=80).loc["epe_truth", ["low", "high"]]
        )
        for name, g in (("probes", None), ("groups", groups))
    }
    assert width["groups"] > 1.3 * width["probes"]
    rows = make_group_sampler(groups)(np.random.default_rng(0))
    assert len(rows) == 120
    assert set(np.bincount(groups[rows], minlength=12) % 10) == {0}


def test_grouped_null_keeps_groups_together_and_is_wider(rng):
    groups = np.tile(np.arange(12), 10)
    order = make_group_permuter(groups)(np.random.default_rng(0))
    assert sorted(order) == list(range(120))
    assert all(len(set(groups[order][groups == number])) == 1 for number in range(12))
    assert (groups[order] != groups).any()
    # Deviations that are one and the same in all probes of a group are twelve cases, not 120.
    truth = rng.normal(scale=3, size=(120, 2))
    human, model = (truth + rng.normal(size=(12, 2))[groups] for _ in range(2))
    spread = {
        name: compute_deviation_null(human, truth, model, groups=g, n_permutations=60)["partial_uv"].std()
        for name, g in (("probes", None), ("groups", groups))
    }
    assert spread["groups"] > 2 * spread["probes"]
    with pytest.raises(ValueError, match="of one size"):
        make_group_permuter([0, 0, 1, 2, 3])
    with pytest.raises(ValueError, match="at least 4 groups"):
        make_group_permuter([0, 1, 2])


def test_wrong_input_is_refused(flows):
    human, truth = flows
    with pytest.raises(ValueError, match="last axis is u and v"):
        compute_epe(np.zeros((3, 3)), np.zeros((3, 3)))
    with pytest.raises(ValueError, match=r"prediction must have the shape \(3, 2\)"):
        compute_epe(np.zeros((3, 2)), np.zeros((4, 2)))
    with pytest.raises(ValueError, match="finite"):
        score_perceived_flow(human * np.nan, truth)
    with pytest.raises(ValueError, match="at least 3 probes"):
        score_perceived_flow(human[:2], truth[:2])
    with pytest.raises(ValueError, match="aspect must be"):
        describe_aspect(human, truth, aspect="phase")
    with pytest.raises(ValueError, match="at least 2 groups"):
        bootstrap_flow_scores(human, truth, groups=np.zeros(120))

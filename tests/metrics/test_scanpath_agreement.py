from functools import partial

import numpy as np
import pandas as pd
import pytest

from neurovis.core import check_fixations, make_fixations
from neurovis.datasets.osie import load_osie
from neurovis.metrics.multimatch import DIMENSIONS, compute_multimatch
from neurovis.metrics.scanmatch import compute_scanmatch
from neurovis.metrics.scanpath_agreement import bootstrap_images, compare_observers, compare_with_observers

SCANMATCH = partial(compute_scanmatch, size_px=(100, 200))


def _count_fixations(first, second):
    """A score that is easy to follow: 100 times the fixations of one plus those of the other."""
    return np.array([100 * len(a) + len(b) for a, b in zip(first, second, strict=True)], dtype=float)


@pytest.fixture
def table(rng):
    """Image a: people of 1, 2 and 3 fixations; b: two people, one of them twice; c: one person."""
    parts = [("p1", "a", 0, 1), ("p2", "a", 0, 2), ("p3", "a", 0, 3)]
    parts += [("p1", "b", 0, 4), ("p1", "b", 1, 5), ("p2", "b", 0, 6), ("p2", "c", 0, 7)]
    return check_fixations(
        pd.concat(
            make_fixations(
                rng.uniform((0, 0), (200, 100), (n, 2)), subject=person, stimulus_id=image, trial=trial
            )
            for person, image, trial, n in parts
        )
    )


def test_ordered_pairs_of_different_people(table):
    found = compare_observers(table, _count_fixations)
    assert found["n_pairs"].to_dict() == {"a": 6, "b": 4}
    ordered = [102, 103, 201, 203, 301, 302]
    assert found.loc["a", "score"] == pytest.approx(np.mean(ordered))
    # 4 and 5 are of one person: they meet 6 only.
    assert found.loc["b", "score"] == pytest.approx(np.mean([406, 604, 506, 605]))


def test_model_with_people(table):
    model = check_fixations(
        pd.concat(
            make_fixations(np.ones((n, 2)), subject="model", stimulus_id=image, trial=trial)
            for image, trial, n in (("a", 0, 8), ("a", 1, 9), ("d", 0, 2))
        )
    )
    found = compare_with_observers(model, table, _count_fixations)
    assert found["n_pairs"].to_dict() == {"a": 6}
    assert found.loc["a", "score"] == pytest.approx(np.mean([801, 802, 803, 901, 902, 903]))
    with pytest.raises(ValueError, match="share a stimulus_id"):
        compare_with_observers(model[model["stimulus_id"] == "d"].reset_index(drop=True), table, SCANMATCH)
    timed = model.assign(duration_s=0.2)
    with pytest.raises(ValueError, match="both have durations"):
        compare_with_observers(timed, table, SCANMATCH)


def test_a_person_is_never_compared_with_itself(table):
    one = table[table["subject"] == "p1"].reset_index(drop=True)
    with pytest.raises(ValueError, match="two people saw"):
        compare_observers(one, SCANMATCH)


def test_several_measures_and_pairs_without_a_value(table):
    score = partial(compute_multimatch, size_px=(100, 200))
    found = compare_observers(table, score, names=DIMENSIONS)
    assert found.loc["a"].isna().sum() == 5  # nobody but p3 made three fixations there
    assert found.loc["b", list(DIMENSIONS[:4])].notna().all()
    with pytest.raises(ValueError, match="1 values"):
        compare_observers(table, score)


def test_interval_over_images(rng):
    values = pd.DataFrame({"score": rng.normal(2, 1, 400), "n_pairs": 3})
    found = bootstrap_images(values, n_bootstraps=4000).loc["score"]
    standard_error = values["score"].std() / 20
    assert found["value"] == pytest.approx(values["score"].mean())
    assert found["high"] - found["low"] == pytest.approx(2 * 1.96 * standard_error, rel=0.08)
    assert bootstrap_images(values, seed=3).equals(bootstrap_images(values, seed=3))
    values.loc[:100, "score"] = np.nan
    assert bootstrap_images(values).loc["score", "n_images"] == 299
    with pytest.raises(ValueError, match="at least 2 images, got 0"):
        bootstrap_images(values[:50])


def test_people_agree_more_on_the_same_image(shared_data):
    stimuli, fixations = load_osie(root=shared_data)
    own = fixations[fixations["stimulus_id"].isin(stimuli.stimulus_ids[:30])].reset_index(drop=True)
    score = partial(compute_scanmatch, size_px=(600, 800), bin_s=0.05)
    ceiling = bootstrap_images(compare_observers(own, score))
    images = own["stimulus_id"].unique()
    shifted = dict(zip(images, np.roll(images, 1), strict=True))
    other = own.assign(subject="model", trial=own.groupby("subject").ngroup(), stimulus_id=own["stimulus_id"])
    other["stimulus_id"] = other["stimulus_id"].map(shifted)
    chance = bootstrap_images(compare_with_observers(check_fixations(other), own, score))
    assert ceiling.loc["score", "low"] > chance.loc["score", "high"]

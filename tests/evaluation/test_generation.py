"""Judging generated images: planted tables give the numbers that can be counted by hand."""

import numpy as np
import pandas as pd
import pytest

from neurovis.evaluation.generation import (
    compute_naturalness,
    compute_region_means,
    compute_specificity,
    select_best,
    summarise_generation,
)


@pytest.fixture
def tables(rng):
    natural = pd.DataFrame(
        {"stimulus_id": [f"n{i}" for i in range(100)], "region": "FFA", "predicted": np.arange(100) / 100,
         "true": np.arange(100) / 10, "measured": rng.normal(size=100),
         "judged": ["face"] * 20 + ["place"] * 80, "naturalness": 0.9}
    )  # fmt: skip
    images = pd.DataFrame(
        {"stimulus_id": [f"g{i}" for i in range(20)], "region": "FFA",
         "control": ["guided"] * 15 + ["sign flipped"] * 5,
         "scale": [0.0] * 5 + [30.0] * 15, "seed": range(20),
         "predicted": [0.1] * 5 + list(np.arange(10) / 5) + [-0.5] * 5,
         "true": [1.0] * 5 + [9.6] * 10 + [0.0] * 5,
         "judged": ["place"] * 5 + ["face"] * 9 + ["body"] + ["place"] * 5, "naturalness": 0.7}
    )  # fmt: skip
    return images, natural


def test_shares_means_and_percentiles(tables):
    table = summarise_generation(*tables, categories={"FFA": "face"}, best_share=0.2, n_natural_best=10)
    rows = table.set_index(["control", "scale", "selection"])
    guided = rows.loc[("guided", 30.0, "all")]
    assert (guided["n"], guided["share"], guided["true"]) == (10, 0.9, pytest.approx(9.6))
    assert guided["share_low"] < 0.9 < guided["share_high"] < 1
    assert guided["true_percentile"] == 0.96
    assert guided["predicted"] == pytest.approx(0.9)
    assert guided["predicted_low"] < 0.9 < guided["predicted_high"]
    best = rows.loc[("guided", 30.0, "best")]
    # The two images with the largest prediction, one of which is a body.
    assert (best["n"], best["share"], best["predicted"]) == (2, 0.5, pytest.approx(1.7))
    assert rows.loc[("sign flipped", 30.0, "all"), "share"] == 0
    assert rows.loc[("guided", 0.0, "all"), "true_percentile"] == 0.1
    assert rows.loc[("natural", 0.0, "all"), "share"] == 0.2
    top = rows.loc[("natural", 0.0, "top predicted")]
    assert (top["n"], top["share"], top["true"]) == (10, 0, pytest.approx(9.45))
    assert ("natural", 0.0, "top measured") in rows.index


def test_a_region_needs_category_and_natural_images(tables):
    images, natural = tables
    with pytest.raises(ValueError, match="region must be"):
        summarise_generation(images, natural, categories={"PPA": "place"})
    with pytest.raises(ValueError, match="natural must hold images for region 'FFA'"):
        summarise_generation(images, natural.assign(region="PPA"), categories={"FFA": "face"})
    with pytest.raises(ValueError, match="naturalness"):
        summarise_generation(images.drop(columns="naturalness"), natural, categories={"FFA": "face"})


def test_best_are_chosen_within_groups(tables):
    images = tables[0]
    best = select_best(images, share=0.4)
    counts = best.groupby(["control", "scale"]).size().to_dict()
    assert counts == {("guided", 0.0): 2, ("guided", 30.0): 4, ("sign flipped", 30.0): 2}
    guided = best[(best["control"] == "guided") & (best["scale"] == 30)]
    np.testing.assert_allclose(guided["predicted"], [1.8, 1.6, 1.4, 1.2])
    with pytest.raises(ValueError, match="share"):
        select_best(images, share=0)


def test_specificity_counts_every_category(tables):
    images = tables[0]
    share, low, high = compute_specificity(images[images["scale"] == 30], ["face", "body", "place", "word"])
    np.testing.assert_allclose(share.loc["FFA"], [9 / 15, 1 / 15, 5 / 15, 0])
    assert ((low <= share) & (share <= high)).all(axis=None)
    assert high.loc["FFA", "word"] > 0.15


def test_region_means_equal_a_loop(rng):
    responses = rng.normal(size=(4, 6))
    found = compute_region_means(responses, {"a": [0, 5], "b": [2]})
    for image in range(4):
        assert found.loc[image, "a"] == pytest.approx((responses[image, 0] + responses[image, 5]) / 2)
        assert found.loc[image, "b"] == pytest.approx(responses[image, 2])


def test_naturalness_is_the_nearest_cosine_but_never_ones_own(rng):
    natural = rng.normal(size=(30, 5))
    images = np.concatenate([natural[:3], rng.normal(size=(4, 5))])
    found = compute_naturalness(images, natural)
    for row, image in enumerate(images):
        cosines = [
            image @ other / np.linalg.norm(image) / np.linalg.norm(other)
            for number, other in enumerate(natural)
            if not (row < 3 and number == row)
        ]
        assert found[row] == pytest.approx(max(cosines))
    with pytest.raises(ValueError, match="zeros"):
        compute_naturalness(np.zeros((2, 5)), natural)

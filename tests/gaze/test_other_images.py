"""Densities of other images: sums against a slow loop, a null that an image's own density beats."""

import math

import numpy as np
import pandas as pd
import pytest
from miniature_gaze import make_discs

from neurovis.gaze.gaze_comparison import compare_gaze_models
from neurovis.gaze.likelihood import score_positions
from neurovis.gaze.other_images import score_other_images, uses_history
from neurovis.metrics.saliency_auc import compute_auc


@pytest.fixture(scope="module")
def comparison(tmp_path_factory):
    stimuli, gaze = make_discs(tmp_path_factory.mktemp("discs"), n_images=14)
    return compare_gaze_models(
        stimuli, gaze, shrink=2, test_share=0.4, n_bootstraps=10, progress=False,
        group_of=lambda name: "first" if name in ("i0", "i1") else name,
    )  # fmt: skip


def test_sums_are_those_of_a_loop_over_fixations(comparison):
    for name in ("saliency", "other people"):
        found, model = score_other_images(comparison, name), comparison.models[name]
        gaze = comparison.fixations
        ids = list(dict.fromkeys(gaze["stimulus_id"]))
        slow, shuffled = np.zeros_like(found.sums), []
        for _, row in gaze.iterrows():
            xy = np.array([[row["x_px"], row["y_px"]]])
            for column, other in enumerate(ids):
                image = comparison.load_image(other)
                bound = model.for_trial(other, row["subject"]) if name == "other people" else model
                log_density = bound.log_density(image, gaze.iloc[:0])
                scores = score_positions(log_density, xy)[0]
                scores[0] = (scores[0] + math.log(image.shape[0] * image.shape[1])) / math.log(2)
                slow[ids.index(row["stimulus_id"]), column] += scores
                if other == row["stimulus_id"]:
                    images = gaze["stimulus_id"].map(comparison.group_of)
                    strangers = gaze.loc[images != comparison.group_of(other), ["x_px", "y_px"]]
                    shuffled.append(compute_auc(log_density, xy, negatives=strangers.to_numpy())[0])
        np.testing.assert_allclose(found.sums, slow, rtol=1e-9, atol=1e-9)
        np.testing.assert_allclose(found.shuffled_auc["shuffled_auc"], shuffled)
        # Their own densities give the scores of the comparison.
        own = np.einsum("iik->k", found.sums) / found.n_fixations
        table = comparison.table.set_index(["model", "metric"])["value"]
        wanted = [table[name, metric] for metric in ("gain_over_uniform_bits", "auc", "nss")]
        np.testing.assert_allclose(own, wanted, rtol=1e-9)


def test_an_images_own_density_beats_the_others_and_a_constant_one_cannot(comparison):
    for name in ("saliency", "other people"):
        found = score_other_images(comparison, name)
        own = np.einsum("iik->k", found.sums) / found.n_fixations
        null = found.permute(99, seed=1)
        assert null.shape == (99, 3)
        assert (null < own).mean() > 0.97
        assert found.shuffled_auc["shuffled_auc"].mean() > 0.7
        np.testing.assert_array_equal(null, found.permute(99, seed=1))
    constant = score_other_images(comparison, "uniform")
    np.testing.assert_allclose(constant.permute(5), [[0, 0.5, 0]] * 5, atol=1e-12)
    assert (constant.shuffled_auc["shuffled_auc"] == 0.5).all()


def test_models_of_the_next_fixation_have_no_null(comparison):
    assert uses_history(comparison, "saccades")
    assert not uses_history(comparison, "other people")
    with pytest.raises(ValueError, match="'saccades' must not use the history"):
        score_other_images(comparison, "saccades")


def test_one_image_has_no_other(comparison):
    from dataclasses import replace

    gaze = comparison.fixations
    alone = gaze[gaze["stimulus_id"] == gaze["stimulus_id"].iloc[0]].reset_index(drop=True)
    with pytest.raises(ValueError, match="at least 2 test images"):
        score_other_images(replace(comparison, fixations=pd.DataFrame(alone)), "saliency")

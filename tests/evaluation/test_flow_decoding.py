"""Flow decoding from clip to animated picture: what is decoded must move things where they went."""

import numpy as np
import pytest

from neurovis.evaluation.flow_decoding import run_flow_decoding


@pytest.fixture(scope="module")
def found():
    return run_flow_decoding(seed=0, n_train=900, n_test=60)


def test_animation_by_brain_and_frame_is_nearest_to_the_truth(found):
    table = found.table.set_index("predictor")
    assert table.loc["brain and frame", "object"] < 0.75 * table.loc["zero flow", "object"]
    psnr = table["psnr_db"].dropna()
    assert set(psnr.index) == {"zero flow", "brain and frame", "frame alone"}
    assert psnr["brain and frame"] > psnr["zero flow"] + 1
    assert psnr["brain and frame"] > psnr["frame alone"] + 1


def test_movies_begin_with_their_picture(found):
    for movie in found.movies.values():
        assert movie.shape == (4, 8, 64, 64, 3)
        np.testing.assert_array_equal(movie[:, 0], found.pictures)
    np.testing.assert_array_equal(found.movies["zero flow"], found.pictures[:, None].repeat(8, axis=1))


def test_more_shown_than_there_are():
    with pytest.raises(ValueError, match="n_shown"):
        run_flow_decoding(seed=0, n_train=20, n_test=2, n_shown=3)

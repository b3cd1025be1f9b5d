import numpy as np
import pytest

from neurovis.core import check_array, check_option, make_rng


def test_option_message_names_everything():
    with pytest.raises(ValueError, match=r"how must be 'mean' or 'median', got 'mode'; pass one\."):
        check_option("how", "mode", ["mean", "median"], remedy="pass one")
    assert check_option("how", "mean", ["mean"]) == "mean"


@pytest.mark.parametrize(
    ("value", "options", "words"),
    [
        ([[1.0]], {"ndim": 1}, "1 dimension"),
        ([1.0, np.nan], {}, "1 NaN or infinite value"),
        ([1.0, -2.0], {"minimum": 0}, "at least 0, got -2.0"),
        ([1.0, 3.0], {"maximum": 2}, "at most 2, got 3.0"),
        (np.zeros((2, 3)), {"shape": (None, 4)}, r"shape \(any, 4\), got \(2, 3\)"),
    ],
)
def test_array_messages(value, options, words):
    with pytest.raises(ValueError, match=words) as caught:
        check_array("betas", value, remedy="look again", **options)
    assert str(caught.value).startswith("betas must")
    assert "look again" in str(caught.value)


def test_array_refuses_text():
    with pytest.raises(TypeError, match="betas must be numeric"):
        check_array("betas", ["a"])


def test_array_passes_what_fits():
    value = np.arange(6.0).reshape(2, 3)
    assert check_array("betas", value, ndim=(2, 3), shape=(2, None), minimum=0, maximum=5) is value


def test_rng_streams_are_reproducible_and_distinct():
    first, again, other = (make_rng(3, *keys).normal(size=4) for keys in (("a", 1), ("a", 1), ("a", 2)))
    assert (first == again).all()
    assert (first != other).all()
    # Keys are separated: ("ab", "c") is not ("a", "bc").
    assert (make_rng(0, "ab", "c").normal(size=4) != make_rng(0, "a", "bc").normal(size=4)).all()


@pytest.mark.parametrize("seed", [-1, 1.5, True])
def test_rng_refuses_bad_seed(seed):
    with pytest.raises(ValueError, match="seed must be a non-negative integer"):
        make_rng(seed)

"""Images of captions: which are compared with which, and that a planted preference shows."""

import numpy as np
import pandas as pd
import pytest

from neurovis.evaluation.generation import summarise_generation
from neurovis.evaluation.illustrations import (
    OTHERS,
    SOURCES,
    arrange_illustrations,
    compare_illustrations,
    draw_captions,
)

DRIVE = {"FFA": {"face": 3.0, "place": 0.5}, "PPA": {"face": 0.2, "place": 2.0}}
"""True response of each region to images of each category."""


@pytest.fixture
def shown(rng):
    """Images of captions of two regions, and each region's response to each of them."""
    category = {"FFA": "face", "PPA": "place"}
    images, responses = [], []
    for source in category:
        for kind, shift in (("increase", 0), ("suppress", -1), ("permuted", -0.5)):
            for seed in range(8):
                name = f"{kind}-{source}-{seed}"
                images.append({"stimulus_id": name, "source": source, "kind": kind, "seed": seed})
                for region, drive in DRIVE.items():
                    value = drive[category[source]] + shift + 0.3 * seed + rng.normal(0, 0.05)
                    responses.append(
                        {"stimulus_id": name, "region": region, "true": value, "predicted": value,
                         "judged": category[source], "naturalness": 0.8}
                    )  # fmt: skip
    return pd.DataFrame(images), pd.DataFrame(responses)


def test_own_captions_are_compared_with_the_other_regions_and_with_controls(shown):
    images = arrange_illustrations(*shown)
    counts = images.groupby(["region", "control"]).size()
    assert (counts == 8).all()
    assert set(counts["FFA"].index) == {*SOURCES.values(), OTHERS}
    # Controls are those of the region's own voxels, and others' captions are never negated ones.
    controls = images[images["control"].isin([SOURCES["suppress"], SOURCES["permuted"]])]
    assert (controls["source"] == controls["region"]).all()
    others = images[images["control"] == OTHERS]
    assert (others["source"] != others["region"]).all()
    assert others["stimulus_id"].str.startswith("increase").all()

    found = compare_illustrations(images, "true").set_index(["region", "reference"])
    expected = {
        ("FFA", OTHERS): 2.5, ("PPA", OTHERS): 1.8, ("FFA", SOURCES["suppress"]): 1,
        ("PPA", SOURCES["permuted"]): 0.5,
    }  # fmt: skip
    for key, value in expected.items():
        assert found.loc[key, "difference"] == pytest.approx(value, abs=0.1)
        assert found.loc[key, "ci_low"] > 0.8 * value
        assert found.loc[key, "p_value"] < 0.01


def test_rows_are_what_the_summary_of_generated_images_reads(shown):
    images = arrange_illustrations(*shown)
    natural = pd.DataFrame(
        {"stimulus_id": [f"n{i}" for i in range(40)], "region": ["FFA", "PPA"] * 20, "true": 1.0,
         "predicted": np.arange(40.0), "judged": "face", "naturalness": 0.9}
    )  # fmt: skip
    table = summarise_generation(images, natural, categories={"FFA": "face", "PPA": "place"})
    rows = table[table["selection"] == "all"].set_index(["region", "control"])
    assert rows.loc[("FFA", "own captions"), "share"] == 1
    assert rows.loc[("FFA", OTHERS), "share"] == 0
    assert rows.loc[("PPA", "own captions"), "true_percentile"] == 1


def test_captions_are_of_the_same_voxels_in_every_table():
    table = pd.DataFrame(
        {"neuroid_id": [f"v{i}" for i in range(9)], "region": ["FFA"] * 6 + ["PPA"] * 3,
         "caption": [f"caption {i}" for i in range(9)]}
    )  # fmt: skip
    other = table.assign(caption="not " + table["caption"]).iloc[2:]
    drawn = draw_captions({"increase": table, "suppress": other}, "FFA", n=4, seed=1)
    assert len(set(drawn["increase"])) == 4
    assert drawn["suppress"] == ["not " + text for text in drawn["increase"]]
    assert set(drawn["increase"]) <= {f"caption {i}" for i in range(2, 6)}
    assert drawn == draw_captions({"increase": table, "suppress": other}, "FFA", n=4, seed=1)
    assert len(draw_captions({"increase": table}, "PPA", n=5)["increase"]) == 5
    with pytest.raises(ValueError, match="voxels of 'V1'"):
        draw_captions({"increase": table}, "V1", n=1)
    with pytest.raises(ValueError, match="tables must be"):
        draw_captions({"decrease": table}, "FFA", n=1)

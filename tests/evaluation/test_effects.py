"""Effects of objectives: planted differences between images that share their noise."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from neurovis.evaluation.effects import compare_by_seed, compare_objectives, subtract_regions


def _draw(rng, effects, *, n=12, sd=0.1):
    """Images of each group whose values share what their seed is worth."""
    shared = rng.normal(0, 5, n)
    return pd.DataFrame(
        [
            {"group": name, "seed": seed, "value": shared[seed] + effect + rng.normal(0, sd)}
            for name, effect in effects.items()
            for seed in range(n)
        ]
    )


def test_pairs_show_what_the_noise_would_hide(rng):
    images = _draw(rng, {"unguided": 0, "FFA": 1, "PPA": 0})
    table = compare_by_seed(images, "value", by="group", reference="unguided").set_index("group")
    assert table["n"].tolist() == [12, 12]
    assert table.loc["FFA", "difference"] == pytest.approx(1, abs=0.15)
    assert table.loc["FFA", "ci_low"] > 0.8
    # All 4096 flips: only the data and their mirror image are as far from zero.
    assert table.loc["FFA", "p_value"] == pytest.approx(2 / 4096)
    assert abs(table.loc["PPA", "difference"]) < 0.15
    values = images.pivot_table(index="seed", columns="group", values="value")
    assert stats.ttest_ind(values["FFA"], values["unguided"]).pvalue > 0.2


def test_only_shared_seeds_count_and_several_images_of_one_are_averaged():
    images = pd.DataFrame(
        {"group": ["a"] * 4 + ["b"] * 3, "seed": [0, 0, 1, 2, 0, 1, 3], "value": [1, 3, 5, 9, 1, 2, 4.0]}
    )
    (row,) = compare_by_seed(images, "value", by="group", reference="b").to_dict("records")
    assert (row["n"], row["difference"], row["mean"], row["reference_mean"]) == (2, 2.0, 3.5, 1.5)
    with pytest.raises(ValueError, match="share at least 2 seeds, got 1"):
        compare_by_seed(images[images["seed"] != 1], "value", by="group", reference="b")
    with pytest.raises(ValueError, match="reference"):
        compare_by_seed(images, "value", by="group", reference="c")
    with pytest.raises(ValueError, match="missing"):
        compare_by_seed(images, "true", by="group", reference="b")


@pytest.fixture
def responses(rng):
    """Images of A, of A without B, and a control: guidance for A drives B half as much, the contrast not."""
    effects = {
        ("A", "guided", 0.0): (0, 0), ("A", "guided", 10.0): (9, 9), ("A", "guided", 30.0): (2, 1),
        ("A", "sign flipped", 30.0): (-1, 0), ("A - B", "guided", 0.0): (0, 0),
        ("A - B", "guided", 30.0): (1.8, -1),
    }  # fmt: skip
    rows = []
    for (objective, control, scale), drives in effects.items():
        for seed in range(10):
            about = {
                "stimulus_id": f"{objective}-{control}-{scale}-{seed}", "objective": objective,
                "control": control, "scale": scale, "seed": seed,
            }  # fmt: skip
            rows += [
                {**about, "region": region, "true": seed + drive + rng.normal(0, 0.05)}
                for region, drive in zip("AB", drives, strict=True)
            ]
    return pd.DataFrame(rows)


def test_contrast_is_compared_with_its_preferred_region_alone(responses):
    table = compare_objectives(responses, "true", pairs=[("A", "B")])
    found = table.set_index(["quantity", "group", "reference"])["difference"]
    expected = {
        ("A", "A", "unguided"): 2, ("A", "A, sign flipped", "unguided"): -1,
        ("A", "A - B", "A"): -0.2, ("B", "A - B", "A"): -2,
        ("A - B", "A", "unguided"): 1, ("A - B", "A - B", "unguided"): 2.8, ("A - B", "A - B", "A"): 1.8,
    }  # fmt: skip
    assert set(found.index) == set(expected)
    for key, value in expected.items():
        assert found[key] == pytest.approx(value, abs=0.1)


def test_each_objective_has_its_own_largest_scale(responses):
    """As where one is guided through the denoiser, at another order of magnitude."""
    scaled = responses.assign(
        scale=responses["scale"] * np.where(responses["objective"] == "A - B", 0.1, 1.0)
    )
    one, other = (compare_objectives(table, "true", pairs=[("A", "B")]) for table in (responses, scaled))
    pd.testing.assert_frame_equal(one, other)


def test_a_difference_of_regions_is_taken_image_by_image(responses):
    rows = subtract_regions(responses, "true", "B", "A")
    wide = responses.pivot_table(index="stimulus_id", columns="region", values="true")
    np.testing.assert_allclose(
        rows.set_index("stimulus_id")["true"], (wide["B"] - wide["A"])[rows["stimulus_id"]]
    )
    with pytest.raises(ValueError, match="region must be 'A' or 'B'"):
        subtract_regions(responses, "true", "B", "C")

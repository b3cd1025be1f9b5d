"""Studies of gaze: planted attention is found, absent attention is not; the published numbers come back."""

import json

import numpy as np
import pytest
from miniature_gaze import make_asymmetry_trials, make_discs, make_search_part
from PIL import Image

from neurovis.evaluation.studies import (
    coco_search18_val,
    interiors_search,
    osie,
    visual_search_asymmetry,
)

STUDIES = (coco_search18_val, interiors_search, osie, visual_search_asymmetry)


@pytest.fixture(autouse=True)
def small(monkeypatch):
    from neurovis.evaluation.studies import gaze_models

    monkeypatch.setattr(gaze_models, "_N_BOOTSTRAPS", 50)
    monkeypatch.setattr(visual_search_asymmetry, "_N_BOOTSTRAPS", 20)


def _index(result):
    """Rows of the densities, which have no region of their own."""
    table = result.table[result.table["region"] == "all"].set_index("quantity")
    assert table.index.is_unique
    return table


def write_osie(root, *, follow, size=(600, 800), n_images=20):
    """The discs of ``make_discs`` in the layout of OSIE."""
    folder = root / "osie_freeviewing"
    (folder / "stimuli").mkdir(parents=True)
    stimuli, gaze = make_discs(folder, n_images=n_images, follow=follow)
    for number, name in enumerate(stimuli.stimulus_ids):
        picture = Image.fromarray(stimuli.load(name)).resize(size[::-1])
        picture.save(folder / "stimuli" / f"{1000 + number}.jpg")
    table = gaze.assign(
        image=[f"{1000 + int(name[1:])}.jpg" for name in gaze["stimulus_id"]],
        subject=[int(name[1:]) + 1 for name in gaze["subject"]],
        fix_index=gaze["index"] + 1, x_px=gaze["x_px"] * 10, y_px=gaze["y_px"] * 10, duration_ms=200,
    )  # fmt: skip
    columns = ["image", "subject", "fix_index", "x_px", "y_px", "duration_ms"]
    table[columns].to_csv(folder / "fixations.tsv", sep="\t", index=False)
    return root


@pytest.mark.parametrize("follow", [True, False])
def test_osie_finds_attention_to_the_image_if_there_is_any(tmp_path, monkeypatch, follow):
    monkeypatch.setattr(osie, "_SHRINK", 10)
    result = osie.analyse_osie(write_osie(tmp_path, follow=follow), n_permutations=19)
    table = _index(result)
    gain = "gain over centre bias, {} [bits/fixation]".format
    assert table.loc[gain("centre bias"), "value"] == 0
    assert table.loc[gain("uniform"), "value"] < 0
    assert table.loc["AUC, uniform", "value"] == 0.5
    assert np.isnan(table.loc[gain("saccades"), "p_value"])
    assert "history" in table.loc[gain("saccades"), "note"]
    for model in ("saliency", "other people"):
        row = table.loc[gain(model)]
        if follow:
            assert row["value"] > 1
            assert row["value"] > row["null_95"]
            assert row["p_value"] <= 0.1
            assert table.loc[f"shuffled AUC, {model}", "value"] > 0.75
        else:
            assert row["value"] < 0.15
            assert abs(table.loc[f"shuffled AUC, {model}", "value"] - 0.5) < 0.12
    assert (table["ci_low"] <= table["value"] + 1e-9).all()
    assert (table["value"] <= table["ci_high"] + 1e-9).all()
    assert result.figures_data["gaze_gain"].shape == result.figures_data["gaze_models"].shape
    assert result.figures_data["gaze_roles"].tolist().count("ceiling") == 1
    # A gain over the centre bias is the gain over chance less that of the centre bias.
    over = "gain over uniform, {} [bits/fixation]".format
    for column in ("value", "null_95"):
        difference = table.loc[over("saliency"), column] - table.loc[gain("saliency"), column]
        assert difference == pytest.approx(table.loc[over("centre bias"), "value"])


def write_interiors(root, *, n_scenes=8, size=(96, 128)):
    """Scenes of noise that hold a chequered target; everyone starts in a corner and looks at the target."""
    rng = np.random.default_rng(3)
    folder = root / "interiors_search"
    for name in ("images", "templates"):
        (folder / name).mkdir(parents=True)
    trials = []
    for scene in range(n_scenes):
        image = rng.normal(120, 10, size)
        left, top = int(rng.integers(5, size[1] - 25)), int(rng.integers(5, size[0] - 25))
        image[top : top + 20, left : left + 20] = (
            np.kron(np.indices((5, 5)).sum(axis=0) % 2, np.ones((4, 4))) * 255
        )
        picture = np.clip(image, 0, 255).astype("u1")
        Image.fromarray(picture).save(folder / "images" / f"scene_{scene}.png")
        Image.fromarray(picture[top : top + 20, left : left + 20]).save(
            folder / "templates" / f"target_{scene}.png"
        )
        for person in range(4):
            xy = np.clip(rng.normal((left + 10, top + 10), 4, (4, 2)), 1, np.array(size[::-1]) - 1)
            trials.append(
                {
                    "subject": f"S{person + 1:02d}", "image": f"scene_{scene}.png",
                    "target": f"target_{scene}.png", "trial_order": scene + 1, "image_size": list(size),
                    "target_rect": [left, top, left + 20, top + 20], "nsaccades_allowed": 4,
                    "initial_position": [3.0, 3.0], "target_found": 1, "search_rt_s": 1.0,
                    "reported_position": [left, top], "reported_uncertainty_size": 5.0,
                    "fix_x": [3.0, *xy[:, 0]], "fix_y": [3.0, *xy[:, 1]], "fix_dur_ms": [200.0] * 5,
                }
            )  # fmt: skip
    (folder / "trials.jsonl").write_text("\n".join(json.dumps(trial) for trial in trials))
    return root


def test_interiors_compares_search_models_that_see_the_target(tmp_path, monkeypatch):
    monkeypatch.setattr(interiors_search, "_SHRINK", 2)
    monkeypatch.setattr(interiors_search, "_TRAINING", {**interiors_search._TRAINING, "n_epochs": 1})
    result = interiors_search.analyse_interiors_search(
        write_interiors(tmp_path, n_scenes=10), n_permutations=19
    )
    table = _index(result)
    assert (table["n"] == 4 * 4 * 4).all()  # scenes of the test, people, fixations after the start
    for model in ("eccNET", "IVSN", "saccades on eccNET", "saccades on IVSN", "saliency", "other people"):
        assert f"gain over uniform, {model} [bits/fixation]" in table.index
    gain = table["value"].filter(like="gain over centre bias")
    assert gain["gain over centre bias, eccNET [bits/fixation]"] > 0.3
    assert "seen from the middle" in table.loc["AUC, eccNET", "note"]
    paths = result.table.set_index(["region", "quantity"])["value"]
    for split in ("by image", "by observer"):
        for model in ("OAT", "OAT without pictures", "centre, distance and return"):
            assert paths[split, f"log-likelihood, {model} [bit/step]"] < 0
        # People are on the target's cell at last; everyone of the miniature is.
        assert paths[split, "last on the target, people [share]"] > 0.3


def test_asymmetry_of_people_needs_no_file_and_models_are_found(tmp_path, monkeypatch):
    monkeypatch.setattr(visual_search_asymmetry, "_DENSITY_PART", "Waldo")
    monkeypatch.setattr(visual_search_asymmetry, "_SHRINK", 32)
    folder = make_search_part(tmp_path, "Waldo").parent
    analyse = visual_search_asymmetry.analyse_visual_search_asymmetry
    result = analyse(tmp_path, n_permutations=9)
    people = result.table[result.table["subject"] == "people"].dropna(subset="reference")
    slopes = people[people["quantity"].str.contains("slope")]
    assert len(slopes) == 12
    np.testing.assert_allclose(slopes["value"], slopes["reference"], atol=0.011)
    indices = people[people["quantity"].str.startswith("asymmetry")]
    assert len(indices) == 7
    np.testing.assert_allclose(indices["value"], indices["reference"], atol=6e-4)
    assert indices["note"].str.contains("not here").sum() == 1
    table = result.table.set_index(["subject", "region", "quantity"])
    # Fixations of the miniature are noise, so nobody predicts anybody.
    match = table.xs("ScanMatch [0 to 1]", level="quantity")
    assert np.ptp(match["value"]) < 0.05
    gain = table.loc[("group", "Waldo", "gain over centre bias, other people [bits/fixation]")]
    assert gain["value"] < 0.1
    assert gain["p_value"] > 0.1 or gain["value"] < 0.02
    (folder / "vs_exp" / "eccNET" / "out" / "eccNET").mkdir(parents=True)
    make_asymmetry_trials(folder / "vs_exp" / "eccNET" / "out" / "eccNET" / "out_data", 3)
    monkeypatch.setattr(visual_search_asymmetry, "PARTS", {})
    table = analyse(tmp_path, n_permutations=9).table
    own = table[table["subject"] == "eccNET"].set_index("quantity")
    assert own.loc["asymmetry index, mean of 6 experiments [-1 to 1]", "value"] == 0
    assert (own.loc["search slope [ms/item]", "value"].abs() < 1e-9).all()
    assert (own["value"].filter(like="saccades until found") == 3).all()
    assert not table["note"].str.contains("not here").any()


def test_intervals_of_people_resample_people_and_images(monkeypatch):
    monkeypatch.setattr(visual_search_asymmetry, "_N_BOOTSTRAPS", 4000)
    rng = np.random.default_rng(0)
    alike = np.broadcast_to(rng.random(240) < 0.3, (15, 240))
    apart = rng.random((15, 240)) < 0.3
    persons = np.broadcast_to(rng.random((15, 1)) < 0.3, (15, 240))
    for found, n in ((alike, 240), (persons, 15)):
        low, high = visual_search_asymmetry._resample_both(found, np.random.default_rng(1))
        share = found.mean()
        assert high - low == pytest.approx(2 * 1.96 * np.sqrt(share * (1 - share) / n), rel=0.1)
    low, high = visual_search_asymmetry._resample_both(apart, np.random.default_rng(1))
    assert 0.02 < high - low < 0.06


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("module", STUDIES)
def test_people_predict_each_other_best_of_what_has_no_history(shared_data, module):
    analyse = getattr(module, f"analyse_{module.NAME}")
    result = analyse(shared_data, n_permutations=99)
    known = result.table.dropna(subset="reference")
    if module is visual_search_asymmetry:
        assert len(known) >= 30
    error = (known["value"] - known["reference"]).abs()
    loose = known["quantity"].str.contains("other images|targets found|split-half")
    assert (error[~loose] < 0.011).all()
    assert (error[loose] < 0.007).all()
    gain = result.table.set_index("quantity")["value"].filter(like="gain over uniform")
    gain.index = gain.index.str.removeprefix("gain over uniform, ").str.removesuffix(" [bits/fixation]")
    static = gain[[name for name in gain.index if "saccades" not in name and name != "other people"]]
    assert gain["other people"] > static.max() + 0.3
    assert gain["saccades"] > gain["centre bias"] + 0.5
    assert gain["centre bias"] > 0.1


def test_real_photographs_beat_the_centre_bias_and_people_beat_both(shared_data, monkeypatch):
    monkeypatch.setattr(osie, "_N_IMAGES", 24)
    monkeypatch.setattr(osie, "_SHRINK", 10)
    table = _index(osie.analyse_osie(shared_data, n_permutations=99))
    gain = table["value"].filter(like="gain over uniform")
    names = ("centre bias", "saliency", "other people")
    values = [gain[f"gain over uniform, {name} [bits/fixation]"] for name in names]
    assert 0.05 < values[0] < values[1] < values[2] - 1
    assert 3 < table.loc["NSS, other people [SD]", "value"] < 5
    assert table.loc["NSS, saliency [SD]", "p_value"] < 0.05
    assert "24 of 220 images" in table.loc["AUC, saliency", "note"]

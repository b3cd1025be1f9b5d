import json

import numpy as np
import pytest

from neurovis.evaluation.studies import object_paths, sti_amazon
from neurovis.evaluation.studies.object_paths import (
    METRICS,
    OAT,
    OAT_BLIND,
    OAT_TOLD,
    SPATIAL,
    TARGET,
    compare_objects_on,
)
from neurovis.evaluation.studies.sti_amazon import analyse_sti_amazon
from neurovis.gaze.oat_behaviour import CHANCE, PEOPLE
from neurovis.gaze.oat_trials import ObjectTrial, make_grid_layout
from neurovis.gaze.spatial_baselines import BASELINES

GAIN = "log-likelihood, {} minus {} [bit/step]"


@pytest.fixture(autouse=True)
def little_effort(monkeypatch):
    for module in (object_paths, sti_amazon):
        monkeypatch.setattr(module, "_N_BOOTSTRAPS", 30)
        monkeypatch.setattr(module, "_N_PATHS", 4)


def write_collages(root, *, shared, n=15, seed=0):
    """Collages of 6 x 14 covers of 100 px; people take one route over each collage, or any."""
    rng = np.random.default_rng(seed)
    folder = root / "sti_amazon"
    folder.mkdir(parents=True)
    collages = {}
    for number in range(n):
        route = rng.integers(84, size=6)
        people = {}
        for person in range(1, 7):
            own = route if shared else rng.integers(84, size=6)
            cells = np.stack([own % 14, own // 14], axis=1)
            people[str(person)] = (cells * 100 + rng.integers(5, 95, (6, 2))).tolist()
        box = {"xmin": 100 * int(route[-1] % 14) + 5, "ymin": 100 * int(route[-1] // 14) + 5}
        box |= {"xmax": box["xmin"] + 90, "ymax": box["ymin"] + 90}
        collages[f"{number + 1}.jpg"] = {
            "fixations": people, "ground_truth": [box], "size": {"height": 600, "width": 1400},
            "target": f"target_{number % 5}.jpg",
        }  # fmt: skip
    (folder / "Amazon.json").write_text(json.dumps(collages))
    return root


@pytest.mark.parametrize("shared", [True, False])
def test_people_agree_if_they_take_the_same_route(tmp_path, monkeypatch, shared):
    monkeypatch.setattr(sti_amazon, "compare_objects_on", lambda trials, **_: [])
    result = analyse_sti_amazon(write_collages(tmp_path, shared=shared), n_permutations=39)
    row = result.table.set_index("quantity").loc["sequence score of two people [0 to 1]"]
    null = result.figures_data["null_people_agreement"]
    assert null.shape == (39,)
    if shared:
        assert row["value"] == 1
        assert row["p_value"] == 1 / 40
        assert null.max() < 0.5
    else:
        assert row["p_value"] > 0.05
        assert row["value"] == pytest.approx(null.mean(), abs=0.03)
    ends = result.table.set_index("quantity").loc["people end on the target [share]"]
    assert (ends["value"] == 1) == shared
    assert (result.table["reference"] > 0).all()


def make_walks(rng, *, rule):
    """Walks of 6 steps on a ring of 3 x 4 cells, always two on; or of any length, anywhere."""
    layout, looks = make_grid_layout((300, 400), 3, 4), np.zeros((12, 1), np.float32)
    trials = []
    for number in range(120):
        start = int(rng.integers(12))
        path = (start + 2 * np.arange(6)) % 12 if rule else rng.integers(12, size=rng.geometric(0.2))
        trials.append(
            ObjectTrial(
                f"i{number % 15}", f"s{number // 15}", f"t{number % 5}", layout, looks, looks[0],
                int(path[-1]), tuple(path.tolist()),
            )
        )  # fmt: skip
    return trials


@pytest.mark.parametrize("rule", [True, False])
def test_a_rule_beyond_distance_is_found_and_none_in_noise(rng, rule):
    rows = compare_objects_on(
        make_walks(rng, rule=rule), study="walks", splits=("image",), told=False, n_permutations=99,
        d_model=32, n_layers=1, dropout=0.0, n_epochs=25 if rule else 8, batch_size=8, learning_rate=4e-3,
        progress=False,
    )  # fmt: skip
    table = {row["quantity"]: row for row in rows}
    gain = table[GAIN.format(OAT, SPATIAL)]
    assert gain["split"].startswith("training/validation/test 9/3/3 images")
    if rule:
        # Chance is 3.6 bits; distance leaves the direction open.
        assert gain["value"] > 0.5
        assert gain["p_value"] <= 1 / 8  # three images have seven flips
        assert gain["ci_low"] > 0
    else:
        assert gain["value"] < 0.1
        assert gain["p_value"] > 0.05


def test_every_split_has_its_models_and_tells_which_know_the_target(rng):
    splits = ("image", "observer", "target")
    rows = compare_objects_on(
        make_walks(rng, rule=True), study="walks", splits=splits, blind=True, n_permutations=9, d_model=32,
        n_layers=1, n_epochs=1, progress=False, references={METRICS["delta"].format(OAT): 0.5},
    )  # fmt: skip
    by = {(row["region"], row["quantity"]): row for row in rows}
    assert len(by) == len(rows)
    for split in splits:
        for model in (CHANCE, SPATIAL, OAT, OAT_BLIND, TARGET, OAT_TOLD, PEOPLE):
            assert (f"by {split}", METRICS["sequence_score"].format(model)) in by
        for pair in ((OAT, SPATIAL), (OAT_BLIND, SPATIAL), (OAT_TOLD, TARGET)):
            assert (f"by {split}", GAIN.format(*pair)) in by
    assert by["by image", METRICS["delta"].format(OAT)]["reference"] == 0.5
    for row in rows:
        knows = "knows where the target is" in row["note"]
        assert knows == any(f", {name} [" in row["quantity"] for name in (TARGET, OAT_TOLD)), row


def test_stimuli_of_one_photograph_stay_together_by_image_only(monkeypatch):
    seen = {}

    def compare(*_, by, group_of, **__):
        seen[by] = group_of
        raise StopIteration

    monkeypatch.setattr(object_paths, "compare_oat", compare)
    trials = make_walks(np.random.default_rng(0), rule=True)
    for by in ("image", "observer"):
        with pytest.raises(StopIteration):
            compare_objects_on(trials, study="walks", splits=(by,), image_of=str)
    assert seen == {"image": str, "observer": None}


def test_names_of_models_are_those_of_the_baselines():
    assert {SPATIAL, TARGET, "centre bias"} <= set(BASELINES)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_real_people_are_as_published(shared_data):
    table = analyse_sti_amazon(shared_data, n_permutations=99).table
    people = table[table["region"] == "all collages"]
    known = people.set_index("quantity")
    assert known["value"]["people end on the target [share]"] == pytest.approx(0.84, abs=0.03)
    assert known["p_value"]["sequence score of two people [0 to 1]"] == 0.01
    rest = table.set_index(["region", "quantity"])["value"]
    for split in ("by image", "by observer", "by target"):
        score = {model: rest[split, METRICS["sequence_score"].format(model)] for model in (OAT, PEOPLE)}
        assert score[PEOPLE] > score[OAT]

import json
import re

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from typer.testing import CliRunner

from neurovis.cli import app
from neurovis.core import StimulusSet
from neurovis.core.fixations import make_fixations
from neurovis.gaze.oat_behaviour import PEOPLE, compare_object_models, compute_path_bits
from neurovis.gaze.oat_comparison import compare_oat, make_oat_config, write_compared_oat
from neurovis.gaze.oat_displays import make_box_trials, read_display_tables
from neurovis.gaze.oat_training import load_oat
from neurovis.gaze.oat_trials import ObjectLayout, ObjectTrial, make_grid_layout, split_trials
from neurovis.metrics.multimatch import compute_multimatch
from neurovis.metrics.object_paths import BEHAVIOURS, compute_behaviour_delta, describe_object_paths

QUICK = {"n_epochs": 2, "n_paths": 3, "n_bootstraps": 20, "progress": False}


def make_people(n_images=10, n_people=4, seed=0, n_targets=5):
    """Random scanpaths over a grid of 2 x 3 with labels instead of pictures."""
    rng = np.random.default_rng(seed)
    layout, looks = make_grid_layout((200, 300), 2, 3), np.zeros((6, n_targets), np.float32)
    labels = np.eye(n_targets, dtype=np.float32)
    return [
        ObjectTrial(
            f"i{image}", f"s{person}", f"t{image % n_targets}", layout, looks, labels[image % n_targets],
            image % 6, tuple(rng.integers(6, size=rng.integers(1, 6)).tolist()),
        )
        for image in range(n_images)
        for person in range(n_people)
    ]  # fmt: skip


class TestConfig:
    def test_follows_the_trials(self):
        trials = make_people()
        grid = make_oat_config(trials)
        assert (grid.layout, grid.n_steps, grid.n_features, grid.crop_px) == ("grid", 3, 5, None)
        assert (grid.target_position, grid.flag_fixated_target) == ("none", False)
        told = make_oat_config(trials, target_position="true")
        assert told.flag_fixated_target
        boxes = ObjectLayout(trials[0].layout.boxes, (200, 300))
        crops = np.zeros((6, 30, 40, 3), np.uint8)
        free = [ObjectTrial("i", "s", "t", boxes, crops, crops[0], None, (1,))]
        config = make_oat_config(free)
        assert (config.layout, config.crop_px, config.n_features) == ("centres", (30, 40), None)
        # One display without rows and columns is enough to need centres.
        mixed = [*free, ObjectTrial("j", "s", "t", trials[0].layout, crops, crops[0], None, (1,))]
        assert make_oat_config(mixed).layout == "centres"

    def test_mixed_appearances_are_refused(self):
        with pytest.raises(ValueError, match="queries of one shape"):
            make_oat_config([*make_people(n_targets=5), *make_people(n_targets=4)])
        with pytest.raises(ValueError, match="at least one trial"):
            make_oat_config([])


class TestComparison:
    def test_models_are_fitted_to_one_part_and_measured_on_another(self):
        trials = make_people()
        found = compare_oat(trials, {"OAT": make_oat_config(trials, d_model=32, n_layers=1)}, **QUICK)
        parts = split_trials(trials, by="image", seed=0)
        assert [len(part) for part in found.parts] == [len(part) for part in parts]
        assert {"OAT", "uniform", "all effects and target", PEOPLE} <= set(found.table["model"])
        assert (found.table["n_images"] == 2).all()
        row = found.table.set_index(["model", "metric"]).loc[("OAT", "bits_per_step")]
        bits = compute_path_bits(found.predictors["OAT"], found.parts[2])
        assert row["value"] == pytest.approx(
            bits.sum() / sum(len(trial.path) + 1 for trial in found.parts[2]), abs=1e-6
        )
        assert len(found.results["OAT"].history) <= 2

    def test_labels_of_unseen_targets_are_withheld(self):
        trials = make_people()
        config = {"OAT": make_oat_config(trials, d_model=32, n_layers=1)}
        by_target = compare_oat(trials, config, by="target", **QUICK)
        assert not any(trial.query.any() for part in by_target.parts for trial in part)
        names = [{trial.target_name for trial in part} for part in by_target.parts]
        assert names[0].isdisjoint(names[2])
        by_image = compare_oat(trials, config, **QUICK)
        assert all(trial.query.any() for part in by_image.parts for trial in part)

    def test_a_model_may_not_hide_a_baseline(self):
        trials = make_people()
        with pytest.raises(ValueError, match="name of a baseline"):
            compare_oat(trials, {"uniform": make_oat_config(trials)}, **QUICK)

    def test_other_people_set_the_ceiling_of_one_observer(self):
        trials = make_people(n_images=4)
        own = [trial for trial in trials if trial.subject == "s0"]
        others = [trial for trial in trials if trial.subject != "s0"]
        table = compare_object_models([], own, peers=others, n_paths=2, n_bootstraps=20)
        value = table[table["model"] == PEOPLE].set_index("metric")["value"]
        described = [
            describe_object_paths([np.array(t.path) for t in part], [t.target for t in part])
            for part in (others, own)
        ]
        assert value["delta"] == pytest.approx(compute_behaviour_delta(*described))
        assert value["length"] == described[1]["length"].mean()
        nss, shapes = [], []
        for trial in own:
            peers = [other for other in others if other.stimulus_id == trial.stimulus_id]
            often = np.bincount(np.concatenate([other.path for other in peers]), minlength=6)
            nss.append(((often - often.mean()) / often.std())[list(trial.path)].mean())
            places = trial.layout.centres
            for other in peers:
                pair = [places[list(trial.path)]], [places[list(other.path)]]
                shapes.append(compute_multimatch(*pair, size_px=(200, 300))[0, :4].mean())
        assert value["nss"] == pytest.approx(np.mean(nss))
        assert np.isfinite(shapes).any()
        assert value["multimatch"] == pytest.approx(np.nanmean(shapes))
        alone = compare_object_models([], own, n_paths=2, n_bootstraps=20)
        assert set(alone[alone["model"] == PEOPLE]["metric"]) == set(BEHAVIOURS)

    def test_people_who_do_the_same_have_no_delta(self):
        trials = make_people(n_images=3, n_people=1)
        twins = [ObjectTrial(**{**trial.__dict__, "subject": "twin"}) for trial in trials]
        table = compare_object_models([], trials, peers=twins, n_paths=2, n_bootstraps=20)
        value = table[table["model"] == PEOPLE].set_index("metric")["value"]
        assert value["delta"] == 0
        assert value["sequence_score"] == 1
        assert value["edit_distance"] == 0


def write_tables(folder, rng, *, pictures=True):
    """Ten displays of four scattered boxes; two people look at every box in a row."""
    boxes, gaze = [], []
    corners = np.array([[2, 3], [30, 50], [60, 8], [55, 70]])
    for number in range(10):
        Image.fromarray(rng.integers(0, 255, (90, 100, 3), dtype=np.uint8)).save(folder / f"{number}.png")
        for top, left in corners:
            boxes.append((number, top, left, top + 24, left + 22))
        for subject in ("a", "b"):
            path = rng.permutation(4)
            for index, step in enumerate(path):
                top, left = corners[step]
                gaze.append((subject, number, index, left + 10, top + 12))
    table = pd.DataFrame({"stimulus_id": range(10), "height_px": 90, "width_px": 100, "target": "cup"})
    for side, value in zip(("top", "left", "bottom", "right"), (30, 50, 54, 72), strict=True):
        table[f"target_{side}_px"] = value
    if pictures:
        table["path"] = [f"{number}.png" for number in range(10)]
    table.to_csv(folder / "stimuli.tsv", sep="\t", index=False)
    names = ["subject", "stimulus_id", "index", "x_px", "y_px"]
    pd.DataFrame(gaze, columns=names).to_csv(folder / "fixations.tsv", sep="\t", index=False)
    names = ["stimulus_id", "top_px", "left_px", "bottom_px", "right_px"]
    pd.DataFrame(boxes, columns=names).to_csv(folder / "objects.tsv", sep="\t", index=False)
    return [folder / f"{name}.tsv" for name in ("stimuli", "fixations", "objects")]


class TestOwnTables:
    def test_boxes_become_objects_with_their_pixels(self, tmp_path, rng):
        stimuli, gaze, boxes = read_display_tables(*write_tables(tmp_path, rng))
        trials = make_box_trials(stimuli, gaze, boxes, crop_px=(24, 22))
        assert len(trials) == 20
        trial = trials[3]
        image = stimuli.load(trial.stimulus_id)
        np.testing.assert_array_equal(trial.appearance[1], image[30:54, 50:72])
        # The target has no picture of its own: it is what its box holds.
        np.testing.assert_array_equal(trial.query, image[30:54, 50:72])
        assert trial.target == 1
        assert sorted(trial.path) == [0, 1, 2, 3]
        own = gaze[(gaze["subject"] == trial.subject) & (gaze["stimulus_id"] == trial.stimulus_id)]
        assert own["x_px"].iloc[0] == trial.layout.boxes[trial.path[0], 1] + 10
        labels = make_box_trials(stimuli, gaze, boxes)
        assert labels[0].query.tolist() == [1]

    def test_a_picture_of_the_target_is_stretched_like_the_objects(self, tmp_path, rng):
        picture = rng.integers(0, 255, (12, 11, 3), dtype=np.uint8)
        stimuli, gaze, boxes = read_display_tables(*write_tables(tmp_path, rng))
        Image.fromarray(picture).save(tmp_path / "cup.png")
        shown = StimulusSet("own", stimuli.table.assign(target_path="cup.png"), tmp_path, (1, 1))
        trial = make_box_trials(shown, gaze, boxes, crop_px=(12, 11))[0]
        np.testing.assert_array_equal(trial.query, picture)

    def test_displays_without_boxes_are_refused(self, tmp_path, rng):
        stimuli, gaze, boxes = read_display_tables(*write_tables(tmp_path, rng))
        with pytest.raises(ValueError, match="objects must hold boxes of every stimulus"):
            make_box_trials(stimuli, gaze, boxes[boxes["stimulus_id"] != "3"])
        extra = make_fixations([[5, 5]], subject="a", stimulus_id="0", trial=1)
        assert len(make_box_trials(stimuli, pd.concat([gaze, extra]), boxes)) == 21

    def test_tables_of_ones_own_become_a_model(self, tmp_path, rng):
        tables = dict(zip(("stimuli", "fixations", "objects"), write_tables(tmp_path, rng), strict=True))
        given = [part for name, path in tables.items() for part in (f"--{name}", str(path))]
        out = tmp_path / "own-oat"
        command = ["gaze", "train-oat", *given, "--out", str(out), "--crop", "32x32", "--n-epochs", "1"]
        result = CliRunner().invoke(app, [*command, "--n-paths", "2"], catch_exceptions=False)
        assert result.exit_code == 0, result.output
        predictor = load_oat(out)
        assert predictor.name == "own-oat"
        assert predictor.network.config.layout == "centres"
        stimuli, gaze, boxes = read_display_tables(*tables.values())
        trials = make_box_trials(stimuli, gaze, boxes, crop_px=(32, 32))
        assert np.isfinite(predictor.compute_log_probabilities(trials)[0][1:]).all()
        table = pd.read_csv(out / "comparison.tsv", sep="\t")
        assert {"own-oat", "uniform", PEOPLE} <= set(table["model"])
        record = json.loads((out / "comparison.json").read_text())
        assert record["provenance"]["config"]["crop"] == "32x32"
        card = (out / "README.md").read_text()
        assert "12 scanpaths to train on, 4 that end the training and\n  4 to measure on" in card
        assert re.search(r"\| own-oat \| 0\.\d{3} \[", card)

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            (["--stimuli", "a.tsv"], "stimuli and fixations must both be given"),
            (["--dataset", "sti_amazon", "--stimuli", "a.tsv"], "without tables of one's own"),
        ],
    )
    def test_wrong_choices_are_refused(self, tmp_path, options, message):
        command = ["gaze", "train-oat", "--out", str(tmp_path), *options]
        with pytest.raises(ValueError, match=message):
            CliRunner().invoke(app, command, catch_exceptions=False)

    @pytest.mark.parametrize(
        ("options", "message"),
        [([], "either grid or objects"), (["--grid", "6*14"], "grid must be two whole")],
    )
    def test_wrong_grids_are_refused(self, tmp_path, rng, options, message):
        stimuli, fixations, _ = map(str, write_tables(tmp_path, rng))
        command = [
            "gaze",
            "train-oat",
            "--out",
            str(tmp_path),
            "--stimuli",
            stimuli,
            "--fixations",
            fixations,
        ]
        with pytest.raises(ValueError, match=message):
            CliRunner().invoke(app, [*command, *options], catch_exceptions=False)

    def test_an_unknown_predictor_is_refused(self, tmp_path):
        trials = make_people()
        found = compare_oat(trials, {"OAT": make_oat_config(trials, d_model=32, n_layers=1)}, **QUICK)
        with pytest.raises(ValueError, match="name must be 'OAT'"):
            write_compared_oat(tmp_path, found, "IRL", source="x", command="x", split="x")

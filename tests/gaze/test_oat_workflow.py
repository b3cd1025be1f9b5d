import numpy as np
import pandas as pd
import pytest
from PIL import Image

from neurovis.core import StimulusSet
from neurovis.core.fixations import make_fixations
from neurovis.datasets.sti_amazon import load_sti_amazon
from neurovis.features.weights import build_seeded
from neurovis.gaze.oat import OAT, OATConfig
from neurovis.gaze.oat_batches import FreshBatches, TrialBatches
from neurovis.gaze.oat_behaviour import CHANCE, PEOPLE, compare_object_models, compute_path_bits
from neurovis.gaze.oat_displays import describe_grid, make_grid_trials
from neurovis.gaze.oat_training import OATPredictor, fit_network, load_oat, train_oat
from neurovis.gaze.oat_trials import (
    ObjectLayout,
    ObjectTrial,
    cut_crops,
    filter_by_length,
    make_grid_layout,
    split_trials,
)
from neurovis.gaze.oat_world import (
    WorldSearcher,
    draw_display,
    make_thing_bank,
    scatter_boxes,
    train_oat_world,
)
from neurovis.gaze.simulated_searcher import GridSearcher
from neurovis.gaze.spatial_baselines import (
    ObjectScanpathModel,
    SpatialBaseline,
    fit_spatial_baseline,
    fit_spatial_baselines,
)

SMALL = GridSearcher(n_rows=3, n_columns=4, n_features=8, distance_weight=1.0)
CONFIG = OATConfig(n_features=8, d_model=32, n_layers=1, d_feedforward=48, n_heads=2, dropout=0.0, n_steps=4)


def measure_accuracy(network, searcher, n=400):
    trials = searcher.make_trials(n, seed=987)
    chosen = OATPredictor(network, 12).compute_log_probabilities(trials)
    right = [
        (steps.argmax(axis=1) == [*trial.path, len(trial.layout)]).tolist()
        for steps, trial in zip(chosen, trials, strict=True)
    ]
    return float(np.mean(np.concatenate(right)))


def learn(config, searcher, *, n_steps, seed, batch_size=64):
    network = build_seeded(lambda: OAT(config), seed)
    batches = FreshBatches(searcher, config, batch_size, 50, seed)
    fit_network(network, batches, n_epochs=n_steps // 50, learning_rate=1e-3, seed=seed, progress=False)
    return measure_accuracy(network, searcher)


class TestLearning:
    def test_learns_a_small_searcher_but_not_without_places(self):
        # Seeds 0 to 2 reached .676 to .683, and .455 to .474 without places; chance is 1 / 13.
        blind = OATConfig(**{**CONFIG.__dict__, "layout": "none"})
        assert learn(CONFIG, SMALL, n_steps=300, seed=0, batch_size=32) > 0.62
        assert learn(blind, SMALL, n_steps=300, seed=0, batch_size=32) < 0.53

    @pytest.mark.slow
    @pytest.mark.timeout(3600)
    @pytest.mark.parametrize("seed", [0, 1, 2])
    def test_learns_the_grid_searcher(self, seed):
        # The searcher has no noise: who knows its rule is always right, at a cross-entropy of 0. Seed 1 comes
        # to an accuracy of 0.76 and 0.645 nats in these 800 steps; with one-cycle rates up to 2e-3 to 0.80
        # and 0.584, and in 1600 such steps to 0.85 and 0.43: what is missing is training. Marking the fixated
        # target, as published, does not help: 0.73 and 0.765 after 500 steps, without it 0.73 and 0.745.
        searcher = GridSearcher()
        config = OATConfig(n_features=16, d_model=64, n_layers=2, d_feedforward=128, dropout=0.0, n_steps=6)
        assert learn(config, searcher, n_steps=800, seed=seed) > 0.7
        blind = OATConfig(**{**config.__dict__, "layout": "none"})
        assert learn(blind, searcher, n_steps=800, seed=seed) < 0.6

    def test_a_killed_run_resumes_to_the_same_weights(self, tmp_path):
        trials = SMALL.make_trials(30, seed=1)
        config = OATConfig(**{**CONFIG.__dict__, "dropout": 0.1})
        options = {"n_epochs": 4, "learning_rate": 1e-3, "seed": 3, "progress": False}

        class Killed(TrialBatches):
            def __call__(self, epoch):
                if epoch == 2:
                    raise KeyboardInterrupt
                return super().__call__(epoch)

        whole, part = (build_seeded(lambda: OAT(config), 3) for _ in range(2))
        fit_network(whole, TrialBatches(trials, config, 10, 3), **options)
        path = tmp_path / "run.safetensors"
        with pytest.raises(KeyboardInterrupt):
            fit_network(part, Killed(trials, config, 10, 3), checkpoint=path, **options)
        again = build_seeded(lambda: OAT(config), 3)
        fit_network(again, TrialBatches(trials, config, 10, 3), checkpoint=path, **options)
        for name, value in whole.state_dict().items():
            assert (again.state_dict()[name] == value).all(), name

    @pytest.mark.parametrize("monitor", ["loss", "delta"])
    def test_training_stops_by_the_validation_trials(self, monitor):
        trials = SMALL.make_trials(40, seed=1)
        predictor, result = train_oat(
            trials[:30], trials[30:], CONFIG, n_epochs=4, patience=2, monitor=monitor, seed=0, progress=False
        )
        assert len(result.history) <= 4
        values = [epoch.validation for epoch in result.history]
        measured = {"loss": predictor.compute_mean_loss, "delta": predictor.compute_delta}[monitor]
        assert abs(measured(trials[30:]) - min(values)) < 1e-6
        assert predictor.max_length == max(len(trial.path) for trial in trials[:30])

    def test_empty_parts_are_refused(self):
        with pytest.raises(ValueError, match="trials and validation must both hold trials"):
            train_oat([], SMALL.make_trials(2, seed=0), CONFIG)


class TestPredictor:
    def test_is_a_scanpath_model_whatever_the_batch(self):
        trials = [*SMALL.make_trials(3, seed=1), *GridSearcher(2, 2, 8).make_trials(2, seed=2)]
        network = build_seeded(lambda: OAT(CONFIG), 0).eval()
        predictor = OATPredictor(network, 5)
        assert isinstance(predictor, ObjectScanpathModel)
        one = predictor.compute_log_probabilities(trials)
        two = OATPredictor(network, 5, batch_size=1).compute_log_probabilities(trials)
        for trial, a, b in zip(trials, one, two, strict=True):
            assert a.shape == (len(trial.path) + 1, len(trial.layout) + 1)
            np.testing.assert_allclose(np.exp(a).sum(axis=1), 1, atol=1e-5)
            np.testing.assert_allclose(a, b, atol=1e-4)
        paths = predictor.sample(trials, n_paths=7, seed=0)
        assert [len(own) for own in paths] == [7] * 5
        assert max(max(path) for path in paths[4]) < 4
        assert paths == predictor.sample(trials, n_paths=7, seed=0)


class TestBaselines:
    def test_distance_baseline_recovers_steps_of_its_own_kind(self):
        layout = make_grid_layout((600, 600), 6, 6)
        looks = np.zeros((36, 1), np.float32)
        weights = np.array([-4.0, 0, 0, 0, 2.0, 1.0, 0.0, -1.0, -3.0, 0.0])
        truth = SpatialBaseline("truth", ("distance",), weights, 12)
        display = ObjectTrial("a", "s", "", layout, looks, looks[0], None, ())
        paths = truth.sample([display], n_paths=250, seed=0)[0]
        trials = [ObjectTrial("a", "s", "", layout, looks, looks[0], None, tuple(path)) for path in paths]
        found = fit_spatial_baseline(trials, ("distance",))
        wanted, got = (np.exp(m.compute_log_probabilities(trials[:20])[3][:8]) for m in (truth, found))
        assert np.abs(wanted - got).sum(axis=1).max() / 2 < 0.12
        counted = np.bincount([path[0] for path in paths], minlength=36) / 250
        expected = np.exp(truth.compute_log_probabilities(trials[:1])[0][0, :36])
        assert np.abs(counted - expected).sum() / 2 < 0.2

    def test_return_baseline_sees_inhibition(self):
        trials = SMALL.make_trials(150, seed=0)
        found = fit_spatial_baseline(trials, ("visited",))
        assert found.weights[0] < -1.5

    def test_uniform_is_even_over_objects_and_first_steps_never_end(self):
        trials = SMALL.make_trials(20, seed=0)
        uniform = fit_spatial_baseline(trials, (), name="uniform")
        steps = np.exp(uniform.compute_log_probabilities(trials)[0])
        np.testing.assert_allclose(steps[0], [*[1 / 12] * 12, 0])
        assert np.ptp(steps[1, :12]) < 1e-12
        rate = sum(len(t.path) == 1 for t in trials) / len(trials)
        assert abs(steps[1, 12] - rate) < 0.15

    def test_only_the_target_baseline_ends_on_the_target(self):
        trials = SMALL.make_trials(120, seed=0)
        models = {model.name: model for model in fit_spatial_baselines(trials)}
        paths = models["target only"].sample(trials, n_paths=20, seed=0)
        correct = np.mean([p[-1] == t.target for t, own in zip(trials, paths, strict=True) for p in own])
        assert correct > 0.6
        free = [ObjectTrial(**{**t.__dict__, "target": None}) for t in trials]
        assert "target only" not in {model.name for model in fit_spatial_baselines(free)}
        with pytest.raises(ValueError, match="must not hold 'target'"):
            fit_spatial_baseline(free, ("target",))


class TestBehaviour:
    def test_rows_are_those_of_slow_loops(self):
        layout, looks = make_grid_layout((200, 200), 2, 2), np.zeros((4, 1), np.float32)

        def trial(subject, image, path):
            return ObjectTrial(image, subject, "t", layout, looks, looks[0], 3, path)

        people = [
            trial("a", "x", (0, 1, 3)), trial("b", "x", (0, 3)),
            trial("a", "y", (1, 1, 0, 1, 3)), trial("b", "y", (2,)),
        ]  # fmt: skip

        class Fixed:
            name = "fixed"

            def sample(self, trials, *, n_paths, seed):
                return [[[0, 3]] * n_paths for _ in trials]

            def compute_log_probabilities(self, trials):
                even = np.log([0.4, 0.1, 0.1, 0.2, 0.2])
                return [np.tile(even, (len(t.path) + 1, 1)) for t in trials]

        table = compare_object_models([Fixed()], people, n_paths=3, n_bootstraps=20)
        value = table.set_index(["model", "metric"])["value"]
        assert value[PEOPLE, "correct"] == 0.75
        assert value[PEOPLE, "length"] == (3 + 2 + 5 + 1) / 4
        assert value[PEOPLE, "refix"] == pytest.approx((1 / 5) / 4)
        assert value[PEOPLE, "revisit"] == pytest.approx((1 / 5) / 4)
        assert value[PEOPLE, "sequence_score"] == pytest.approx((2 / 3 + 0) / 2)
        assert value["fixed", "correct"] == 1
        scores = [2 / 3, 1, 2 / 5, 0]
        assert value["fixed", "sequence_score"] == pytest.approx(np.mean(scores))
        assert value["fixed", "edit_distance"] == pytest.approx((1 + 0 + 3 + 2) / 4)
        human, model = [0.75, 2.75, 0.9, 0.05, 0.05], [1, 2, 1, 0, 0]
        delta = np.mean([abs(m - h) / h for m, h in zip(model, human, strict=True)])
        assert value["fixed", "delta"] == pytest.approx(delta)
        chosen = [0.4, 0.1, 0.2, 0.2, 0.4, 0.2, 0.2, 0.1, 0.1, 0.4, 0.1, 0.2, 0.2, 0.1, 0.2]
        assert value["fixed", "sim"] == pytest.approx(np.mean(chosen))
        assert value["fixed", "bits_per_step"] == pytest.approx(np.mean(np.log2(chosen)))
        assert value["fixed", "accuracy"] == pytest.approx(np.mean([p == 0.4 for p in chosen]))
        assert value[CHANCE, "length"] == value[PEOPLE, "length"]

    def test_intervals_hold_the_value(self):
        trials = SMALL.make_trials(60, seed=0)
        table = compare_object_models(fit_spatial_baselines(trials)[:2], trials, n_paths=5, n_bootstraps=100)
        mean = table[table["metric"].isin(["length", "accuracy", "sequence_score"])]
        assert (mean["low"] <= mean["value"]).all()
        assert (mean["value"] <= mean["high"]).all()


class TestTrials:
    def test_fixations_go_to_the_box_around_them_or_the_nearest(self):
        layout = ObjectLayout(np.array([[0, 0, 10, 10], [0, 20, 10, 40], [5, 5, 30, 25.0]]), (40, 40))
        found = layout.find_objects([[2, 2], [25, 5], [14, 20], [19, 2], [39, 39], [9.9, 9.9]])
        assert found.tolist() == [0, 1, 2, 1, 2, 0]

    def test_grid_numbers_cells_along_rows(self):
        layout = make_grid_layout((60, 140), 6, 14)
        assert layout.find_objects([[0, 0], [139, 0], [0, 59], [35, 25]]).tolist() == [0, 13, 70, 31]
        assert layout.cells[31].tolist() == [2, 3]

    def test_length_filter_is_three_deviations(self):
        layout, looks = make_grid_layout((10, 10), 1, 1), np.zeros((1, 1), np.float32)
        lengths = [5] * 40 + [60]
        trials = [ObjectTrial("a", "s", "", layout, looks, looks[0], 0, (0,) * n) for n in lengths]
        assert len(filter_by_length(trials)) == 40

    @pytest.mark.parametrize("by", ["image", "observer", "target", "trial"])
    def test_parts_share_nothing_that_they_must_not(self, by):
        layout, looks = make_grid_layout((10, 10), 1, 1), np.zeros((1, 1), np.float32)
        trials = [
            ObjectTrial(f"i{i}", f"s{s}", f"t{i % 5}", layout, looks, looks[0], 0, (0,))
            for i in range(15) for s in range(4)
        ]  # fmt: skip
        parts = split_trials(trials, by=by, seed=1)
        assert sum(map(len, parts)) == 60
        assert all(parts)
        key = {
            "image": lambda t: t.stimulus_id, "observer": lambda t: t.subject,
            "target": lambda t: t.target_name, "trial": id,
        }[by]  # fmt: skip
        groups = [{key(trial) for trial in part} for part in parts]
        assert groups[0].isdisjoint(groups[1] | groups[2])
        assert groups[1].isdisjoint(groups[2])

    def test_ids_that_count_from_one_are_refused(self):
        layout, looks = make_grid_layout((10, 10), 1, 2), np.zeros((2, 1), np.float32)
        with pytest.raises(ValueError, match="often count from 1"):
            ObjectTrial("a", "s", "", layout, looks, looks[0], 0, (1, 2))

    def test_crops_are_the_boxes(self, rng):
        image = rng.integers(0, 255, (20, 30, 3), dtype=np.uint8)
        crop = cut_crops(image, np.array([[4, 6, 14, 21.0]]), (10, 15))[0]
        np.testing.assert_array_equal(crop, image[4:14, 6:21])

    def test_images_become_cells_with_their_target(self, tmp_path, rng):
        image, target = (rng.integers(0, 255, (n, m, 3), dtype=np.uint8) for n, m in ((60, 80), (10, 10)))
        Image.fromarray(image).save(tmp_path / "a.png")
        Image.fromarray(target).save(tmp_path / "t.png")
        table = pd.DataFrame(
            {
                "path": "a.png", "target": "cup", "target_path": "t.png", "height_px": 60, "width_px": 80,
                "target_top_px": 41.0, "target_left_px": 61.0, "target_bottom_px": 59.0,
                "target_right_px": 79.0,
            },
            index=["a"],
        )  # fmt: skip
        stimuli = StimulusSet("one", table, tmp_path, (1, 1))
        gaze = make_fixations([[5, 5], [30, 30], [70, 50]], subject="s", stimulus_id="a")
        (trial,) = make_grid_trials(stimuli, gaze, (3, 4), crop_px=(20, 20), first_index=1)
        assert trial.path == (5, 11)
        assert trial.target == 11
        assert trial.start_px == (5, 5)
        np.testing.assert_array_equal(trial.appearance[5], image[20:40, 20:40])
        np.testing.assert_array_equal(trial.query[5:15, 5:15], target)
        assert (trial.query[0] == 128).all()
        layout, looks, query = describe_grid(image, target, grid=(3, 4), crop_px=(20, 20))
        np.testing.assert_array_equal(layout.boxes, trial.layout.boxes)
        np.testing.assert_array_equal(looks, trial.appearance)
        np.testing.assert_array_equal(query, trial.query)

    def test_without_images_the_target_is_a_label(self, tmp_path):
        table = pd.DataFrame(
            {"path": "", "target": ["cup", "fork"], "height_px": 60, "width_px": 80}, index=["a", "b"]
        )
        stimuli = StimulusSet("two", table, tmp_path, (1, 1))
        gaze = pd.concat([make_fixations([[5, 5]], subject="s", stimulus_id=name) for name in ("a", "b")])
        one, two = make_grid_trials(stimuli, gaze, (3, 4))
        assert one.query.tolist() == [1, 0]
        assert two.query.tolist() == [0, 1]
        assert not one.appearance.any()
        assert one.target is None


class TestWorld:
    @pytest.fixture(scope="class")
    def bank(self):
        return make_thing_bank(30, seed=5)

    def test_boxes_do_not_overlap(self, rng):
        for _ in range(20):
            boxes = scatter_boxes(14, rng).boxes
            low, high = (
                np.maximum(boxes[:, None, :2], boxes[None, :, :2]),
                np.minimum(boxes[:, None, 2:], boxes[None, :, 2:]),
            )
            overlap = (high > low).all(axis=2)
            assert overlap.sum() == 14
            assert boxes.min() >= 0
            assert boxes.max() <= 240

    def test_the_searcher_knows_kind_and_colour(self, bank):
        searcher = WorldSearcher(bank)
        similarity = searcher.compute_similarity(np.arange(len(bank)), 3)
        assert similarity[3] == 2
        assert similarity.argmax() == 3
        same = bank.categories == bank.categories[3]
        assert similarity[same].mean() > similarity[~same].mean() + 0.4

    def test_displays_are_reproducible_and_can_be_drawn(self, bank):
        one, two = (WorldSearcher(bank).make_trials(4, seed=2) for _ in range(2))
        for a, b in zip(one, two, strict=True):
            assert a.path == b.path
            np.testing.assert_array_equal(a.appearance, b.appearance)
        picture = draw_display(one[0])
        assert picture.shape == (240, 240, 3)
        top, left = one[0].layout.boxes[0, :2].round().astype(int)
        assert np.abs(picture[top : top + 40, left : left + 40].astype(int) - 128).max() > 20

    def test_the_shipped_model_knows_the_searcher(self, bank):
        trials = WorldSearcher(bank).make_trials(80, seed=4)
        shipped = load_oat()
        blind = [ObjectTrial(**{**t.__dict__, "query": np.full_like(t.query, 128)}) for t in trials]
        spatial = fit_spatial_baseline(WorldSearcher(bank).make_trials(200, seed=5), ("distance", "visited"))
        seen, unseen, near = (
            compute_path_bits(model, shown).sum() / sum(len(trial.path) + 1 for trial in shown)
            for model, shown in ((shipped, trials), (shipped, blind), (spatial, trials))
        )
        assert seen > near + 1
        assert seen > unseen + 1

    def test_trainer_writes_what_the_loader_reads(self, tmp_path):
        quality = train_oat_world(tmp_path, n_scenes=25, n_epochs=1, n_test=6)
        assert set(quality) == {"correct", "length", "delta", "accuracy", "bits_per_step"}
        predictor = load_oat(tmp_path)
        trial = WorldSearcher(make_thing_bank(25, seed=9)).make_trials(1, seed=0)
        assert np.isfinite(predictor.compute_log_probabilities(trial)[0][1:]).all()
        card = (tmp_path / "README.md").read_text()
        assert "No person's gaze" in card
        weights = tmp_path / "weights.safetensors"
        weights.write_bytes(weights.read_bytes()[:-4] + b"abcd")
        with pytest.raises(ValueError, match="must have sha256"):
            load_oat(tmp_path)


def test_the_published_human_behaviour_on_book_covers(shared_data):
    stimuli, fixations = load_sti_amazon(root=shared_data)
    trials = make_grid_trials(stimuli, fixations, (6, 14))
    table = compare_object_models([], trials, n_paths=10, n_bootstraps=2)
    value = table.set_index(["model", "metric"])["value"]
    if len(stimuli) == 100:
        expected = {"correct": 0.840, "length": 14.47, "search": 0.780, "refix": 0.170, "revisit": 0.050}
        expected["sequence_score"], chance, n_kept = 0.2009, 0.0856, 585
    else:
        # The shared part holds 67 of the 100 collages.
        assert len(stimuli) == 67
        expected = {"correct": 0.828, "length": 15.042, "search": 0.784, "refix": 0.165, "revisit": 0.051}
        expected["sequence_score"], chance, n_kept = 0.1959, 0.0835, 393
    for name, wanted in expected.items():
        assert value[PEOPLE, name] == pytest.approx(wanted, abs=6e-3 if name == "length" else 6e-4), name
    assert value[CHANCE, "sequence_score"] == pytest.approx(chance, abs=3e-3)
    assert len(filter_by_length(trials)) == n_kept

import math
from functools import partial

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from neurovis.core import GazeModel, StimulusSet
from neurovis.core.fixations import make_fixations
from neurovis.gaze.conditional_logit import compute_choice_log_probabilities, fit_conditional_logit
from neurovis.gaze.gaze_comparison import compare_gaze_models, split_stimuli
from neurovis.gaze.human_density import HumanDensity, fit_human_density
from neurovis.gaze.likelihood import sample_scanpaths, score_gaze_model
from neurovis.gaze.models import CentreBias, UniformModel, fit_centre_bias, resize_log_density
from neurovis.gaze.oat_trials import make_grid_layout
from neurovis.gaze.object_density import ObjectDensity, spread_over_boxes
from neurovis.gaze.saccade_model import SaccadeModel, fit_saccade_model
from neurovis.gaze.saliency_map import MapDensity, compute_saliency_map, fit_map_density
from neurovis.gaze.spatial_baselines import SpatialBaseline

SIZE = (60, 80)
BLANK = np.zeros((*SIZE, 3), dtype=np.uint8)
NOBODY = make_fixations([], subject="s", stimulus_id="none")


def draw_around(x, y, sigma, n, rng):
    xy = rng.normal((x, y), sigma, (n, 2))
    return np.clip(xy, 0.5, np.array(SIZE[::-1]) - 0.5)


def make_gaze(places, rng, *, n_subjects=6, n=8, sigma=4.0):
    """People who look around one place of each image."""
    return pd.concat(
        [
            make_fixations(draw_around(*place, sigma, n, rng), subject=f"s{who}", stimulus_id=name)
            for name, place in places.items()
            for who in range(n_subjects)
        ],
        ignore_index=True,
    )


def make_images(names, rng):
    """Dark pictures with one bright coloured disc; returns them and the discs' places."""
    y, x = np.mgrid[: SIZE[0], : SIZE[1]]
    images, places = {}, {}
    for name in names:
        places[name] = (rng.uniform(12, SIZE[1] - 12), rng.uniform(12, SIZE[0] - 12))
        disc = np.hypot(x - places[name][0], y - places[name][1]) < 5
        image = rng.normal(60, 4, (*SIZE, 3))
        image[disc] = (230, 200, 40)
        images[name] = np.clip(image, 0, 255).astype(np.uint8)
    return images, places


def sums_to_one(model, image=BLANK, history=NOBODY):
    return abs(np.exp(model.log_density(image, history)).sum() - 1) < 1e-9


class TestConditionalLogit:
    def test_recovers_weights_from_choices(self, rng):
        features = rng.normal(size=(3000, 6, 3))
        weights = np.array([1.0, -0.5, 0.2])
        chosen = [rng.choice(6, p=p) for p in np.exp(compute_choice_log_probabilities(features, weights))]
        counts = np.eye(6)[chosen]
        np.testing.assert_allclose(fit_conditional_logit(features, counts), weights, atol=0.1)

    def test_equals_a_slow_optimiser_with_masks_and_bounds(self, rng):
        from scipy import optimize

        features, available = rng.normal(size=(40, 5, 2)), rng.random((40, 5)) < 0.7
        available[:, 0] = True
        counts = np.zeros((40, 5))
        counts[:, 0] = 1

        def lose(w):
            total = 0.0
            for x, free in zip(features, available, strict=True):
                scores = [float(row @ w) for row, ok in zip(x, free, strict=True) if ok]
                total += math.log(sum(math.exp(s) for s in scores)) - float(x[0] @ w)
            return total / 40 + 0.5 * 0.01 * float(w @ w)

        slow = optimize.minimize(lose, np.zeros(2), bounds=[(0, None), (None, None)], method="L-BFGS-B").x
        fast = fit_conditional_logit(
            features, counts, available=available, nonnegative=[True, False], penalty=0.01
        )
        np.testing.assert_allclose(fast, slow, atol=1e-3)

    def test_choosing_what_is_not_there_is_an_error(self):
        with pytest.raises(ValueError, match="of them of unavailable options"):
            fit_conditional_logit(np.zeros((1, 2, 1)), [[0, 1]], available=[[True, False]])


class TestCentreBias:
    def test_density_sums_to_one_at_every_size(self, rng):
        names = [f"i{k}" for k in range(6)]
        model = fit_centre_bias(make_gaze(dict.fromkeys(names, (40, 30)), rng), dict.fromkeys(names, SIZE))
        for shape in (SIZE, (120, 160), (33, 91), (480, 20)):
            assert sums_to_one(model, np.zeros((*shape, 3), dtype=np.uint8))
        assert isinstance(model, GazeModel)
        assert isinstance(UniformModel(), GazeModel)

    def test_width_is_that_of_the_crowd(self, rng):
        names = [f"i{k}" for k in range(10)]
        widths = [
            fit_centre_bias(
                make_gaze(dict.fromkeys(names, (40, 30)), rng, sigma=sigma, n=20), dict.fromkeys(names, SIZE)
            )
            for sigma in (2.0, 12.0)
        ]
        assert widths[0].bandwidth < widths[1].bandwidth
        top = np.unravel_index(widths[0].log_density(BLANK, NOBODY).argmax(), SIZE)
        assert abs(top[0] - 30) < 3
        assert abs(top[1] - 40) < 3

    def test_choice_of_width_equals_a_slow_leave_out(self, rng):
        names = [f"i{k}" for k in range(4)]
        gaze = make_gaze(dict.fromkeys(names, (40, 30)), rng, n_subjects=1, n=5)
        model = fit_centre_bias(
            gaze, dict.fromkeys(names, SIZE), bandwidths=(0.02, 0.1), floors=(0.01,), n_folds=4
        )
        y, x = np.mgrid[:120, :160] + 0.5
        likelihood = {}
        for bandwidth in (0.02, 0.1):
            total = 0.0
            for name in names:
                out = gaze["stimulus_id"] == name
                density = np.zeros((120, 160))
                for px, py in gaze.loc[~out, ["x_px", "y_px"]].to_numpy() * 2:
                    px, py = math.floor(px) + 0.5, math.floor(py) + 0.5
                    density += np.exp(-((x - px) ** 2 + (y - py) ** 2) / (2 * (bandwidth * 160) ** 2))
                density = 0.99 * density / density.sum() + 0.01 / density.size
                for px, py in gaze.loc[out, ["x_px", "y_px"]].to_numpy() * 2:
                    total += math.log(density[int(py), int(px)])
            likelihood[bandwidth] = total
        assert model.bandwidth == max(likelihood, key=likelihood.get)

    def test_resizing_keeps_the_density(self):
        y, x = np.mgrid[:60, :80]
        log = -((y - 30) ** 2 + (x - 40) ** 2) / 200.0
        log -= np.log(np.exp(log).sum())
        finer = resize_log_density(log, (120, 160))
        coarse = np.exp(finer).reshape(60, 2, 80, 2).sum(axis=(1, 3))
        np.testing.assert_allclose(coarse, np.exp(log), rtol=0.05, atol=1e-7)

    def test_too_few_images_and_strangers_are_refused(self, rng):
        gaze = make_gaze({"a": (40, 30)}, rng)
        with pytest.raises(ValueError, match="n_folds must be from 2"):
            fit_centre_bias(gaze, {"a": SIZE})
        with pytest.raises(ValueError, match="exchanging x and y"):
            fit_centre_bias(
                gaze.assign(x_px=gaze["y_px"], y_px=gaze["x_px"] * 0 + 79), {"a": SIZE}, n_folds=2
            )


class TestSaliency:
    def test_map_finds_what_stands_out(self, rng):
        images, places = make_images(["a", "b", "c"], rng)
        for name, image in images.items():
            found = compute_saliency_map(image)
            assert found.min() >= 0
            assert found.max() <= 1
            y, x = np.unravel_index(found.argmax(), SIZE)
            assert math.dist((x, y), places[name]) < 9

    def test_a_picture_without_contrast_has_no_saliency(self):
        assert compute_saliency_map(np.full((40, 50, 3), 90, dtype=np.uint8)).max() < 1e-6

    def test_fit_gains_over_the_centre_bias_and_only_order_counts(self, rng):
        images, places = make_images([f"i{k}" for k in range(12)], rng)
        gaze = make_gaze(places, rng)
        centre = fit_centre_bias(gaze, dict.fromkeys(images, SIZE))
        model = fit_map_density(images, gaze, centre, blurs=(0.02, 0.05))
        assert (model.weights >= 0).all()
        image = images["i0"]
        assert sums_to_one(model, image)
        log_density = model.log_density(image, NOBODY)
        y, x = np.unravel_index(log_density.argmax(), SIZE)
        assert math.dist((x, y), places["i0"]) < 9
        # Any rising function of an unblurred map says the same.
        plain = MapDensity(compute_saliency_map, centre, 0.0, model.weights)
        bent = MapDensity(
            lambda picture: np.exp(5 * compute_saliency_map(picture)), centre, 0.0, model.weights
        )
        np.testing.assert_allclose(plain.log_density(image, NOBODY), bent.log_density(image, NOBODY))

    def test_fit_is_the_maximum_of_the_likelihood(self, rng):
        images, places = make_images([f"i{k}" for k in range(5)], rng)
        gaze = make_gaze(places, rng, n_subjects=3)
        centre = fit_centre_bias(gaze, dict.fromkeys(images, SIZE))
        model = fit_map_density(images, gaze, centre, blurs=(0.02,))

        def measure(weights):
            other = MapDensity(model.compute_map, centre, model.blur, weights)
            scores = []
            for name, rows in gaze.groupby("stimulus_id"):
                log = other.log_density(images[name], NOBODY)
                scores.append(log[rows["y_px"].astype(int), rows["x_px"].astype(int)].sum())
            return sum(scores) / len(gaze)

        best = measure(model.weights)
        for k in range(len(model.weights)):
            for change in (-0.5, 0.5):
                moved = model.weights.copy()
                moved[k] = max(0.0, moved[k] + change)
                assert measure(moved) <= best + 0.01


class TestSaccades:
    def test_recovers_short_steps_and_no_return(self, rng):
        uniform = UniformModel()
        truth = SaccadeModel(uniform, np.array([1.0, -0.5, -1, -1, -1, -1, -1, -1, -1, -3.0]))
        image = np.zeros((30, 40, 3), dtype=np.uint8)
        gaze = sample_scanpaths(truth, image, 40, length=8, seed=1, stimulus_id="a")
        model = fit_saccade_model(lambda _: image, gaze, uniform)
        assert model.return_weight < -1
        assert sums_to_one(model, image, gaze[gaze["trial"] == 0].iloc[:3])
        # Slopes are judged by the densities that they give.
        for path in (gaze[gaze["trial"] == k].iloc[:4] for k in range(3)):
            own, wanted = (np.exp(m.log_density(image, path)) for m in (model, truth))
            assert np.abs(own - wanted).sum() / 2 < 0.15

    def test_first_fixation_starts_in_the_middle(self):
        model = SaccadeModel(UniformModel(), np.array([1.0, *[-1.0] * 8, 0.0]))
        row, column = np.unravel_index(model.log_density(BLANK, NOBODY).argmax(), SIZE)
        assert abs(row - 30) <= 1
        assert abs(column - 40) <= 1


class TestHumanDensity:
    def test_a_person_is_never_predicted_from_itself(self, rng):
        gaze = make_gaze({"a": (20, 20)}, rng, n_subjects=3)
        changed = gaze.copy()
        changed.loc[changed["subject"] == "s0", ["x_px", "y_px"]] = 70.0, 50.0
        models = [HumanDensity(table, UniformModel(), 0.05, 0.1) for table in (gaze, changed)]
        own = [m.for_trial("a", "s0").log_density(BLANK, NOBODY) for m in models]
        other = [m.for_trial("a", "s1").log_density(BLANK, NOBODY) for m in models]
        np.testing.assert_array_equal(own[0], own[1])
        assert not np.array_equal(other[0], other[1])
        assert sums_to_one(models[0].for_trial("a", "s0"))

    def test_alone_on_an_image_the_prior_is_left(self, rng):
        gaze = make_gaze({"a": (20, 20)}, rng, n_subjects=1)
        alone = HumanDensity(gaze, UniformModel(), 0.05, 0.1).for_trial("a", "s0")
        np.testing.assert_array_equal(
            alone.log_density(BLANK, NOBODY), UniformModel().log_density(BLANK, NOBODY)
        )
        with pytest.raises(KeyError, match="have no stimulus 'b'"):
            HumanDensity(gaze, UniformModel(), 0.05, 0.1).for_trial("b", "s0")

    def test_fit_chooses_the_blur_of_the_crowd(self, rng):
        places = {f"i{k}": (rng.uniform(15, 65), rng.uniform(15, 45)) for k in range(5)}
        fits = [
            fit_human_density(
                make_gaze(places, rng, sigma=sigma), list(places), lambda _: BLANK, UniformModel()
            )
            for sigma in (1.5, 9.0)
        ]
        assert fits[0].bandwidth < fits[1].bandwidth


class TestObjectDensity:
    def test_probabilities_are_spread_over_boxes(self):
        layout = make_grid_layout((600, 800), 3, 4)
        weights = np.arange(1.0, 13)
        log = spread_over_boxes(weights, layout, SIZE, floor=0.1)
        density = np.exp(log).reshape(3, 20, 4, 20).sum(axis=(1, 3)).ravel()
        np.testing.assert_allclose(density, 0.9 * weights / weights.sum() + 0.1 / 12)
        assert np.ptp(log[:20, :20]) < 1e-12

    def test_is_the_object_model_given_the_end_does_not_come(self):
        layout = make_grid_layout(SIZE, 3, 4)
        looks = np.zeros((12, 1), dtype=np.float32)
        model = SpatialBaseline("one", ("visited",), np.array([-2.0, 0.5, 0.0]), 9)
        adapter = ObjectDensity(model, lambda image, target: (layout, looks, looks[0]), floor=0.0)
        xy = layout.centres[[2, 7, 5]]
        history = make_fixations(xy, subject="s", stimulus_id="a")
        log = adapter.log_density(BLANK, history)
        cells = np.exp(log).reshape(3, 20, 4, 20).sum(axis=(1, 3)).ravel()
        expected = np.ones(12)
        expected[[2, 7]] = math.exp(-2)
        np.testing.assert_allclose(cells, expected / expected.sum())
        assert isinstance(adapter, GazeModel)


class Own:
    """A user's class with one method; it keeps what it was fitted to."""

    def __init__(self, training):
        self.training = training

    def log_density(self, image, history, *, target=None):
        return np.full(image.shape[:2], -math.log(image.shape[0] * image.shape[1]))


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    rng, folder = np.random.default_rng(4), tmp_path_factory.mktemp("discs")
    images, places = make_images([f"i{k}" for k in range(12)], rng)
    for name, image in images.items():
        Image.fromarray(image).save(folder / f"{name}.png")
    table = pd.DataFrame(
        {"path": [f"{name}.png" for name in images], "height_px": SIZE[0], "width_px": SIZE[1]},
        index=list(images),
    )
    return StimulusSet("discs", table, folder, (6, 8)), make_gaze(places, rng, n_subjects=4, n=5)


@pytest.fixture(scope="module")
def compared(data):
    stimuli, gaze = data
    return compare_gaze_models(
        stimuli, gaze, fit_models={"mine": Own}, shrink=2, n_bootstraps=100, progress=False
    )


class TestComparison:
    def test_ranks_models_between_chance_and_people(self, compared):
        table = compared.table[compared.table["metric"] == "information_gain_bits"].set_index("model")
        assert table.loc["centre bias", "value"] == 0
        assert table.loc["uniform", "role"] == "chance"
        assert table.loc["other people", "role"] == "ceiling"
        assert table.loc["saliency", "low"] > 0
        assert table.loc["saliency", "value"] < table.loc["other people", "value"] + 0.5
        assert set(compared.training_ids).isdisjoint(compared.test_ids)
        assert set(compared.scores["stimulus_id"]) == set(compared.test_ids)
        assert (compared.table["low"] <= compared.table["value"] + 1e-9).all()
        assert (compared.table["value"] <= compared.table["high"] + 1e-9).all()
        chance = compared.table.set_index(["model", "metric"])["value"]["uniform"]
        assert chance["auc"] == 0.5
        assert chance["nss"] == 0
        assert chance["gain_over_uniform_bits"] == 0

    def test_a_users_model_is_fitted_to_the_training_images_and_scored(self, compared):
        training = compared.models["mine"].training
        assert set(training.fixations["stimulus_id"]) == set(compared.training_ids)
        assert set(training.stimuli.stimulus_ids) == set(compared.training_ids)
        values = compared.table.set_index(["model", "metric"])["value"]
        assert abs(values["mine", "gain_over_uniform_bits"]) < 1e-12

    def test_nothing_of_the_test_images_reaches_a_fit(self, data, compared):
        stimuli, gaze = data
        moved = gaze.copy()
        moved.loc[moved["stimulus_id"].isin(compared.test_ids), ["x_px", "y_px"]] = 3.0, 3.0
        other = compare_gaze_models(stimuli, moved, shrink=2, n_bootstraps=10, progress=False)
        assert other.test_ids == compared.test_ids
        np.testing.assert_array_equal(other.models["centre bias"].grid, compared.models["centre bias"].grid)
        for name in ("saliency", "saccades", "saccades on saliency"):
            np.testing.assert_array_equal(other.models[name].weights, compared.models[name].weights)
        assert other.models["other people"].bandwidth == compared.models["other people"].bandwidth

    def test_stimuli_that_show_one_image_stay_together(self, rng):
        names = [f"{task}_{k}" for k in range(9) for task in ("cup", "fork")]
        for seed in range(5):
            training, test = split_stimuli(
                names, test_share=0.3, group_of=lambda name: name.split("_")[1], seed=seed
            )
            images = [{name.split("_")[1] for name in part} for part in (training, test)]
            assert images[0].isdisjoint(images[1])
            assert sorted([*training, *test]) == sorted(names)
        with pytest.raises(ValueError, match="must leave images on both sides"):
            split_stimuli(["a"], test_share=0.5)

    def test_shrinking_leaves_smooth_densities_as_they_are(self, rng):
        y, x = np.mgrid[:120, :160] + 0.5
        log = -((y - 50) ** 2 + (x - 90) ** 2) / (2 * 20**2)
        log -= np.log(np.exp(log).sum())
        gaze = sample_scanpaths(
            CentreBias(log, 0, 0), np.zeros((120, 160, 3), np.uint8), 60, length=5, seed=0
        )
        table = pd.DataFrame({"path": "", "height_px": 120, "width_px": 160}, index=["image"])
        stimuli = StimulusSet("one", table, ".", (1, 1))
        gains = []
        for factor in (1, 4):
            small = gaze.assign(x_px=gaze["x_px"] / factor, y_px=gaze["y_px"] / factor)
            blank = np.zeros((120 // factor, 160 // factor, 3), dtype=np.uint8)
            scores = score_gaze_model(
                CentreBias(log, 0, 0), stimuli, small, load_image=partial(lambda b, _: b, blank)
            )
            gains.append(scores["information_gain_bits"].mean())
        assert abs(gains[0] - gains[1]) < 0.02

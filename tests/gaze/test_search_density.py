"""Search maps as densities: what is planted in a map is found, and saccades go on top of it."""

import numpy as np
import pandas as pd
import pytest
from miniature_gaze import make_discs

from neurovis.core import make_fixations
from neurovis.gaze.gaze_comparison import compare_gaze_models
from neurovis.gaze.saccade_model import SaccadeModel
from neurovis.gaze.search_density import SearchDensity, compute_search_maps, list_search_fits
from neurovis.gaze.search_protocols import SearchProtocol

PROTOCOL = SearchProtocol("scenes", 5, uses_cells=False)


class Seeker:
    """Sees how bright everything is, but nothing of the last ten columns."""

    name = "seeker"

    def begin(self, setup):
        self.targets = setup.task.targets

        def attend(glance):
            np.testing.assert_array_equal(glance.fixations, [[30, 40]])
            maps = glance.images.mean(axis=3).astype(np.float32)
            maps[:, :, -10:] = -np.inf
            return maps

        return attend


@pytest.fixture(scope="module")
def compared(tmp_path_factory):
    stimuli, gaze = make_discs(tmp_path_factory.mktemp("discs"), n_images=14)
    seeker = Seeker()
    maps = compute_search_maps(seeker, stimuli, PROTOCOL, progress=False)
    fits = list_search_fits(maps, name=seeker.name)
    found = compare_gaze_models(
        stimuli, gaze, fit_models=fits, shrink=2, test_share=0.3, n_bootstraps=50, progress=False
    )
    return stimuli, gaze, maps, seeker, found


def test_maps_are_those_of_the_searcher_from_the_middle(compared):
    stimuli, _, maps, seeker, _ = compared
    assert list(maps) == stimuli.stimulus_ids
    image = stimuli.load("i3").mean(axis=2)
    np.testing.assert_allclose(maps["i3"][:, :-10], image[:, :-10], rtol=1e-6)
    assert (maps["i3"][:, -10:] == maps["i3"][:, :-10].min()).all()
    assert len(seeker.targets) == len(stimuli)
    assert seeker.targets[3].mean() > 100  # the disc was cut out


def test_a_map_that_shows_the_target_tells_where_people_look(compared):
    gains = compared[4].table.query("metric == 'information_gain_bits'").set_index("model")
    assert gains.loc["seeker", "low"] > 0.5
    assert gains.loc["saccades on seeker", "value"] > gains.loc["saccades", "value"]
    assert gains.loc["seeker", "role"] == "model"


def test_maps_of_noise_tell_nothing(compared, rng):
    stimuli, gaze, maps, _, _ = compared
    noise = {name: rng.random(values.shape) for name, values in maps.items()}
    found = compare_gaze_models(
        stimuli, gaze, fit_models=list_search_fits(noise, name="noise"), shrink=2, test_share=0.3,
        n_bootstraps=50, progress=False,
    )  # fmt: skip
    gains = found.table.query("metric == 'information_gain_bits'").set_index("model")
    assert gains.loc["noise", "value"] < 0.1


def test_density_and_saccades_are_proper_and_one_for_everyone(compared):
    found = compared[4]
    name = found.test_ids[0]
    image, nobody = found.load_image(name), make_fixations([], subject="s", stimulus_id=name)
    density, saccades = found.models["seeker"], found.models["saccades on seeker"]
    assert density.for_trial(name, "s1") is density.for_trial(name, "s2")
    log_density = density.for_trial(name, "s1").log_density(image, nobody)
    assert np.exp(log_density).sum() == pytest.approx(1)
    past = pd.concat([make_fixations([[5, 6], [20, 9]], subject="s", stimulus_id=name)])
    bound = saccades.for_trial(name, "s1")
    plain = SaccadeModel(density.for_trial(name, "s1"), saccades.weights)
    np.testing.assert_array_equal(bound.log_density(image, past), plain.log_density(image, past))
    # The prior of the image before must not be kept.
    other = found.test_ids[1]
    shared = SaccadeModel(found.models["saliency"], saccades.weights)
    first = shared.log_density(image, past)
    second = shared.log_density(found.load_image(other), past)
    assert np.abs(first - second).max() > 0.1
    np.testing.assert_array_equal(shared.log_density(image, past), first)


def test_strangers_are_refused(compared):
    density = compared[4].models["seeker"]
    nobody = make_fixations([], subject="s", stimulus_id="i0")
    with pytest.raises(KeyError, match="have no stimulus 'elsewhere'"):
        density.for_trial("elsewhere", "s0")
    with pytest.raises(ValueError, match="image must have the size of its map"):
        density.for_trial("i0", "s0").log_density(np.zeros((9, 9, 3), np.uint8), nobody)
    assert isinstance(density, SearchDensity)

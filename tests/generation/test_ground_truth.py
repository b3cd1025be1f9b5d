"""The whole of guidance on the simulated cortex, which answers what no recorded one can: minutes, so slow.

The guide is a ridge on half of the stimuli. An independent classifier and the cortex itself judge its images.
"""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("diffusers")
pytest.importorskip("open_clip")

from scipy import stats  # noqa: E402

from neurovis.core import average_repeats  # noqa: E402
from neurovis.datasets.simulated import (  # noqa: E402
    CATEGORY_OF_REGION,
    compute_true_responses,
    make_subject,
    simulate_betas,
)
from neurovis.encoding.ridge import Ridge  # noqa: E402
from neurovis.encoding.torch_bridge import to_torch  # noqa: E402
from neurovis.features.differentiable import make_differentiable  # noqa: E402
from neurovis.features.open_clip import make_open_clip  # noqa: E402
from neurovis.features.world_judge import classify_images  # noqa: E402
from neurovis.generation.guidance import Guidance  # noqa: E402
from neurovis.generation.model import load_latent_diffusion  # noqa: E402
from neurovis.generation.objectives import ContrastObjective, RegionObjective  # noqa: E402
from neurovis.generation.sampling import sample  # noqa: E402
from neurovis.generation.views import ViewAverage  # noqa: E402
from neurovis.stimuli.world import CATEGORIES  # noqa: E402
from neurovis.stimuli.world_files import make_world  # noqa: E402

pytestmark = pytest.mark.slow

N_GUIDING, N_NATURAL, N_SEEDS, N_BEST = 600, 1000, 40, 8
FIRST_SEED = 5000
"""Settings were chosen with other seeds."""

_THROUGH = {"gradient": "full", "stop": 0.6}
SETTINGS = {
    "FFA": (30, _THROUGH), "EBA": (300, {"stop": 0.8}), "PPA": (30, _THROUGH), "VWFA": (300, {"stop": 0.8}),
    "food": (30, _THROUGH),
}  # fmt: skip
"""Scale and options of each region, as in the pipeline's configuration."""


class Cortex:
    """A simulated subject, its responses to natural images and an encoder of them."""

    def __init__(self, folder):
        self.model = load_latent_diffusion()
        self.subject = make_subject("01", seed=0)
        world = make_world(folder, n_images=N_GUIDING + N_NATURAL, seed=0)
        guiding, rest = world.stimulus_ids[:N_GUIDING], world.stimulus_ids[N_GUIDING:]
        extractor = make_open_clip("world-clip-resnet", normalise=True)
        betas = average_repeats(simulate_betas(self.subject, world.subset(guiding), seed=0))
        features = extractor(world.subset(guiding))["output"]
        row = {name: number for number, name in enumerate(features["stimulus_id"].values)}
        order = [row[name] for name in betas["stimulus_id"].values]
        readout = to_torch(Ridge().fit(features.values[order], betas.values))
        network = torch.nn.Sequential(make_differentiable(extractor), readout)
        self.respond = ViewAverage(network, n_views=4)
        self.respond_at_length = ViewAverage(network, n_views=16)
        self.natural = compute_true_responses(self.subject, world.subset(rest))

    def columns(self, region):
        return np.flatnonzero(self.subject.table["region"] == region)

    def draw(self, objective=None, scale=0.0, n=N_SEEDS, **options):
        """Images (n, h, w, 3) from the seeds of this test."""
        guidance = objective and Guidance(objective, scale, **options)
        images = sample(
            self.model, guidance=guidance, seeds=range(FIRST_SEED, FIRST_SEED + n), n_steps=25,
            sampler="sde-dpm++",
        ).images  # fmt: skip
        return (images.permute(0, 2, 3, 1) * 255).round().to(torch.uint8).numpy()

    def rank(self, region, images):
        """The images with the largest predictions, best first."""
        objective = RegionObjective(self.respond_at_length, self.columns(region))
        with torch.no_grad():
            values = objective(torch.from_numpy(images).permute(0, 3, 1, 2).float() / 255)
        return images[values.argsort(descending=True)[:N_BEST].numpy()]

    def true(self, images, region):
        return compute_true_responses(self.subject, images)[:, self.columns(region)].mean(axis=1)


@pytest.fixture(scope="module")
def cortex(tmp_path_factory):
    return Cortex(tmp_path_factory.mktemp("world"))


@pytest.mark.parametrize("region", SETTINGS)
def test_a_region_gets_images_of_its_category_that_drive_it(cortex, region):
    scale, options = SETTINGS[region]
    objective = RegionObjective(cortex.respond, cortex.columns(region))
    best = cortex.rank(region, cortex.draw(objective, scale, **options))
    judged = classify_images(best).argmax(axis=1)
    assert (judged == CATEGORIES.index(CATEGORY_OF_REGION[region])).mean() >= 0.85
    natural = cortex.natural[:, cortex.columns(region)].mean(axis=1)
    # The simulated PPA saturates: even the images that drive it most are hardly above the others.
    share = 0.8 if region == "PPA" else 0.93
    assert cortex.true(best, region).mean() > np.quantile(natural, share)


def test_a_contrast_leaves_the_preferred_region_and_spares_the_other(cortex):
    """Bodies without faces: the body region above unguided, the face region below what bodies alone do."""
    preferred, other = (cortex.columns(name) for name in ("EBA", "FFA"))
    free = cortex.draw(n=16)
    alone = cortex.draw(RegionObjective(cortex.respond, preferred), 300, n=16)
    contrast = cortex.draw(ContrastObjective(cortex.respond, preferred, other), 300, n=16)
    assert stats.ttest_rel(cortex.true(contrast, "EBA"), cortex.true(free, "EBA")).statistic > 4
    assert stats.ttest_rel(cortex.true(contrast, "FFA"), cortex.true(alone, "FFA")).statistic < -3


def test_suppression_and_the_flipped_sign_lower_the_true_response(cortex):
    for region in ("FFA", "food"):
        objective = RegionObjective(cortex.respond, cortex.columns(region))
        low, free = cortex.draw(objective, -300, n=16), cortex.draw(n=16)
        assert stats.ttest_rel(cortex.true(low, region), cortex.true(free, region)).statistic < -2
        assert (
            classify_images(low).argmax(axis=1) == CATEGORIES.index(CATEGORY_OF_REGION[region])
        ).mean() <= 0.1


def test_unguided_samples_hold_all_categories_in_proportion(cortex):
    counts = np.bincount(classify_images(cortex.draw(n=240)).argmax(axis=1), minlength=len(CATEGORIES))
    assert stats.chisquare(counts).pvalue > 0.01

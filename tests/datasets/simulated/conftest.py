"""Two subjects and some scenes, made once for all tests of the simulated cortex."""

import numpy as np
import pytest

from neurovis.datasets.simulated import compute_true_responses, make_subject
from neurovis.stimuli.world import make_scene


@pytest.fixture(scope="session")
def subject():
    return make_subject("01", seed=0)


@pytest.fixture(scope="session")
def other_subject():
    return make_subject("02", seed=0)


@pytest.fixture(scope="session")
def scenes():
    return [make_scene(4242, index) for index in range(180)]


@pytest.fixture(scope="session")
def scene_responses(subject, scenes):
    return compute_true_responses(subject, np.stack([scene.image for scene in scenes]))

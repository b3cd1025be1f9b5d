"""The CLIP-like space with known concepts: what projection must do without any weights or data.

Images are 0.7 of a common cone axis, 0.6 of a mix of at most two of twenty concepts and a little noise, on
the unit sphere, with norms of 10 to 12. Each voxel is tuned to one concept, with signal to noise 1.
"""

import numpy as np
import pytest

from neurovis.captioning.gates import permute_weights
from neurovis.captioning.projection import compute_repeat_agreement, make_tiles, project_weights

DIM, N_CONCEPTS, N_BANK, N_IMAGES, N_VOXELS = 128, 20, 12000, 3000, 120
BETAS = (15.0, 50.0, 150.0, 1000.0)


class Space:
    def __init__(self, seed):
        rng = np.random.default_rng(seed)
        basis = np.linalg.qr(rng.normal(size=(DIM, N_CONCEPTS + 1)))[0].T
        self.axis, self.concepts = basis[0], basis[1:]
        self.bank = self.make_images(rng, N_BANK)
        self.preferred = rng.integers(N_CONCEPTS, size=N_VOXELS)
        images = self.make_images(rng, N_IMAGES)
        units = images / np.linalg.norm(images, axis=1, keepdims=True)
        signal = units @ self.concepts[self.preferred].T
        signal = (signal - signal.mean(axis=0)) / signal.std(axis=0)
        responses = signal + rng.normal(size=signal.shape)
        centred = units - units.mean(axis=0)
        gram = centred.T @ centred + 30 * np.eye(DIM)
        self.weights = np.linalg.solve(gram, centred.T @ (responses - responses.mean(axis=0))).T

    def make_images(self, rng, n):
        first, second = rng.integers(N_CONCEPTS, size=(2, n))
        share = rng.uniform(0, 1, (n, 1))
        mix = share * self.concepts[first] + (1 - share) * self.concepts[second]
        mix /= np.linalg.norm(mix, axis=1, keepdims=True)
        raw = 0.7 * self.axis + 0.6 * mix + 0.03 * rng.normal(size=(n, DIM))
        return raw / np.linalg.norm(raw, axis=1, keepdims=True) * rng.uniform(10, 12, (n, 1))

    def name_concept(self, embeddings):
        """A caption model without a network: the nearest concept's number."""
        return (embeddings @ self.concepts.T).argmax(axis=-1)


@pytest.fixture(scope="module", params=range(5))
def space(request):
    return Space(request.param)


def test_projections_look_natural_and_keep_the_concept(space):
    found = project_weights(space.weights, make_tiles(space.bank), BETAS)
    bank = space.bank / np.linalg.norm(space.bank, axis=1, keepdims=True)
    raw = space.weights / np.linalg.norm(space.weights, axis=1, keepdims=True)
    best_raw, axis_raw = (raw @ bank.T).max(axis=1).mean(), (raw @ space.axis).mean()
    # Weights themselves lie outside the cone (0.66 and 0.00 in the published table).
    assert best_raw < 0.75
    assert abs(axis_raw) < 0.1
    natural_axis = (bank @ space.axis).mean()
    for beta, norms, embeddings in zip(
        found.inverse_temperatures, found.norms, found.embeddings, strict=True
    ):
        units = embeddings / norms[:, None]
        assert (units @ bank.T).max(axis=1).mean() > 0.93
        assert (units @ space.axis).mean() == pytest.approx(natural_axis, abs=0.12)
        assert (norms > 10).all()
        assert (norms < 12).all()
        assert (space.name_concept(embeddings) == space.preferred).mean() >= 0.95, beta
    # Means over fewer and fewer images; at 1000 a copy of one.
    assert (np.diff(found.n_effective.mean(axis=1)) < 0).all()
    assert (found.embeddings[-1] @ bank.T / found.norms[-1][:, None]).max(axis=1).mean() > 0.98


def test_permuted_weights_name_the_concept_by_chance(space):
    hits = []
    for seed in range(5):
        weights = permute_weights(space.weights, seed=seed)
        found = project_weights(weights, make_tiles(space.bank), 150.0)
        hits.append((space.name_concept(found.embeddings[0]) == space.preferred).mean())
    assert np.mean(hits) <= 1 / N_CONCEPTS + 0.05


def test_disjoint_banks_agree_and_permuted_weights_less(space):
    parts = np.array_split(space.bank, 5)

    def measure(weights):
        found = [project_weights(weights, make_tiles(part), 150.0).embeddings[0] for part in parts]
        return compute_repeat_agreement(np.stack(found)).mean()

    agreement = measure(space.weights)
    assert agreement > 0.93
    assert measure(permute_weights(space.weights, seed=0)) < agreement

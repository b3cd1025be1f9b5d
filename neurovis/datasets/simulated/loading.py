"""Loader of the simulated cortex: a stimulus world and single-trial betas, from seeds alone."""

from __future__ import annotations

from pathlib import Path

from neurovis.core import NeuralData, StimulusSet, find_data_root
from neurovis.datasets.simulated.betas import simulate_betas
from neurovis.datasets.simulated.subject import make_subject
from neurovis.stimuli.world_files import make_world

N_TRAIN_REPEATS = 2
N_TEST_REPEATS = 6


def load_simulated(
    *,
    subject: str | None = None,
    root: str | Path | None = None,
    seed: int = 0,
    n_train: int = 1500,
    n_test: int = 150,
    n_sessions: int = 6,
) -> tuple[StimulusSet, NeuralData]:
    """Simulate one subject who saw a stimulus world.

    Parameters
    ----------
    subject : str, optional
        Label, ``"01"`` by default.
    root : path, optional
        Data root; the world's images are made once under ``<root>/simulated`` and found again.
    seed : int
        Seed of world, subject and noise.
    n_train, n_test : int
        Number of stimuli shown twice, for fitting, and six times, for testing.
    n_sessions : int
        Number of sessions.

    Returns
    -------
    stimuli : StimulusSet
        Its table has a column ``split``: "train" or "test".
    data : NeuralData
        Rows "presentation", with the additional coordinate ``split``.

    Raises
    ------
    ValueError
        If a count is not positive.
    """
    if n_train < 1 or n_test < 1:
        raise ValueError(f"n_train and n_test must be at least 1, got {n_train} and {n_test}.")
    folder = find_data_root(root) / "simulated" / f"world-seed{seed}-n{n_train + n_test}"
    world = make_world(folder, n_images=n_train + n_test, seed=seed)
    table = world.table.assign(split=["train"] * n_train + ["test"] * n_test)
    stimuli = StimulusSet(world.name, table, world.root, world.size_dva)
    split = table["split"]
    repeats_of = {"train": N_TRAIN_REPEATS, "test": N_TEST_REPEATS}
    n_repeats = {str(stimulus_id): repeats_of[part] for stimulus_id, part in split.items()}
    data = simulate_betas(
        make_subject(subject or "01", seed=seed),
        stimuli,
        n_repeats=n_repeats,
        n_sessions=n_sessions,
        seed=seed,
    )
    shown = split.loc[data["stimulus_id"].values].to_numpy(dtype=str)
    return stimuli, data.assign_coords(split=("presentation", shown))

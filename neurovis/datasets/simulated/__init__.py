"""The simulated cortex: subjects on fsaverage5 whose responses, noise and ceilings are known exactly."""

from neurovis.datasets.simulated.anatomy import CATEGORY_OF_REGION, REGIONS
from neurovis.datasets.simulated.betas import make_trial_design, simulate_betas, simulate_noise
from neurovis.datasets.simulated.loading import load_simulated
from neurovis.datasets.simulated.responses import ResponseModel, compute_true_responses
from neurovis.datasets.simulated.subject import SimulatedSubject, make_subject
from neurovis.datasets.simulated.truth import (
    SimulatedTruth,
    compute_analytic_ceiling,
    compute_category_preference,
    read_truth,
    write_truth,
)

__all__ = [
    "CATEGORY_OF_REGION",
    "REGIONS",
    "ResponseModel",
    "SimulatedSubject",
    "SimulatedTruth",
    "compute_analytic_ceiling",
    "compute_category_preference",
    "compute_true_responses",
    "load_simulated",
    "make_subject",
    "make_trial_design",
    "read_truth",
    "simulate_betas",
    "simulate_noise",
    "write_truth",
]

"""The experiments of the course, by name; each module states its claims and judges them."""

from __future__ import annotations

import importlib

from linfcourse.experiments.experiment import (
    SCALES,
    Experiment,
    at_best_lr,
    best_lr,
    mean_over_seeds,
    on_edge_of_grid,
)
from linfcourse.experiments.judging import Claim, Verdict
from linfcourse.experiments.methods import METHODS, make_optimizer

# In the order of the chapters that tell them.
NAMES = (
    "first_look",
    "sign_step_vs_gradient_step",
    "sharp_constant",
    "estimators",
    "invariances",
    "rotated_quadratic",
    "turned_baseline",
    "rotation_quality",
    "rotated_gpt",
    "rotated_resnet",
    "rotation_scopes",
    "blockwise_quadratic",
    "blockwise_ladder",
    "linear_path",
    "gpt_path",
    "frank_wolfe_norms",
    "adamw_constrained",
    "adamw_language_model",
    "heavy_tails",
    "block_spectra",
    "gradient_heterogeneity",
    "margins",
    "constrained_rulers",
    "learned_basis",
)


def get(name: str) -> Experiment:
    """The experiment of that name.

    Raises:
        ValueError: there is none; the message lists those there are.

    >>> get("first_look").name
    'first_look'
    """
    if name not in NAMES:
        raise ValueError(f"experiment must be one of {', '.join(NAMES)}; got {name!r}")
    return importlib.import_module(f"linfcourse.experiments.{name}").EXPERIMENT


__all__ = [
    "METHODS",
    "NAMES",
    "SCALES",
    "Claim",
    "Experiment",
    "Verdict",
    "at_best_lr",
    "best_lr",
    "get",
    "make_optimizer",
    "mean_over_seeds",
    "on_edge_of_grid",
]

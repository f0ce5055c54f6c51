"""Optimizers of the course. Each is a torch optimizer in every habit."""

from linfcourse.optim.adam_family import Adalayer, Adam, AdamMini, AdamW, AdaSGD
from linfcourse.optim.blockwise_adam import BlockwiseAdam
from linfcourse.optim.lion import Lion
from linfcourse.optim.rotated import Rotated
from linfcourse.optim.steepest_descent import NormalizedSGD, SignSGD, Signum, SteepestDescent

__all__ = [
    "AdaSGD",
    "Adalayer",
    "Adam",
    "AdamMini",
    "AdamW",
    "BlockwiseAdam",
    "Lion",
    "NormalizedSGD",
    "Rotated",
    "SignSGD",
    "Signum",
    "SteepestDescent",
]

"""Learning-rate schedules: the factor by which each step multiplies the given learning rate.

A schedule is any function ``(step, steps) -> multiplier`` with 0 <= step < steps. These are small
frozen objects, so they can be compared, printed, and sent to another process.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

Schedule = Callable[[int, int], float]


@dataclass(frozen=True)
class _Constant:
    def __call__(self, step: int, steps: int) -> float:
        return 1.0


@dataclass(frozen=True)
class _WarmupConstant:
    warmup: int

    def __call__(self, step: int, steps: int) -> float:
        return min(1.0, (step + 1) / self.warmup) if self.warmup else 1.0


@dataclass(frozen=True)
class _WarmupCosine:
    warmup: int
    final: float

    def __call__(self, step: int, steps: int) -> float:
        if step < self.warmup:
            return (step + 1) / self.warmup
        # From 1 at the first step after the warm-up to `final` at the last step of the run.
        progress = (step - self.warmup) / max(1, steps - 1 - self.warmup)
        return self.final + (1.0 - self.final) * 0.5 * (1.0 + math.cos(math.pi * progress))


def _check_warmup(warmup: int) -> None:
    if isinstance(warmup, bool) or not isinstance(warmup, int):
        raise TypeError(f"warmup must be a number of steps, got {warmup!r}")
    if warmup < 0:
        raise ValueError(f"warmup must be at least 0 steps, got {warmup}")


def constant() -> Schedule:
    """The learning rate as given, at every step.

    >>> constant()(step=3, steps=10)
    1.0
    """
    return _Constant()


def warmup_constant(warmup: int) -> Schedule:
    """A linear rise from 1/warmup to 1 over ``warmup`` steps, then constant.

    Args:
        warmup: number of steps; 0 for none.

    >>> [warmup_constant(4)(step, 10) for step in range(6)]
    [0.25, 0.5, 0.75, 1.0, 1.0, 1.0]
    """
    _check_warmup(warmup)
    return _WarmupConstant(warmup)


def warmup_cosine(warmup: int, final: float = 0.1) -> Schedule:
    """A linear rise over ``warmup`` steps, then half a cosine from 1 down to ``final``.

    The last step of the run has exactly the multiplier ``final``.

    Args:
        warmup: number of steps; 0 for none.
        final: multiplier at the end, >= 0.

    >>> [round(warmup_cosine(2, final=0.1)(step, 7), 3) for step in range(7)]
    [0.5, 1.0, 1.0, 0.868, 0.55, 0.232, 0.1]
    """
    _check_warmup(warmup)
    if not 0.0 <= final < math.inf:
        raise ValueError(f"final must be a finite number >= 0, got {final!r}")
    return _WarmupCosine(warmup, final)

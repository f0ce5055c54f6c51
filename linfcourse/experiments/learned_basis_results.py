"""Chapter 17: what a record of `learned_basis` says, in numbers and in a figure."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy
from matplotlib.figure import Figure

from linfcourse.experiments.experiment import at_best_lr
from linfcourse.figures import INK
from linfcourse.records import Record

LOOKS = {
    "plain": ("#0060a0", "o", "as they are"),
    "random": ("#b04a00", "s", "random"),
    "learned": ("#00734f", "^", "learned"),
    "exact": ("#444444", "D", "of the Hessian"),
}
TITLES = {
    "aligned": "quadratic, aligned",
    "turned": "quadratic, turned",
    "network": "network",
}


def finals(record: Record, problem: str, basis: str) -> list[float]:
    """Final loss of every seed at the best learning rate of Adam in that basis."""
    return [t.result["final_loss"] for t in at_best_lr(record, problem=problem, basis=basis)]


def draw_losses(record: Record) -> Figure:
    """Final loss for each basis, a panel a problem: every seed a mark, a bar at the median."""
    figure, axes = plt.subplots(1, 3, figsize=(7.2, 3.6), width_ratios=(2, 4, 3))
    for ax, problem in zip(axes, TITLES, strict=True):
        bases = [b for b in LOOKS if record.select(problem=problem, basis=b)]
        for place, basis in enumerate(bases):
            values = finals(record, problem, basis)
            color, marker, _ = LOOKS[basis]
            spread = numpy.linspace(-0.15, 0.15, len(values))
            ax.plot(place + spread, values, marker, color=color, ms=5, alpha=0.8)
            ax.plot([place - 0.3, place + 0.3], [numpy.median(values)] * 2, color=color, lw=2)
        ax.set_xticks(
            range(len(bases)), labels=[LOOKS[b][2] for b in bases], rotation=40, ha="right"
        )
        ax.set_xlim(-0.6, len(bases) - 0.4)
        ax.set_title(TITLES[problem], color=INK)
        if problem != "network":
            ax.set_yscale("log")
    low = min(axes[0].get_ylim()[0], axes[1].get_ylim()[0])
    high = max(axes[0].get_ylim()[1], axes[1].get_ylim()[1])
    for ax in axes[:2]:
        ax.set_ylim(low, high)
    axes[0].set_ylabel("final loss / first")
    axes[2].set_ylabel("training loss")
    figure.tight_layout()
    return figure

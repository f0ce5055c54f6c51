"""Race several ways to do one thing: in turn, many rounds, so that all see the same machine.

What else runs on the machine changes from minute to minute, and a time alone says as much about
that as about the code. Two times that were taken in turn are disturbed alike, so their ratio holds.
The times are the processor's: of one thread they are the time on the wall, less the time for which
another process had the core. The time on the wall is kept too.
"""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable, Mapping
from typing import Any

Times = dict[str, Any]


def race(
    entrants: Mapping[str, Callable[[], object]],
    rounds: int,
    *,
    warmup: int = 2,
    progress: Callable[[str], object] | None = None,
) -> dict[str, Times]:
    """Time every entrant once a round: A B C, C B A, A B C, …

    The order turns round so that nobody always runs after the same neighbour, whose traces are in
    the cache and in the allocator.

    Args:
        entrants: {name: what to time}, at least one.
        rounds: how many times each is timed, at least 1.
        warmup: calls of each before the first round, not timed: they make states and tables.
        progress: called with a line of text now and then.

    Returns:
        {name: {"min", "median", "seconds": one a round, "wall_seconds": one a round}}; the first
        three are the processor's seconds.

    Raises:
        ValueError: no entrants, or fewer than one round.
    """
    if not entrants:
        raise ValueError("entrants is empty: name at least one thing to time")
    if rounds < 1:
        raise ValueError(f"rounds must be at least 1, not {rounds}")
    seconds: dict[str, list[float]] = {name: [] for name in entrants}
    wall_seconds: dict[str, list[float]] = {name: [] for name in entrants}
    for name, run in entrants.items():
        if progress:
            progress(f"warming up {name}")
        for _ in range(warmup):
            run()
    gc.collect()
    for index in range(rounds):
        if progress:
            progress(f"round {index + 1} of {rounds}")
        order = list(entrants) if index % 2 == 0 else list(reversed(entrants))
        for name in order:
            run = entrants[name]
            wall, processor = time.perf_counter(), time.process_time()
            run()
            seconds[name].append(time.process_time() - processor)
            wall_seconds[name].append(time.perf_counter() - wall)
    return {
        name: {
            "min": min(seconds[name]),
            "median": statistics.median(seconds[name]),
            "seconds": seconds[name],
            "wall_seconds": wall_seconds[name],
        }
        for name in entrants
    }


def ratios(entrant: Times, peer: Times) -> tuple[float, float]:
    """How many times as long as the peer: by the medians, and by the shortest times."""
    return entrant["median"] / peer["median"], entrant["min"] / peer["min"]

"""Race several ways to do one thing: in turn, many rounds, so that all see the same machine.

What else runs on the machine changes from minute to minute, and a time alone says as much about
that as about the code. Two times that were taken in turn are disturbed alike, so their ratio holds.
What a time is, a clock says: the processor's for work on the CPU, the device's for work on a GPU.
The time on the wall is kept too.
"""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import torch

Times = dict[str, Any]

IDLE = 5.0
"""Seconds after which memory that nobody touched may have been paged out."""


class Clock(Protocol):
    """Says how long a call takes, in seconds: its own time, and the time on the wall."""

    def time(self, run: Callable[[], object]) -> tuple[float, float]:
        """Call `run`, and say how long one call took."""


class ProcessorClock:
    """Of one thread: the time on the wall, less that for which another process had the core."""

    def time(self, run: Callable[[], object]) -> tuple[float, float]:
        """(the processor's seconds, seconds on the wall)"""
        wall, processor = time.perf_counter(), time.process_time()
        run()
        return time.process_time() - processor, time.perf_counter() - wall


class EventClock:
    """Of a CUDA device: between two events in its stream, the first set when the device is idle.

    A call only hands work to the device and returns; the events are set by the device itself, when
    it gets there. Several calls in a row are timed as one, as in training, where the processor runs
    ahead: with a single one the device would wait for its first orders.

    Args:
        device: a CUDA device.
        repeats: calls that are timed together; the times are those of one.
    """

    def __init__(self, device: torch.device | str, repeats: int = 1) -> None:
        self.device, self.repeats = torch.device(device), repeats

    def time(self, run: Callable[[], object]) -> tuple[float, float]:
        """(the device's seconds, seconds on the wall), a call"""
        torch.cuda.synchronize(self.device)  # what came before is done
        stream = torch.cuda.current_stream(self.device)
        first, last = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        wall = time.perf_counter()
        first.record(stream)
        for _ in range(self.repeats):
            run()
        last.record(stream)
        last.synchronize()
        wall = time.perf_counter() - wall
        return first.elapsed_time(last) / 1e3 / self.repeats, wall / self.repeats  # from ms


def clock_of(device: torch.device | str, repeats: int = 1) -> Clock:
    """The clock for work on that device; `repeats` as for `EventClock`."""
    device = torch.device(device)
    return EventClock(device, repeats) if device.type == "cuda" else ProcessorClock()


def race(
    entrants: Mapping[str, Callable[[], object]],
    rounds: int,
    *,
    warmup: int = 2,
    progress: Callable[[str], object] | None = None,
    clock: Clock | None = None,
    idle: float = IDLE,
) -> dict[str, Times]:
    """Time every entrant once a round: A B C, C B A, A B C, …

    The order turns round so that nobody always runs after the same neighbour, whose traces are in
    the cache and in the allocator. Whoever has waited long for a slow neighbour is called once
    before it is timed.

    Args:
        entrants: {name: what to time}, at least one.
        rounds: how many times each is timed, at least 1.
        warmup: calls of each before the first round, not timed: they make states and tables.
        progress: called with a line of text now and then.
        clock: what to time with (default: the processor's clock).
        idle: what a long wait is, in seconds.

    Returns:
        {name: {"min", "median", "seconds": one a round, "wall_seconds": one a round}}; the first
        three are the clock's seconds.

    Raises:
        ValueError: no entrants, or fewer than one round.
    """
    if not entrants:
        raise ValueError("entrants is empty: name at least one thing to time")
    if rounds < 1:
        raise ValueError(f"rounds must be at least 1, not {rounds}")
    clock = ProcessorClock() if clock is None else clock
    seconds: dict[str, list[float]] = {name: [] for name in entrants}
    wall_seconds: dict[str, list[float]] = {name: [] for name in entrants}
    called: dict[str, float] = {}  # when each was last at work
    for name, run in entrants.items():
        if progress:
            progress(f"warming up {name}")
        for _ in range(warmup):
            run()
        called[name] = time.perf_counter()
    gc.collect()
    for index in range(rounds):
        if progress:
            progress(f"round {index + 1} of {rounds}")
        order = list(entrants) if index % 2 == 0 else list(reversed(entrants))
        for name in order:
            if time.perf_counter() - called[name] > idle:
                entrants[name]()
            own, wall = clock.time(entrants[name])
            called[name] = time.perf_counter()
            seconds[name].append(own)
            wall_seconds[name].append(wall)
    return {name: summary(seconds[name], wall_seconds[name]) for name in entrants}


def summary(seconds: list[float], wall_seconds: list[float]) -> Times:
    """What a race keeps of one entrant."""
    return {
        "min": min(seconds),
        "median": statistics.median(seconds),
        "seconds": seconds,
        "wall_seconds": wall_seconds,
    }


def ratios(entrant: Times, peer: Times) -> tuple[float, float]:
    """How many times as long as the peer: by the medians, and by the shortest times."""
    return entrant["median"] / peer["median"], entrant["min"] / peer["min"]

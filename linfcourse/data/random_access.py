"""Random numbers that depend on (seed, stream, step) alone: any step can be asked for first.

A run that resumes at step 700 needs the batch of step 700 without drawing the 700 before it, on any
device. A counter-based generator gives that: its state *is* the counter.
"""

from __future__ import annotations

import numpy as np

# One number for each use, so that no two uses of one seed ever share a draw.
STREAMS = {"train": 0, "val": 1, "test": 2}


def uniform_words(seed: int, stream: str, step: int, count: int) -> np.ndarray:
    """``count`` independent uniform 64-bit words, a pure function of the arguments.

    Philox 4x64 with the seed as its key and the step in the highest word of its counter, so that
    the words of two steps never overlap. Only the raw words are used, because numpy promises that
    they stay the same from version to version.

    Args:
        seed: 0 <= seed < 2¹²⁸.
        stream: a key of ``STREAMS``.
        step: 0 <= step < 2⁶⁴.
        count: how many words.

    Returns:
        (count,) uint64.

    >>> uniform_words(0, "train", step=7, count=2) % 10
    array([9, 1], dtype=uint64)
    """
    counter = np.array([0, 0, STREAMS[stream], step], dtype=np.uint64)
    return np.random.Philox(key=seed, counter=counter).random_raw(count)


def check_count(name: str, value: int, least: int = 1) -> None:
    """Raise if ``value`` is not an integer of at least ``least``; the message names it.

    >>> check_count("batch_size", 0)
    Traceback (most recent call last):
    ValueError: batch_size must be at least 1, got 0
    """
    if isinstance(value, bool) or not isinstance(value, int | np.integer):
        raise TypeError(f"{name} must be an integer, got {value!r}")
    if value < least:
        raise ValueError(f"{name} must be at least {least}, got {value}")


def check_split(split: str, splits: tuple[str, ...]) -> None:
    """Raise if ``split`` is not one of ``splits``.

    >>> check_split("test", ("train", "val"))
    Traceback (most recent call last):
    ValueError: split must be one of train, val; got 'test'
    """
    if split not in splits:
        raise ValueError(f"split must be one of {', '.join(splits)}; got {split!r}")

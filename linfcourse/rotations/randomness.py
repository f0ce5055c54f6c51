"""Random streams that depend on the seed alone: not on device, dtype or torch version."""

from __future__ import annotations

import operator

import numpy as np
import torch
from torch import Tensor


def checked_seed(seed: int) -> int:
    """Return `seed` as a plain int, or say what is wrong with it."""
    if isinstance(seed, bool):
        raise TypeError(f"seed must be a non-negative integer, got {seed!r}")
    try:
        seed = operator.index(seed)
    except TypeError:
        raise TypeError(
            f"seed must be a non-negative integer, got {type(seed).__name__}: {seed!r}"
        ) from None
    if seed < 0:
        raise ValueError(f"seed must be a non-negative integer, got {seed}")
    return seed


def stream(seed: int, *keys: int) -> np.random.PCG64:
    """One of many independent bit streams of a seed, chosen by `keys`."""
    return np.random.PCG64(np.random.SeedSequence(seed, spawn_key=keys))


def child_seed(seed: int, index: int) -> int:
    """A new 64-bit seed, independent of the parent's own streams and of the other children."""
    sequence = np.random.SeedSequence(seed, spawn_key=(0x6368696C64, index))
    return int(sequence.generate_state(1, np.uint64)[0])


def random_signs(bits: np.random.PCG64, n: int) -> Tensor:
    """n independent signs ±1 (int8, CPU), taken from the raw bits, which numpy never changes."""
    raw = bits.random_raw(-(-n // 64)).astype("<u8").view(np.uint8)
    return torch.from_numpy(np.unpackbits(raw)[:n].astype(np.int8)) * 2 - 1


def random_integer(bits: np.random.PCG64, low: int, high: int) -> int:
    """An integer in low..high, both included (the bias of the remainder is below 2⁻³²)."""
    return low + int(bits.random_raw()) % (high - low + 1)


def random_order(bits: np.random.PCG64, n: int) -> Tensor:
    """A random permutation of 0..n−1 (int64, CPU): the order of n raw 64-bit numbers."""
    return torch.from_numpy(np.argsort(bits.random_raw(n), kind="stable"))

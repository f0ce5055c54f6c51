"""The Hadamard transform of the optional package fht-cpu, where it is installed."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

_switched_off = False


def native_transform() -> Callable[..., Any] | None:
    """`fht_cpu.fht`, or None where the package is missing or does not load.

    A package that is installed and does not load is told of once, as a RuntimeWarning.
    """
    return None if _switched_off else _loaded()


@contextmanager
def without_native() -> Iterator[None]:
    """Rotations that are first used inside are carried out in plain torch, and stay so."""
    global _switched_off
    before, _switched_off = _switched_off, True
    try:
        yield
    finally:
        _switched_off = before


@lru_cache(maxsize=1)
def _loaded() -> Callable[..., Any] | None:
    try:
        from fht_cpu import fht
    except ModuleNotFoundError as error:
        if error.name == "fht_cpu":
            return None
        problem: Exception = error
    except Exception as error:  # a shared library for another machine, say
        problem = error
    else:
        return fht
    warnings.warn(
        f"fht-cpu is installed but does not load ({problem}): large Hadamard rotations go on in "
        "plain torch, which takes about twice the time. Reinstall it, or uninstall it.",
        RuntimeWarning,
        stacklevel=4,
    )
    return None


def transform_rows(fht: Callable[..., Any], x: Tensor) -> None:
    """x ← H x for each row of a contiguous (k, n) tensor on the CPU, n a power of two."""
    if x.shape[1] > 1:
        fht(x.numpy(), axis=-1, num_threads=torch.get_num_threads())


def transform_columns(fht: Callable[..., Any], x: Tensor, height: int) -> None:
    """x ← p·H x down each `height` rows of a contiguous (k, p) tensor, k and p powers of two.

    Whole stretches of height·p numbers are transformed by H_height ⊗ H_p, then the rows by H_p,
    which undoes itself up to the factor p. That is twice as fast as turning columns into rows.
    """
    transform_rows(fht, x.view(-1, height * x.shape[1]))
    transform_rows(fht, x)

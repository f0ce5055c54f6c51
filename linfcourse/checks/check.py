"""Ask whether an answer to an exercise is right, and be told at once what is off.

A check never shows the answer. It names the property that fails and the input on which it fails,
and says so when it recognises a usual mistake.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import torch

_EXERCISES: dict[str, Callable[[Any], str | None]] = {}


@dataclass(frozen=True)
class CheckResult:
    """What a check found, and the message it showed. True exactly when the answer is right."""

    exercise: str
    passed: bool
    message: str

    def __bool__(self) -> bool:
        return self.passed

    def _ipython_display_(self) -> None:
        """Nothing: `check` has printed the message already."""


class Wrong(Exception):
    """An answer that is wrong; its text says which property fails, on which input."""


def exercise(number: str) -> Callable:
    """Register the check of one exercise: a function that returns praise, or raises `Wrong`."""

    def register(judge: Callable[[Any], str | None]) -> Callable[[Any], str | None]:
        if number in _EXERCISES:
            raise ValueError(f"exercise {number} has two checks")
        _EXERCISES[number] = judge
        return judge

    return register


def exercises() -> list[str]:
    """Numbers of all exercises that have a check, in the order of the book."""
    return sorted(_EXERCISES, key=lambda number: [int(part) for part in number.split(".")])


def check(number: str, answer: Any) -> CheckResult:
    """Check the answer to an exercise; print what was found and return it.

    Args:
        number: the exercise, such as `"1.2"`.
        answer: what the exercise asks for: a number, an array, a function or a class. `None` or
            `...` counts as not answered yet.

    Raises:
        ValueError: there is no exercise of that number.

    >>> check("1.1", ...).passed
    Exercise 1.1: no answer yet. Replace the dots and run the cell again.
    False
    """
    if number not in _EXERCISES:
        raise ValueError(f"number must be one of {', '.join(exercises())}; got {number!r}")
    if answer is None or answer is ...:
        text = "no answer yet. Replace the dots and run the cell again."
        result = CheckResult(number, False, text)
    else:
        try:
            praise = _EXERCISES[number](answer)
            result = CheckResult(number, True, f"right. {praise or ''}".rstrip())
        except Wrong as wrong:
            result = CheckResult(number, False, f"not yet. {wrong}")
    print(f"Exercise {number}: {result.message}")
    return result


def as_number(answer: Any) -> float:
    """The answer as one finite number, or `Wrong` with what it was instead."""
    try:
        value = float(answer)
    except (TypeError, ValueError):
        raise Wrong(f"A number is asked for, and this is a {type(answer).__name__}.") from None
    if not math.isfinite(value):
        raise Wrong(f"A finite number is asked for, and this is {value}.")
    return value


def as_numbers(answer: Any, count: int) -> list[float]:
    """The answer as that many finite numbers, or `Wrong`."""
    try:
        values = list(answer)
    except TypeError:
        raise Wrong(f"Give {count} numbers, in round brackets.") from None
    if len(values) != count:
        raise Wrong(f"Give {count} numbers; this has {len(values)}.")
    return [as_number(value) for value in values]


def as_tensor(answer: Any, like: torch.Tensor, what: str = "The answer") -> torch.Tensor:
    """The answer as a tensor of the same shape as `like`, or `Wrong`."""
    try:
        value = torch.as_tensor(answer, dtype=like.dtype)
    except (TypeError, ValueError, RuntimeError):
        raise Wrong(f"{what} should be a tensor, and it is a {type(answer).__name__}.") from None
    if value.shape != like.shape:
        raise Wrong(
            f"{what} should have shape {tuple(like.shape)}, and it has {tuple(value.shape)}."
        )
    return value.detach()


def call(function: Any, *arguments: Any, what: str = "Your function") -> Any:
    """Call the student's function; an error inside it becomes `Wrong` with its own message."""
    if not callable(function):
        raise Wrong(f"{what} should be a function, and it is a {type(function).__name__}.")
    try:
        return function(*arguments)
    except Exception as error:
        raise Wrong(f"{what} raised {type(error).__name__}: {error}") from error


def recognise(
    got: Any, mistakes: Iterable[tuple[Any, str]], rtol: float = 1e-5, atol: float = 1e-6
) -> None:
    """`Wrong`, with its message, if the answer is what one of the usual mistakes gives.

    Args:
        got: a number, a list of numbers, or a tensor.
        mistakes: pairs of what comes out and what to say then; the first that fits is named.
        rtol, atol: how near is the same; by default with room for an answer in float32.
    """
    answer = torch.as_tensor(got, dtype=torch.float64)
    for value, message in mistakes:
        mistake = torch.as_tensor(value, dtype=torch.float64)
        if answer.shape == mistake.shape and torch.allclose(answer, mistake, rtol=rtol, atol=atol):
            raise Wrong(message)

"""torch.compile where it works, and the function as it was where it does not."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import torch

BACKEND = "inductor"

# Code that could not be compiled in this process: every attempt costs seconds.
_refused: set[Any] = set()


class Compiled:
    """A function that is compiled at its first call, and runs as it is if that fails.

    Without a compiler or Triton, under a Python that torch does not know, or where a graph cannot
    be made, there is one warning that names the reason, and the call is made again without
    compiling. An error that the function itself raises comes as it is. The random numbers are those
    of the uncompiled function.

    Args:
        function: must not have changed anything when it is called anew after a failure. One that
            writes in place should be compiled whole (`fullgraph`): that fails before it runs.
        what: how the warning calls it.
        options: of `torch.compile`: `fullgraph=True` refuses to split the function where it cannot
            be compiled, `dynamic=True` compiles it for all shapes at once.

    Attributes:
        active: whether the function is, or is to be, compiled.

    >>> double = Compiled(lambda x: 2 * x, "doubling")
    >>> double.active
    True
    """

    def __init__(self, function: Callable[..., Any], what: str, **options: bool) -> None:
        self.function, self.what, self.options = function, what, options
        self.active = self._key not in _refused
        self._compiled: Callable[..., Any] | None = None

    def __call__(self, *args: Any) -> Any:
        if not self.active:
            return self.function(*args)
        try:
            if self._compiled is None:
                inductor = {"fallback_random": True} if BACKEND == "inductor" else None
                self._compiled = torch.compile(
                    self.function, backend=BACKEND, options=inductor, **self.options
                )
            return self._compiled(*args)
        except Exception as error:  # a compiler can fail in any way
            result = self.function(*args)  # raises itself if the fault is not the compiler's
            self.give_up(error)
            return result

    def give_up(self, error: BaseException | str) -> None:
        """From now on run the function as it is, here and where its code is compiled again."""
        if not self.active:
            return
        self.active = False
        _refused.add(self._key)
        kind = "" if isinstance(error, str) else f"{type(error).__name__}: "
        reason = " ".join(f"{kind}{error}".split())  # on one line
        warnings.warn(
            f"{self.what} runs without torch.compile, slower but the same: {reason[:300]}",
            stacklevel=3,
        )

    @property
    def _key(self) -> Any:
        return getattr(self.function, "__code__", self.function)

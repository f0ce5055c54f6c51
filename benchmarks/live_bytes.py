"""How many bytes of tensors are alive at once: exact on the CPU, at any size."""

from __future__ import annotations

from typing import Any

from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map_only
from torch.utils.weak import WeakIdKeyDictionary


class LiveBytes(TorchDispatchMode):
    """Inside, counts the bytes of the tensors that torch's operations make, until they are freed.

    Views count once; what was there before counts only when it is met again, as the output of an
    operation in place. Buffers that a kernel frees before it returns are not seen.

    Attributes:
        peak: the most at one time, in bytes.

    >>> import torch
    >>> with LiveBytes() as live:
    ...     kept = torch.ones(100)
    ...     _ = torch.zeros(50) + 1  # two tensors of 200 bytes, both gone afterwards
    >>> live.peak, live.now()
    (800, 600)
    >>> del _
    >>> live.now()
    400
    """

    def __init__(self) -> None:
        super().__init__()
        self.peak = 0
        self._storages = WeakIdKeyDictionary()
        self._total = 0

    def now(self) -> int:
        """Bytes alive now."""
        return sum(size for size in self._storages.values())

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple = (), kwargs: Any = None
    ) -> Any:
        out = func(*args, **(kwargs or {}))
        new = False

        def see(tensor: Tensor) -> None:
            nonlocal new
            storage = tensor.untyped_storage()
            if storage not in self._storages:
                self._storages[storage] = storage.nbytes()
                new = True

        tree_map_only(Tensor, see, out)
        if new:
            self.peak = max(self.peak, self.now())
        return out

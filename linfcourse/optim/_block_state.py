"""What a blockwise optimizer keeps between steps: where each number lives, saving and loading.

Each parameter has ``step`` and ``exp_avg``, as in torch's Adam, so that a coordinate-wise state is
interchangeable with torch's. ``exp_avg_sq`` has the parameter's shape where every coordinate is a
block, and else one number a block, in float32 at least. The numbers of blocks that lie in several
tensors form one table, kept with the first parameter that can share blocks, beside ``block_step``,
the number of updates of each block.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from linfcourse.optim._block_steps import sum_dtype
from linfcourse.optim._validation import (
    check_betas,
    check_flag,
    check_number,
    check_parameters,
)
from linfcourse.partitions import Blocks, Partition, coordinates

_FLAGS = ("maximize", "bias_correction", "eps_inside_root", "decoupled_weight_decay")


class BlockStateOptimizer(Optimizer):
    """An optimizer with a first moment for each coordinate and a second for each block."""

    def __init__(
        self, params: Iterable[Any], defaults: dict[str, Any], partition: Partition
    ) -> None:
        if not isinstance(partition, Partition):
            raise TypeError(
                "partition must be a rule such as per_row, adam_mini(model) or from_ids({...}), "
                f"not {partition!r}"
            )
        check_hyperparameters(defaults)
        self.partition = partition
        self._sizes: tuple[tuple[int, ...], Tensor] | None = None
        super().__init__(params, defaults)

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add parameters, with options of their own. The partition must cover them."""
        if isinstance(param_group, dict):
            if "partition" in param_group:
                raise ValueError(
                    "partition is one for the whole optimizer, not an option of a parameter "
                    "group: label the parameters with from_ids, or make an optimizer for each"
                )
            check_hyperparameters(self.defaults | param_group)
        super().add_param_group(param_group)
        try:
            check_parameters(self.param_groups[-1])
            for parameter in self.param_groups[-1]["params"]:
                self.partition.blocks(parameter)
        except (TypeError, ValueError):
            self.param_groups.pop()
            raise

    def momentum_state(self, parameter: Tensor) -> dict[str, Tensor]:
        """The parameter's state, with ``step`` and ``exp_avg`` in it."""
        state = self.state[parameter]
        if "exp_avg" not in state:
            state["step"] = torch.tensor(0.0)
            state["exp_avg"] = torch.zeros_like(parameter, memory_format=torch.preserve_format)
        return state

    def second_moment(self, parameter: Tensor, blocks: Blocks) -> Tensor:
        """The second moments of a parameter whose blocks are its own."""
        state = self.state[parameter]
        if "exp_avg_sq" not in state:
            if is_coordinatewise(parameter, blocks):
                zeros = torch.zeros_like(parameter, memory_format=torch.preserve_format)
            else:
                zeros = torch.zeros(
                    _second_moment_shape(parameter, blocks),
                    dtype=_second_moment_dtype(parameter, blocks),
                    device=parameter.device,
                )
            state["exp_avg_sq"] = zeros
        return state["exp_avg_sq"]

    def shared_table(self, parameters: list[Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        """Second moment, number of updates, and size in these parameters, of each shared block."""
        holder, blocks = self._table_holder()
        state = self.state[holder]
        if "exp_avg_sq" not in state:
            shape = _second_moment_shape(holder, blocks)
            dtype = _second_moment_dtype(holder, blocks)
            state["exp_avg_sq"] = torch.zeros(shape, dtype=dtype, device=holder.device)
            state["block_step"] = torch.zeros(shape, dtype=torch.float32, device=holder.device)
        # The sizes change only with the set of parameters that have a gradient.
        key = tuple(id(parameter) for parameter in parameters)
        if self._sizes is None or self._sizes[0] != key:
            sizes = torch.zeros(blocks.count, dtype=sum_dtype(holder.device), device=holder.device)
            for p in parameters:
                sizes += self.partition.blocks(p).sizes(p).to(sizes)
            self._sizes = (key, sizes)
        return state["exp_avg_sq"], state["block_step"], self._sizes[1]

    def _table_holder(self) -> tuple[Tensor, Blocks]:
        """The parameter that keeps the table of shared blocks, and how it is cut."""
        for parameter in self._parameters():
            blocks = self.partition.blocks(parameter)
            if blocks.shared:
                return parameter, blocks
        raise LookupError("no parameter shares blocks")

    def _parameters(self) -> Iterator[Tensor]:
        for group in self.param_groups:
            yield from group["params"]

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Load a saved state, its tensors copied, to continue bit for bit.

        Raises:
            ValueError: if it was saved with other parameters or another partition; nothing is
                changed then.
        """
        saved: dict[Tensor, dict[str, Tensor]] = {}

        # Hooks, as these see the dictionary after the user's own hooks have changed it, and can put
        # the state right (torch casts all of it to the parameter's dtype) before they see it.
        def check(_: Optimizer, given: dict[str, Any]) -> None:
            keys = [key for group in given["param_groups"] for key in group["params"]]
            own = list(self._parameters())
            if len(keys) == len(own):  # torch says what is wrong if not
                saved.update((p, given["state"].get(k, {})) for k, p in zip(keys, own, strict=True))
                self._check_saved_state(saved)

        def restore(_: Optimizer) -> None:
            for parameter, state in saved.items():
                if state:
                    self.state[parameter] = {
                        key: self._copied(parameter, key, value) for key, value in state.items()
                    }

        handles = [
            self.register_load_state_dict_pre_hook(check),
            self.register_load_state_dict_post_hook(restore, prepend=True),
        ]
        try:
            super().load_state_dict(state_dict)
        finally:
            for handle in handles:
                handle.remove()

    def _check_saved_state(self, saved: dict[Tensor, dict[str, Any]]) -> None:
        sharing = [p for p in saved if self.partition.blocks(p).shared]
        has_table = any(saved[p] for p in sharing if p.numel())
        for index, (parameter, state) in enumerate(saved.items()):
            blocks = self.partition.blocks(parameter)
            moved = {"step": (), "exp_avg": tuple(parameter.shape)}
            table = _second_moment_shape(parameter, blocks)
            needed = moved if state else {}
            if state and not blocks.shared:
                needed = moved | {"exp_avg_sq": table}
            elif has_table and parameter is sharing[0]:
                own = moved if "exp_avg" in state else {}
                needed = own | {"exp_avg_sq": table, "block_step": table}
            found = {key: tuple(getattr(value, "shape", ())) for key, value in state.items()}
            if found != needed:
                raise ValueError(
                    f"state_dict does not fit: parameter {index} has saved state of shapes "
                    f"{found}, and partition={self.partition!r} needs {needed}; build the "
                    "optimizer with the parameters and the partition that the state was saved with"
                )

    def _copied(self, parameter: Tensor, key: str, value: Any) -> Tensor:
        """A copy of a saved tensor, of the dtype and on the device on which the step needs it."""
        if key == "step":
            return torch.as_tensor(value, dtype=torch.float32, device="cpu").clone()
        blocks = self.partition.blocks(parameter)
        if key == "exp_avg" or (key == "exp_avg_sq" and is_coordinatewise(parameter, blocks)):
            like = torch.empty_like(parameter, memory_format=torch.preserve_format)
            return like.copy_(value)
        dtype = torch.float32
        if key == "exp_avg_sq":
            dtype = _second_moment_dtype(parameter, blocks)
        return value.to(dtype=dtype, device=parameter.device, copy=True)

    def __getstate__(self) -> dict[str, Any]:
        return super().__getstate__() | {"partition": self.partition}

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self._sizes = None
        for group in self.param_groups:
            # A state saved by torch's AdamW, or by an older version, has fewer options.
            for name in (*_FLAGS, "lr", "betas", "eps", "weight_decay"):
                group.setdefault(name, self.defaults[name])

    def __repr__(self) -> str:
        return super().__repr__().replace(" (", f" (\npartition: {self.partition!r}", 1)


def is_coordinatewise(parameter: Tensor, blocks: Blocks) -> bool:
    """Whether every real coordinate of the tensor is a block that no other tensor has."""
    return not blocks.shared and blocks.index is None and blocks.rows == coordinates(parameter)


def _second_moment_shape(parameter: Tensor, blocks: Blocks) -> tuple[int, ...]:
    if is_coordinatewise(parameter, blocks):
        return tuple(parameter.shape)
    if blocks.index is None and blocks.count == 1:
        return ()
    if blocks.index is None:  # one number for each leading index, ready to broadcast
        axes = range(parameter.dim() + 1)
        lead = next((k for k in axes if math.prod(parameter.shape[:k]) == blocks.rows), None)
        if lead is not None:
            return (*parameter.shape[:lead], *(1 for _ in parameter.shape[lead:]))
    return (blocks.count,)


def _second_moment_dtype(parameter: Tensor, blocks: Blocks) -> torch.dtype:
    if is_coordinatewise(parameter, blocks):
        return parameter.dtype
    return torch.promote_types(parameter.real.dtype, torch.float32)


def check_hyperparameters(options: dict[str, Any]) -> None:
    """Refuse options out of range, with a sentence that names the one."""
    check_number("lr", options["lr"])
    check_betas(options["betas"])
    check_number("eps", options["eps"])
    check_number("weight_decay", options["weight_decay"])
    for name in _FLAGS:
        check_flag(name, options[name])

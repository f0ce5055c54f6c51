"""Any optimizer in rotated coordinates."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch.optim import Optimizer

from linfcourse.optim._coordinates import RotatedCoordinates
from linfcourse.optim._validation import check_parameter, dense_gradients
from linfcourse.rotations import Hadamard, Rotation

SCOPES = ("global", "per_tensor", "output", "input")
_HADAMARD = Hadamard(seed=0)
_NOT_OPTIONS = ("params", "param_names")


class Rotated(Optimizer):
    """Runs any torch optimizer on w = Rθ: it sees the gradient R∇L(θ), and θ = Rᵀw is written back.

    SGD does not notice, since its step is rotation-equivariant; Adam does. The difference between
    the two runs is what an optimizer draws from the coordinates being the ones they are.

    A learning-rate scheduler, gradient clipping or a GradScaler act on this optimizer as on any
    other: `param_groups` hold the inner optimizer's options, handed to it before each step.

    Args:
        params: parameters, named parameters or groups, as for every torch optimizer. The options
            of a group override the inner optimizer's defaults.
        make_optimizer: called once with the rotated parameters (with a list of groups if there
            are several, or if one has options); must return an optimizer that holds them all.
        rotation: R, from `linfcourse.rotations`.
        scope: what is rotated.
            "global": all parameters of a group, as one vector (usually there is one group).
            "per_tensor": each tensor, flattened.
            "output": the first index of each tensor of two or more dimensions, W → QW.
            "input": its other indices, flattened into one, W → WQᵀ.
            Vectors and numbers are not rotated in the last two. The inner parameter has shape
            (d,) for "global" and the tensor's own shape otherwise.

    The first vector or tensor uses `rotation`, the k-th one `rotation.child(k)`, k = 0, 1, …

    Things to know:
        - A tensor without gradient counts as one with zero gradient in a "global" vector, and may
          move, since its rotated coordinates are shared with others. If no tensor of the vector
          has a gradient, nothing of it moves. Parameters that do not require a gradient when they
          are given stay out of the vector and never move.
        - w has at least single precision: half-precision parameters get master weights.
        - w is part of the state, since R(Rᵀw) is w only to rounding: a resumed run continues bit
          for bit. If θ is changed from outside between two steps (a model's `load_state_dict`, an
          average of weights swapped in), w is taken anew from it; the inner state stays.
        - Closures may be called any number of times, so that LBFGS works inside.
        - Complex parameters are pairs of reals. Memory beside the inner optimizer's: 2d numbers.

    Raises:
        ValueError: unknown scope, an optimizer that does not hold the rotated parameters, a
            "global" group on several devices; in `step`, a gradient of a parameter that did not
            require one before; in `load_state_dict`, a state of another rotation, scope or size.
        TypeError: make_optimizer is not callable or returns no optimizer, rotation is no
            rotation; in `step`, a sparse gradient.

    Source: Xie, Mohamadi, Li 2024, arXiv 2410.08198; the scopes: Zhang et al. 2025,
    arXiv 2410.19964.

    >>> p = torch.nn.Parameter(torch.tensor([3.0, 4.0]))
    >>> optimizer = Rotated([p], lambda w: torch.optim.SGD(w, lr=0.5))
    >>> p.square().sum().backward()  # ∇L = 2θ, so that a step of lr 1/2 reaches 0
    >>> optimizer.step()
    >>> bool(p.abs().max() < 1e-6)
    True
    """

    def __init__(
        self,
        params: Any,
        make_optimizer: Callable[[Any], Optimizer],
        rotation: Rotation = _HADAMARD,
        scope: str = "global",
    ) -> None:
        if scope not in SCOPES:
            raise ValueError(f"scope must be one of {', '.join(SCOPES)}, got {scope!r}")
        if not isinstance(rotation, Rotation):
            raise TypeError(
                f"rotation must be a rotation such as Hadamard(seed=0), got {rotation!r}"
            )
        if not callable(make_optimizer):
            raise TypeError(
                "make_optimizer must be a function from parameters to an optimizer, such as "
                f"lambda p: torch.optim.AdamW(p, lr=1e-3), got {make_optimizer!r}"
            )
        self.rotation, self.scope = rotation, scope
        self.inner: Optimizer | None = None
        self._coordinates: list[list[RotatedCoordinates]] = []  # one list a group
        super().__init__(params, {})
        self._coordinates = self._rotate_groups(self.param_groups)
        self.inner = self._checked_inner(make_optimizer)
        self.defaults = dict(self.inner.defaults)
        self._pull_options()

    def _rotate_groups(self, groups: list[dict[str, Any]]) -> list[list[RotatedCoordinates]]:
        count = sum(len(group) for group in self._coordinates)
        rotated = []
        for group in groups:
            moving = [p for p in group["params"] if p.requires_grad]
            for p in moving:
                check_parameter(p)
            if self.scope == "global":
                devices = {str(p.device) for p in moving}
                if len(devices) > 1:
                    raise ValueError(
                        f'scope "global" needs all params of a group on one device, got '
                        f'{sorted(devices)}: use one group a device, or scope="per_tensor"'
                    )
                vectors = [moving]
            else:
                vectors = [[p] for p in moving]
            made = []
            for params in vectors:
                rotation = self.rotation.child(count) if count else self.rotation
                made.append(RotatedCoordinates(params, rotation, self.scope))
                count += 1
            rotated.append(made)
        return rotated

    def _checked_inner(self, make_optimizer: Callable[[Any], Optimizer]) -> Optimizer:
        given = [
            {"params": [c.w for c in vectors], **_options(group)}
            for group, vectors in zip(self.param_groups, self._coordinates, strict=True)
        ]
        plain = len(given) == 1 and list(given[0]) == ["params"]
        inner = make_optimizer(list(given[0]["params"]) if plain else [dict(g) for g in given])
        if not isinstance(inner, Optimizer):
            raise TypeError(
                f"make_optimizer must return a torch.optim.Optimizer, got {type(inner).__name__}"
            )
        held = [[id(p) for p in group["params"]] for group in inner.param_groups]
        if held != [[id(p) for p in group["params"]] for group in given]:
            raise ValueError(
                "make_optimizer must return an optimizer that holds exactly the parameters it is "
                "given, in the same groups: pass groups to Rotated, and its argument on"
            )
        return inner

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        super().add_param_group(param_group)
        if self.inner is None:  # called by Optimizer.__init__
            return
        group = self.param_groups[-1]
        try:
            (vectors,) = self._rotate_groups([group])
            self.inner.add_param_group({"params": [c.w for c in vectors], **_options(group)})
        except Exception:
            self.param_groups.pop()
            raise
        self._coordinates.append(vectors)
        self._pull_options()

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """One step of the inner optimizer in rotated coordinates.

        Args:
            closure: zeroes the gradients, computes the loss, calls backward and returns the loss.

        Returns:
            What the inner optimizer's step returns: the closure's loss, or None.
        """
        if closure is None:
            self._check_gradients()
        for vector in self._vectors():
            vector.follow_changes()
        self._push_options()
        if closure is None:
            active = self._load_gradients()
            loss = self.inner.step()
        else:
            active = list(self._vectors())
            loss = self.inner.step(self._rotated_closure(closure))
            active = [c for c in active if c.w.grad is not None]
        for vector in active:
            vector.write_back()
        self._pull_options()
        return loss

    def _rotated_closure(self, closure: Callable[[], Any]) -> Callable[[], Any]:
        moved = False

        def evaluate() -> Any:
            nonlocal moved
            if moved:
                for vector in self._vectors():
                    if vector.w.grad is not None:
                        vector.write_back()
            moved = True
            with torch.enable_grad():
                loss = closure()
            with torch.no_grad():
                self._check_gradients()
                self._load_gradients()
            return loss

        return evaluate

    def _load_gradients(self) -> list[RotatedCoordinates]:
        active = []
        for vector in self._vectors():
            vector.load_gradient()
            if vector.w.grad is not None:
                active.append(vector)
        return active

    def _check_gradients(self) -> None:
        rotated = {id(p) for vector in self._vectors() for p in vector.params}
        for _, parameter, _ in dense_gradients(self):
            if id(parameter) not in rotated:
                raise ValueError(
                    f"a parameter of shape {tuple(parameter.shape)} did not require a gradient "
                    "when Rotated was made, and has one now: make a new Rotated after unfreezing"
                )

    def state_dict(self) -> dict[str, Any]:
        state = super().state_dict()
        self._push_options()
        state["rotated"] = {
            "rotation": repr(self.rotation),
            "scope": self.scope,
            "w": [[c.w.detach() for c in vectors] for vectors in self._coordinates],
            "inner": self.inner.state_dict(),
        }
        return state

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        saved = state_dict.get("rotated")
        if saved is None:
            raise ValueError("state_dict has no rotated group of values: was it saved by Rotated?")
        for name, mine in (("rotation", repr(self.rotation)), ("scope", self.scope)):
            if saved[name] != mine:
                raise ValueError(
                    f"state_dict was saved with {name} {saved[name]}, and this optimizer has "
                    f"{mine}: its w would be in other coordinates"
                )
        shapes = [[tuple(w.shape) for w in group] for group in saved["w"]]
        mine = [[tuple(c.w.shape) for c in vectors] for vectors in self._coordinates]
        if shapes != mine:
            raise ValueError(
                f"state_dict has rotated parameters of shapes {shapes} in its groups, "
                f"this optimizer {mine}"
            )
        counts = [len(group["params"]) for group in state_dict["param_groups"]]
        if counts != [len(group["params"]) for group in self.param_groups]:
            raise ValueError(f"state_dict has groups of {counts} parameters, this optimizer others")
        inner = self._checked_inner_state(saved["inner"])
        self.inner.load_state_dict(inner)  # first, as it may refuse the state
        super().load_state_dict(state_dict)
        with torch.no_grad():
            for vectors, group in zip(self._coordinates, saved["w"], strict=True):
                for vector, w in zip(vectors, group, strict=True):
                    vector.load(w)
        self._push_options()

    def _checked_inner_state(self, inner: dict[str, Any]) -> dict[str, Any]:
        counts = [len(group["params"]) for group in inner["param_groups"]]
        if counts != [len(group["params"]) for group in self.inner.param_groups]:
            raise ValueError("state_dict's inner optimizer has other groups than this one's")
        return inner

    def _vectors(self) -> list[RotatedCoordinates]:
        return [vector for vectors in self._coordinates for vector in vectors]

    def _push_options(self) -> None:
        for outer, inner in zip(self.param_groups, self.inner.param_groups, strict=True):
            inner.update(_options(outer))

    def _pull_options(self) -> None:
        for outer, inner in zip(self.param_groups, self.inner.param_groups, strict=True):
            outer.update(_options(inner))

    def __getstate__(self) -> dict[str, Any]:
        own = ("rotation", "scope", "inner", "_coordinates")
        return {**super().__getstate__(), **{name: getattr(self, name) for name in own}}

    def __repr__(self) -> str:
        return (
            f"{super().__repr__()[:-1]}inner: {type(self.inner).__name__}\n"
            f"rotation: {self.rotation!r}\nscope: {self.scope}\n)"
        )


def _options(group: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in group.items() if name not in _NOT_OPTIONS}

"""Steepest descent in a norm of your choice: sign descent, normalised SGD, Muon and their kin."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from linfcourse.norms import L2, LInf, Norm, Spectral
from linfcourse.norms.base import as_real
from linfcourse.optim._chunks import chunks
from linfcourse.optim._compiled import SIGN_STEP, as_vectors, numbers, worth_compiling
from linfcourse.optim._validation import (
    check_flag,
    check_number,
    check_parameters,
    dense_gradients,
    same_shapes,
)


def descent_direction(
    g: Tensor, m: Tensor | None, momentum: float, nesterov: bool, maximize: bool
) -> Tensor:
    """What to descend along: m ← μ m + (1 − μ) g in place, and m; without momentum g itself.

    With Nesterov's look-ahead it is μ m + (1 − μ) g of the new m. To maximize, g is −gradient.
    """
    if maximize:
        g = g.neg()
    if m is None:
        return g
    m.mul_(momentum).add_(g, alpha=1.0 - momentum)
    return m.mul(momentum).add_(g, alpha=1.0 - momentum) if nesterov else m


def move(x: Tensor, s: Tensor, lr: float, weight_decay: float) -> None:
    """x ← (1 − λη) x + η s, in place: descent along s = lmo(m), or a Frank–Wolfe step to s/λ."""
    if weight_decay:
        x.mul_(1.0 - lr * weight_decay)
    x.add_(s, alpha=lr)


class SteepestDescent(Optimizer):
    r"""Step by a fixed length, measured in a norm, in the direction of steepest descent.

    .. math::
        m \leftarrow \mu m + (1-\mu)\, g, \qquad
        x \leftarrow (1 - \lambda\eta)\, x + \eta\,\operatorname{lmo}(m), \qquad
        \operatorname{lmo}(m) \in \arg\min_{\|s\| \le 1} \langle m, s\rangle

    The norm is taken tensor by tensor and the tensors' norms are combined by their maximum, so each
    tensor moves by a step of its own. With ``joint=True`` one norm is taken of the one vector of
    all parameters, as the gradient norm is in clipping.

    With weight decay this *is* the Frank–Wolfe algorithm for min L on the ball ‖x‖ ≤ 1/λ, with step
    λη and vertex lmo(m)/λ (arXiv 2404.04454): the weights go where L is least in that ball.

    Args:
        params: parameters, named parameters, or groups of them. A group may have a norm of its own,
            ``{"params": embeddings, "norm": LInf()}``; it is kept out of ``param_groups``, which
            hold only what a checkpoint can.
        lr: η, the distance of one step in the norm: for ``LInf`` how far each weight moves, for
            ``Spectral`` the largest singular value of the change, for ``Blockwise`` the root mean
            square of the change in a block. Not a multiple of the gradient, whose length is
            ignored.
        norm: an object of ``linfcourse.norms``. ``Blockwise`` with a partition rule asks the rule
            for the labels of each tensor, or with ``joint=True`` of all, which is needed where
            blocks span tensors.
        momentum: μ in [0, 1), an exponential average of gradients as in Signum; 0 keeps no state.
        weight_decay: λ ≥ 0, decoupled.
        joint: one norm over all parameters of all groups, whose lr, decay and momentum may differ.
            A parameter without a gradient counts as one with a zero gradient and is left alone.
        nesterov: descend along μ m + (1 − μ) g, as Muon does.
        maximize: ascend.
        compiled: make one loop of each tensor's step with ``torch.compile``, for ``LInf``; the
            steps of other norms are as ever. See ``BlockwiseAdam``. Where an average gradient is
            zero but for rounding, its sign may differ.

    Notes:
        Complex parameters are pairs of reals, so ``Spectral`` sees a complex tensor of shape (n, m)
        as (n, 2m). A NaN in a gradient becomes NaN in the weights, as in torch's optimizers, for
        one that is not ``Spectral``.

    Raises:
        TypeError, ValueError: for arguments out of range, a norm's class instead of a norm, a joint
            spectral norm; by ``step`` for sparse gradients, and with ``Spectral`` for gradients
            that are not finite. Nothing has changed then.

    >>> from linfcourse.norms import L1
    >>> x = torch.nn.Parameter(torch.tensor([3.0, -2.0]))
    >>> optimizer = SteepestDescent([x], lr=0.5, norm=L1())
    >>> for _ in range(4):
    ...     optimizer.zero_grad()
    ...     x.square().sum().backward()
    ...     optimizer.step()
    >>> x.data
    tensor([ 1.5000, -1.5000])
    """

    compiled = False  # for one that was pickled without

    def __init__(
        self,
        params: Iterable[Any],
        lr: float | Tensor = 1e-3,
        norm: Norm = LInf(),  # noqa: B008 (norms do not change)
        momentum: float = 0.0,
        weight_decay: float = 0.0,
        joint: bool = False,
        *,
        nesterov: bool = False,
        maximize: bool = False,
        compiled: bool = False,
    ) -> None:
        check_flag("joint", joint)
        check_flag("compiled", compiled)
        self.compiled = compiled
        _check_norm(norm, joint)
        # The norms stay out of param_groups: a state_dict must load with weights_only=True.
        self.norm, self.joint = norm, joint
        self._norms: list[Norm] = []  # one a group
        self._bound: dict[Tensor | None, Norm] = {}  # one a parameter; the joint one under None
        self._complete = False
        defaults = {
            "lr": lr,
            "momentum": momentum,
            "weight_decay": weight_decay,
            "nesterov": nesterov,
            "maximize": maximize,
        }
        _check_options(defaults)
        super().__init__(params, defaults)
        self._complete = True
        self._bind_all()

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add a group of parameters; without ``joint`` it may have a ``norm`` of its own."""
        if not isinstance(param_group, dict):
            raise TypeError(f"param_group must be a dict, not {type(param_group).__name__}")
        group = dict(param_group)
        norm = group.pop("norm", self.norm)
        _check_norm(norm, self.joint)
        if self.joint and norm != self.norm:
            raise ValueError(
                f"with joint=True all groups share one norm, {self.norm!r}: leave 'norm' out of "
                "the group, or use joint=False"
            )
        _check_options({**self.defaults, **group})
        super().add_param_group(group)
        self._norms.append(norm)
        try:
            check_parameters(self.param_groups[-1])
            if self._complete:
                self._bind_all()
        except (TypeError, ValueError):
            self.param_groups.pop()
            self._norms.pop()
            raise

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Load a saved state; one of parameters of other shapes is refused and changes nothing."""
        with same_shapes(self, "momentum_buffer"):
            super().load_state_dict(state_dict)

    def _bind_all(self) -> None:
        """Fit the norms to the parameters: look up the labels of a partition rule, once."""
        bound: dict[Tensor | None, Norm] = {}
        params = [p for group in self.param_groups for p in group["params"]]
        if self.joint:
            bound[None] = self.norm.bind(params)
        else:
            for group, norm in zip(self.param_groups, self._norms, strict=True):
                bound.update({p: norm.bind([p]) for p in group["params"]})
        self._bound = bound

    def __getstate__(self) -> dict[str, Any]:
        own = {"norm": self.norm, "joint": self.joint, "_norms": self._norms}
        own["compiled"] = self.compiled
        return {**super().__getstate__(), **own}

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)  # load_state_dict comes here too, with groups and state only
        self._complete = True
        self._bind_all()

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Take one step; returns the closure's loss, if there is a closure."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        found = dense_gradients(self)
        for _, p, g in found:
            buffer = self.state[p].get("momentum_buffer") if p in self.state else None
            for kind, tensor in (("gradient", g), ("momentum_buffer", buffer)):
                if tensor is not None:
                    name = f"the {kind} of a parameter of shape {tuple(p.shape)}"
                    self._bound[None if self.joint else p].check(as_real(tensor), name)
        if self.joint and not self.norm.elementwise:
            self._step_jointly(found)
            return loss
        for group, p, g in found:
            norm, m = self._bound[None if self.joint else p], self._momentum_of(p, group)
            if self.compiled and isinstance(norm, LInf) and worth_compiling(SIGN_STEP, p):
                _compiled_sign_step(group, as_real(p), as_real(g), m)
                continue
            tensors = [as_real(p), as_real(g)] + ([] if m is None else [m])
            for x, *g_and_m in chunks(*tensors) if norm.elementwise else [tensors]:
                _move(group, x, norm.lmo(_direction(group, *g_and_m)))
        return loss

    def _step_jointly(self, found: list[tuple[dict[str, Any], Tensor, Tensor]]) -> None:
        """One step of which the norm of all parameters together is the length."""
        if not found:
            return
        directions = {}
        for group, p, g in found:
            m = self._momentum_of(p, group)
            directions[p] = _direction(group, as_real(g), m)
        params = [p for group in self.param_groups for p in group["params"]]
        vector = [
            directions[p] if p in directions else torch.zeros_like(as_real(p)) for p in params
        ]
        steps = dict(zip(params, self._bound[None].lmo_joint(vector), strict=True))
        for group, p, _ in found:
            _move(group, as_real(p), steps[p])

    def _momentum_of(self, p: Tensor, group: dict[str, Any]) -> Tensor | None:
        """The parameter's average gradient, made when first needed; None without momentum."""
        state = self.state[p] if p in self.state or group["momentum"] else {}
        if group["momentum"] and "momentum_buffer" not in state:
            state["momentum_buffer"] = torch.zeros_like(p, memory_format=torch.preserve_format)
        buffer = state.get("momentum_buffer")
        return None if buffer is None else as_real(buffer)


def _direction(group: dict[str, Any], g: Tensor, m: Tensor | None = None) -> Tensor:
    return descent_direction(g, m, float(group["momentum"]), group["nesterov"], group["maximize"])


def _move(group: dict[str, Any], x: Tensor, s: Tensor) -> None:
    move(x, s, float(group["lr"]), float(group["weight_decay"]))


def _compiled_sign_step(group: dict[str, Any], x: Tensor, g: Tensor, m: Tensor | None) -> None:
    lr, momentum = float(group["lr"]), float(group["momentum"])
    x, g, *average = as_vectors(x, g, *([] if m is None else [m]))
    SIGN_STEP(
        x,
        g,
        average[0] if average else None,
        *numbers(lr, momentum, 1 - momentum, 1 - lr * float(group["weight_decay"])),
        *numbers(-1 if group["maximize"] else 1),
        group["nesterov"],
    )


class SignSGD(SteepestDescent):
    """Sign descent, x ← (1 − λη)x − η sign(g): steepest descent in ℓ∞ (arXiv 1802.04434).

    Args: as in ``SteepestDescent``; lr is how far each weight moves.

    >>> x = torch.nn.Parameter(torch.tensor([1.0, -0.2]))
    >>> x.square().sum().backward()
    >>> SignSGD([x], lr=0.5).step()
    >>> x.data
    tensor([0.5000, 0.3000])
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float | Tensor = 1e-3,
        momentum: float = 0.0,
        weight_decay: float = 0.0,
        *,
        nesterov: bool = False,
        maximize: bool = False,
        compiled: bool = False,
    ) -> None:
        options = {"nesterov": nesterov, "maximize": maximize, "compiled": compiled}
        super().__init__(params, lr, LInf(), momentum, weight_decay, **options)


class Signum(SignSGD):
    """Sign descent along an average gradient: ``SignSGD`` with momentum 0.9 (arXiv 1802.04434).

    >>> x = torch.nn.Parameter(torch.tensor([1.0, -0.2]))
    >>> optimizer = Signum([x], lr=0.5)
    >>> x.square().sum().backward()
    >>> optimizer.step()
    >>> x.data, optimizer.state[x]["momentum_buffer"]
    (tensor([0.5000, 0.3000]), tensor([ 0.2000, -0.0400]))
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float | Tensor = 1e-3,
        momentum: float = 0.9,
        weight_decay: float = 0.0,
        *,
        nesterov: bool = False,
        maximize: bool = False,
        compiled: bool = False,
    ) -> None:
        options = {"nesterov": nesterov, "maximize": maximize, "compiled": compiled}
        super().__init__(params, lr, momentum, weight_decay, **options)


class NormalizedSGD(SteepestDescent):
    """Gradient descent with steps of length lr, x ← (1 − λη)x − η g/‖g‖₂.

    The norm is that of the gradient of all parameters together, so rotating all coordinates rotates
    the path: joint steepest descent in ℓ2.

    Args: as in ``SteepestDescent``; lr is the Euclidean distance of a step.

    >>> x = torch.nn.Parameter(torch.tensor([3.0, 4.0]))
    >>> x.square().sum().backward()
    >>> NormalizedSGD([x], lr=0.5).step()
    >>> x.data
    tensor([2.7000, 3.6000])
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float | Tensor = 1e-3,
        momentum: float = 0.0,
        weight_decay: float = 0.0,
        *,
        nesterov: bool = False,
        maximize: bool = False,
    ) -> None:
        super().__init__(
            params, lr, L2(), momentum, weight_decay, True, nesterov=nesterov, maximize=maximize
        )


def _check_norm(norm: Any, joint: bool) -> None:
    if isinstance(norm, type) and issubclass(norm, Norm):
        raise TypeError(f"norm must be a norm, not the class {norm.__name__}: {norm.__name__}()")
    if not isinstance(norm, Norm):
        raise TypeError(f"norm must be an object of linfcourse.norms such as LInf(), not {norm!r}")
    if joint and isinstance(norm, Spectral):
        raise ValueError(
            "joint=True makes one vector of all parameters, which has no singular values: use "
            "joint=False for Spectral, which takes the largest spectral norm of the matrices"
        )


def _check_options(options: dict[str, Any]) -> None:
    check_number("lr", options["lr"])
    check_number("momentum", options["momentum"], below=1.0)
    check_number("weight_decay", options["weight_decay"])
    check_flag("nesterov", options["nesterov"])
    check_flag("maximize", options["maximize"])

"""Hessian-vector products of a loss in torch, by double backward."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from linfcourse.hessian.inputs import check_loss, check_params
from linfcourse.hessian.precision import full_float32
from linfcourse.hessian.symmetric import SymmetricOperator

Gradients = list[Tensor | None]


class HessianOperator(SymmetricOperator):
    """The Hessian H = ∇²L of a scalar loss, known by its products H v.

    H v = ∇⟨∇L, v⟩, by two reverse passes. (Forward-over-reverse, which `torch.func.hessian` and
    `jvp(jacrev)` use, is silently wrong through LayerNorm and BatchNorm.) The graph of ∇L is built
    once and serves every probe of a block, so k products cost little more than 2 k gradients.

    Coordinates are the entries of `params`, flattened and joined in the order given. A parameter
    that the loss does not use, or uses linearly, has rows of zeros.

    Args:
        loss: a scalar tensor with its graph, not yet run backward. The graph is kept as long as
            the operator lives, and the parameters must not be changed while it does.
        params: the leaf tensors to differentiate by, such as `model.parameters()` or
            `model.named_parameters()`; all float32 or all float64, on one device. A tied parameter
            counts once, as in `model.parameters()`.

    Attributes:
        dim: d, the number of coordinates.
        device, dtype: of the parameters, and of every product.
        params, names: the tensors; their names where pairs (name, tensor) were given, else None.

    Raises:
        ValueError, TypeError: a loss that is not a finite scalar or does not depend on the
            parameters; parameters that are empty, frozen, not leaves, repeated, complex or of half
            precision. From a product: autocast is on, gradients are sparse.
        RuntimeError: from a product, where a layer has no second derivative.

    Example:
        >>> x = torch.tensor([1.0, 2.0], requires_grad=True)
        >>> op = HessianOperator((x[0] ** 2 * x[1]).sum(), [x])
        >>> op @ torch.tensor([1.0, 0.0])
        tensor([4., 2.])
        >>> op.dense()
        tensor([[4., 2.],
                [2., 0.]])
    """

    def __init__(self, loss: Tensor, params: Iterable[Tensor]) -> None:
        self._take_params(params)
        check_loss(loss, "loss")
        with self._conditions():
            graph = self._gradient_graph(loss, "loss")
        self._graphs: Callable[[], Iterable[Gradients]] = lambda: (graph,)
        self._kept = True

    @classmethod
    def from_batches(
        cls,
        model_loss: Callable[[Any], Tensor],
        batches: Iterable[Any],
        params: Iterable[Tensor],
    ) -> HessianOperator:
        """The Hessian of the mean of `model_loss(batch)` over the batches.

        One batch's graph is in memory at a time; it is rebuilt for each block of probes, so the
        products see the parameters as they are when a product is asked for. Each batch counts the
        same, whatever its size.

        Random numbers that `model_loss` draws from torch's global generators (dropout) are replayed
        in every product, so the operator is one fixed matrix. BatchNorm in training mode updates
        its running statistics at each evaluation: set the model to `eval()`, or restore them, where
        that matters.

        Args:
            model_loss: batch → scalar loss.
            batches: a list of batches; an iterator or a DataLoader is read to its end once and its
                batches are kept, since every product needs the same ones.
            params: as for `HessianOperator`.

        Raises:
            ValueError, TypeError: as for `HessianOperator`, and for batches that are empty or not a
                collection of batches.

        Example:
            >>> w = torch.tensor([1.0, 1.0], requires_grad=True)
            >>> batches = [torch.tensor([1.0, 0.0]), torch.tensor([0.0, 3.0])]
            >>> HessianOperator.from_batches(lambda a: (a @ w) ** 2, batches, [w]).dense()
            tensor([[1., 0.],
                    [0., 9.]])
        """
        op = cls.__new__(cls)
        op._take_params(params)
        if not callable(model_loss):
            raise TypeError(
                f"model_loss must be a function of a batch, not {type(model_loss).__name__}"
            )
        if isinstance(batches, Tensor | Mapping | str) or not isinstance(batches, Iterable):
            raise TypeError(
                f"batches must be a list of batches, not {type(batches).__name__}: pass [batch] "
                "for a single one"
            )
        kept = list(batches)
        if not kept:
            raise ValueError("batches is empty: pass at least one batch")
        seed = torch.initial_seed()

        def loss_of(index: int) -> Tensor:
            with _replayed(op.device, seed + index):
                loss = model_loss(kept[index])
            check_loss(loss, f"model_loss(batches[{index}])")
            return loss

        def graphs() -> Iterator[Gradients]:
            for index in range(len(kept)):
                yield op._gradient_graph(loss_of(index), f"model_loss(batches[{index}])")

        op._graphs, op._kept, op._count = graphs, False, len(kept)
        with op._conditions():
            loss_of(0)  # so that a wrong loss is named here, not in the middle of an estimate
        return op

    _count = 1

    def _take_params(self, params: Iterable[Tensor]) -> None:
        self.names, self.params = check_params(params)
        self.sizes = [p.numel() for p in self.params]
        self.dim = sum(self.sizes)
        self.device, self.dtype = self.params[0].device, self.params[0].dtype

    def unflatten(self, vector: Tensor) -> list[Tensor]:
        """A vector (d,) cut into tensors of the parameters' shapes, without a copy."""
        if vector.shape != (self.dim,):
            raise ValueError(f"vector has shape {tuple(vector.shape)}; need ({self.dim},)")
        return [v.view(p.shape) for v, p in zip(vector.split(self.sizes), self.params, strict=True)]

    @contextmanager
    def _conditions(self) -> Iterator[None]:
        """Gradients on, full precision, and errors of the second derivative explained."""
        kind = self.device.type
        if torch.amp.is_autocast_available(kind) and torch.is_autocast_enabled(kind):
            raise ValueError(
                "autocast is on, and half precision ruins Hessian-vector products: leave the "
                "autocast block, or wrap this call in torch.autocast(device_type, enabled=False)"
            )
        with (
            torch.inference_mode(False),
            torch.enable_grad(),
            full_float32(self.device),
            _explained(),
        ):
            yield

    def _gradient_graph(self, loss: Tensor, name: str) -> Gradients:
        grads = torch.autograd.grad(loss, self.params, create_graph=True, allow_unused=True)
        if all(g is None for g in grads):
            raise ValueError(
                f"{name} depends on none of params: compute it from these very tensors (a copy of "
                "the model has others)"
            )
        if any(g is not None and g.layout != torch.strided for g in grads):
            raise ValueError("a gradient is sparse: use nn.Embedding(..., sparse=False)")
        # A gradient without a graph is constant: its rows of the Hessian are zero.
        return [g if g is not None and g.requires_grad else None for g in grads]

    def _products(self, vectors: Tensor) -> Tensor:
        count = vectors.shape[1]
        with self._conditions():
            # Made inside: an inference tensor could not be written to.
            out = torch.zeros(count, self.dim, dtype=self.dtype, device=self.device)
            for grads in self._graphs():
                live = [i for i, g in enumerate(grads) if g is not None]
                outputs = [grads[i] for i in live]
                for k in range(count if live else 0):
                    pieces = self.unflatten(vectors[:, k].contiguous())
                    products = torch.autograd.grad(
                        outputs,
                        self.params,
                        grad_outputs=[pieces[i] for i in live],
                        retain_graph=self._kept or k + 1 < count,
                        allow_unused=True,
                    )
                    for row, product in zip(self.unflatten(out[k]), products, strict=True):
                        if product is not None:
                            row.add_(product.detach(), alpha=1 / self._count)
                del grads, outputs  # free this batch's graph before the next one is built
        return out.T


@contextmanager
def _replayed(device: torch.device, seed: int) -> Iterator[None]:
    """Global random generators start from `seed` inside, and are as before outside."""
    seed %= 2**63
    if device.type == "cpu":
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)
            yield
        return
    index = device.index or 0
    with torch.random.fork_rng(devices=[index], device_type=device.type):
        torch.default_generator.manual_seed(seed)
        torch.get_device_module(device.type).manual_seed(seed)
        yield


# What torch says, and what to do about it.
_MENDS = (
    (
        ("derivative for", "is not implemented"),
        RuntimeError,
        "a layer of the model has no second derivative. Fused attention: run the forward pass "
        "under torch.nn.attention.sdpa_kernel(SDPBackend.MATH). A cuDNN RNN: run it under "
        "torch.backends.cudnn.flags(enabled=False)",
    ),
    (
        ("does not currently support double backward",),
        RuntimeError,
        "a compiled model has no second derivative: compute the loss with the model that was given "
        "to torch.compile",
    ),
    (
        ("once_differentiable",),
        RuntimeError,
        "a custom autograd function of the model is differentiable once only: compute the loss "
        "without it",
    ),
    (
        ("Checkpointing is not compatible",),
        RuntimeError,
        "reentrant activation checkpointing has no second derivative: use "
        "torch.utils.checkpoint.checkpoint(..., use_reentrant=False)",
    ),
    (
        ("backward through the graph a second time",),
        ValueError,
        "the graph of loss has been freed: build the operator before loss.backward(), or compute "
        "the loss again",
    ),
    (
        ("modified by an inplace operation",),
        RuntimeError,
        "a parameter was changed after loss was computed: compute the loss again, or use "
        "HessianOperator.from_batches, which does so by itself",
    ),
)


@contextmanager
def _explained() -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:
        for signs, kind, mend in _MENDS:
            if all(sign in str(error) for sign in signs):
                raise kind(f"{mend}. (torch: {str(error).splitlines()[0]})") from error
        raise

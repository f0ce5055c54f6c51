"""Blockwise smoothness: how smooth a loss is for an optimizer with one step size a block."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from linfcourse.hessian.blocks import BlockStructure, block_smoothness
from linfcourse.hessian.cauchy import cauchy, check_generator, double_device, drawing_device
from linfcourse.hessian.estimate import Estimate, check_probes
from linfcourse.hessian.sampling import Shares, certain, combined, draw, probabilities, shares
from linfcourse.hessian.spectral import spectral_norm
from linfcourse.hessian.symmetric import SymmetricOperator, as_operator, finite
from linfcourse.hessian.two_stage import two_stage

EXACT = 2048  # dimension up to which every column is computed by default
PROBES = 256  # products by default above that
LEAST = 8  # products that a block is worth at least; below that, blocks are sampled
MOST = 32  # products that a block is worth at most
MEMORY = 128  # vectors that Lanczos may keep
SAMPLED = 12  # products for each sampled block


@dataclass(frozen=True)
class BlockwiseNorm:
    """The smoothness H(Φ) = Σ_b H_b between two numbers; `lower, upper = result` unpacks them.

    Attributes:
        lower, upper: the two, as floats.
        lower_estimate, upper_estimate: the same with standard errors and intervals, from the
            sampling of blocks; the standard error is 0 where every block was visited.
        method: "exact" (all columns computed: both are bounds), "lanczos", "rows", "all blocks" or
            "sampled blocks".
        blocks, visited: how many blocks there are, and how many were looked at.
        per_block: (B, 2), each block's lower and upper, where all were visited; else None.
    """

    lower_estimate: Estimate
    upper_estimate: Estimate
    method: str
    blocks: int
    visited: int
    per_block: Tensor | None = None

    @property
    def lower(self) -> float:
        return self.lower_estimate.value

    @property
    def upper(self) -> float:
        return self.upper_estimate.value

    def __iter__(self) -> Iterator[float]:
        return iter((self.lower, self.upper))


def blockwise_norm(
    op: Any,
    partition: Any,
    params: Iterable[Tensor] | None = None,
    probes: int | None = None,
    generator: torch.Generator | None = None,
) -> BlockwiseNorm:
    """The blockwise smoothness of a quadratic with Hessian H, from below and from above.

    For a partition Φ of the d coordinates in blocks of sizes d_b, ‖x‖_Φ = max_b ‖x_b‖₂/√d_b, and

        H(Φ) = Σ_b H_b,   H_b = √d_b max over ‖x‖_Φ ≤ 1 of ‖(Hx)_b‖₂
                              = √d_b max over ‖w‖₂ = 1 of Σ_c √d_c ‖H_cb w‖₂.

    So Σ_b of any such w's values ≤ H(Φ) ≤ Σ_bc √(d_b d_c) ‖H_bc‖₂, and these are the two numbers.
    Both are ‖H‖₁,₁ for singletons and d‖H‖₂ for one block. (The constant of the gradient as one
    map, max over ‖x‖_Φ ≤ 1 of the dual norm of Hx, is smaller: the blocks must share one x.)

    How they are had depends on d and on `probes`:

    * "lanczos" for one block: lower is d times a Ritz value, a bound; upper adds d times the
      residual, see `spectral_norm`.
    * "exact", with probes ≥ d: all columns. The upper number is the right-hand side; the lower one
      is by ascent, a bound that is proved by the w's found.
    * "rows" for singletons: both are the two-stage estimate of ‖H‖₁,₁.
    * "all blocks", where each can have 8 products or more (32 are used at most): lower is a bound.
      Upper replaces ‖H_cb‖₂ outside a subspace by an estimated Schatten-4 norm, which is larger;
      it is no proof, since it is estimated, but errs upwards (by 17 % and 80 % on a GPT and an
      MLP, tensor by tensor).
    * "sampled blocks" else: a Cauchy sketch by a quarter of the products, then such pairs of
      numbers for blocks drawn in proportion to it, 12 products each. Both are unbiased estimates
      of what "all blocks" with 12 products would give.

    Args:
        op: a HessianOperator or DenseOperator, anything with `dim` and `matmat`, or a matrix.
        partition: a rule such as `linfcourse.partitions.per_row`, or integer labels (d,).
        params: the tensors that the rule is applied to. Default: the operator's own; for a bare
            matrix one vector.
        probes: products at most. Default: d up to d = 2048, else 256. At least 16, or d.
        generator: for all random draws.

    Raises:
        TypeError, ValueError: bad arguments; a partition that does not label d coordinates.

    Source: the definition, arXiv 2410.08198.

    Example:
        >>> H = torch.tensor([[2.0, 1.0, 0.0], [1.0, 2.0, 0.0], [0.0, 0.0, 1.0]])
        >>> lower, upper = blockwise_norm(H, torch.tensor([0, 0, 1]))
        >>> round(lower, 4), round(upper, 4)  # 2·3 + 1
        (7.0, 7.0)
    """
    op = as_operator(op)
    check_generator(generator)
    if probes is None:
        probes = op.dim if op.dim <= EXACT else PROBES
    probes = check_probes(probes, min(16, op.dim), "a block needs several")
    blocks = BlockStructure.of(op, partition, params)
    if blocks.count == 1:
        norm = spectral_norm(op, min(probes, MEMORY), tol=1e-5, generator=generator)
        ends = [op.dim * end for end in norm.interval]
        used = [Estimate(end, 0.0, (end, end), norm.probes, "lanczos") for end in ends]
        return BlockwiseNorm(*used, "lanczos", 1, 1)
    if probes >= op.dim:
        return _every_block(op, blocks, op.dim, "exact", generator)
    if blocks.count == op.dim:
        norm = two_stage(op, probes, generator)
        return BlockwiseNorm(norm, norm, "rows", op.dim, probes - probes // 2)
    worth = probes // blocks.count
    if worth >= LEAST:
        return _every_block(op, blocks, min(worth, MOST), "all blocks", generator)
    return _sampled_blocks(op, blocks, probes, generator)


def _every_block(
    op: SymmetricOperator,
    blocks: BlockStructure,
    worth: int,
    method: str,
    generator: torch.Generator | None,
) -> BlockwiseNorm:
    pairs = torch.tensor(
        [block_smoothness(op, blocks, b, worth, generator) for b in range(blocks.count)],
        dtype=torch.float64,
    )
    used = int(blocks.sizes.clamp(max=worth).sum())
    totals = [Estimate(t, 0.0, (t, t), used, method) for t in pairs.sum(0).tolist()]
    return BlockwiseNorm(*totals, method, blocks.count, blocks.count, pairs)


def _sampled_blocks(
    op: SymmetricOperator,
    blocks: BlockStructure,
    probes: int,
    generator: torch.Generator | None,
) -> BlockwiseNorm:
    worth = min(SAMPLED, probes // 4)
    sketched = max(probes // 4, 2)
    weights = _block_shares(op, blocks, sketched, generator).weights

    def pair(block: int) -> Tensor:
        low_high = block_smoothness(op, blocks, block, worth, generator)
        return torch.tensor(low_high, dtype=torch.float64)

    known, draws, used, visited = torch.zeros(2, dtype=torch.float64), [], sketched, 0
    for stratum, count in _strata(blocks, weights, worth, probes - sketched):
        inside = weights[stratum]
        taken = certain(inside, count) if count < len(stratum) else torch.arange(count)
        for block in stratum[taken].tolist():
            known += pair(block)
        chosen = stratum[taken]
        if count > len(taken):
            chances = probabilities(inside, taken, uniform=0.1 / sketched)
            drawn = draw(chances, count - len(taken), generator)
            chosen = torch.cat([chosen, stratum[drawn]])
            pairs = torch.stack([pair(block) for block in stratum[drawn].tolist()])
            draws.append(pairs / chances[drawn].cpu()[:, None])
        visited += len(chosen)
        used += int(blocks.sizes[chosen].clamp(max=worth).sum())
    ends = [
        combined([part[:, end] for part in draws], float(known[end]), used, "sampled blocks")
        for end in (0, 1)
    ]
    return BlockwiseNorm(*ends, "sampled blocks", blocks.count, visited)


def _strata(
    blocks: BlockStructure, weights: Tensor, worth: int, products: int
) -> list[tuple[Tensor, int]]:
    """Blocks of like size, and how many of them to visit.

    The sketch's shares are Frobenius norms, which grow with the size of a block more than its
    smoothness does. Within a size they compare well, so each size is sampled on its own: two
    visits, and the rest of the products in proportion to the shares.
    """
    octaves = blocks.sizes.double().log2().floor()
    strata = [torch.nonzero(octaves == octave).flatten() for octave in octaves.unique()]
    costs = [min(worth, int(blocks.sizes[stratum].max())) for stratum in strata]
    least = [min(2, len(stratum)) for stratum in strata]
    spare = products - sum(n * cost for n, cost in zip(least, costs, strict=True))
    if spare < 0:  # too many sizes for so few products
        return [(torch.arange(blocks.count, device=blocks.device), products // max(costs))]
    total = max(float(weights.sum()), torch.finfo(torch.float64).tiny)
    extra = [int(spare * float(weights[s].sum()) / total) for s in strata]
    return [
        (stratum, min(len(stratum), n + more // cost))
        for stratum, n, more, cost in zip(strata, least, extra, costs, strict=True)
    ]


def _block_shares(
    op: SymmetricOperator,
    blocks: BlockStructure,
    probes: int,
    generator: torch.Generator | None,
) -> Shares:
    """Shares of √d_b Σ_c √d_c ‖H_bc‖_F: log √d_b‖(Hv)_b‖₂ for v_c = √d_c · Cauchy · Gaussian.

    One Cauchy number a block makes each projection of (Hv)_b Cauchy with a scale that adds up over
    the blocks c, as single rows do; the Gaussian vector inside makes H_bc act by its Frobenius
    norm.
    """
    device = drawing_device(op, generator)
    sums = torch.zeros(2, blocks.count, dtype=torch.float64, device=double_device(op))
    tiny = torch.finfo(op.dtype).tiny
    for start in range(0, probes, op.block):
        vectors = []
        for _ in range(min(op.block, probes - start)):
            heavy = cauchy(1, blocks.count, device, generator)[0].to(blocks.device)
            inside = torch.randn(op.dim, dtype=op.dtype, device=device, generator=generator)
            scale = (blocks.roots * heavy)[blocks.ids].to(op.device, op.dtype)
            vectors.append(inside.to(op.device) * scale)
        products = finite(op.matmat(torch.stack(vectors).T)).to(blocks.device)
        logs = (blocks.roots[:, None] * blocks.norms(products)).clamp_min(tiny).log()
        for index, column in enumerate(logs.unbind(1), start):
            sums[index % 2] += column
    return shares(sums, [math.ceil(probes / 2), probes // 2])

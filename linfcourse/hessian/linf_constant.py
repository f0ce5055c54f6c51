"""The sharp ℓ∞ smoothness constant ‖H‖_{∞→1} of a stored matrix: exact if small, else bracketed."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

LARGEST_EXACT = 22
"""Above this dimension the 2^(d−1) sign vectors are too many to be tried."""


@dataclass(frozen=True)
class Bracket:
    """Two numbers with ‖H‖_{∞→1} between them, and why.

    Attributes:
        low: ‖Hs‖₁ for the signs found.
        high: Σᵢ weights_i.
        signs: (d,) of ±1, the witness of `low`.
        weights: (d,), the witness of `high`: diag(weights) ± H are positive semi-definite.
    """

    low: float
    high: float
    signs: Tensor
    weights: Tensor


def exact_linf_constant(H: Tensor) -> float:
    """‖H‖_{∞→1} = max over s ∈ {±1}^d of ‖Hs‖₁, by trying them all.

    It is the smallest C with ‖H(x − y)‖₁ ≤ C‖x − y‖∞. The maximum over the cube is at a corner
    because s ↦ ‖Hs‖₁ is convex; of s and −s one is enough.

    Args:
        H: (d, d) symmetric, d ≤ 22.

    Raises:
        ValueError: H is not a symmetric matrix of finite numbers, or is too large: use
            `bracket_linf_constant`.

    >>> exact_linf_constant(torch.tensor([[2.0, -1, -1], [-1, 2, -1], [-1, -1, 2]]))
    8.0
    """
    H = _checked(H)
    d = len(H)
    if d > LARGEST_EXACT:
        raise ValueError(
            f"H has dimension {d}, and 2^{d - 1} sign vectors are too many: up to {LARGEST_EXACT} "
            "is possible, beyond that use bracket_linf_constant"
        )
    best, bits = 0.0, torch.arange(d - 1, device=H.device)
    for start in range(0, 2 ** (d - 1), 2**14):
        numbers = torch.arange(start, min(start + 2**14, 2 ** (d - 1)), device=H.device)
        signs = torch.ones(len(numbers), d, dtype=H.dtype, device=H.device)
        signs[:, 1:] -= 2 * (numbers[:, None] >> bits & 1).to(H.dtype)
        best = max(best, (signs @ H).abs().sum(dim=1).max().item())
    return best


def bracket_linf_constant(H: Tensor, starts: int = 64, seed: int = 0) -> Bracket:
    """Lower and upper bound of ‖H‖_{∞→1}, each with a witness that anybody can check.

    Below: any signs s give ‖H‖_{∞→1} ≥ ‖Hs‖₁; a local search improves many starts. Above: if both
    diag(y) − H and diag(y) + H are positive semi-definite, then ‖H‖_{∞→1} ≤ Σ yᵢ. The row sums of
    |H| are such a y and give the (1,1)-norm; yᵢ = ‖H‖₂ is another and gives d‖H‖₂. The best y is
    the dual solution of a semi-definite relaxation, in which unit vectors take the place of the
    signs; its value is at most π/2 times the true one if H is positive semi-definite.

    Args:
        H: (d, d) symmetric.
        starts: sign vectors from which to search, half of them rounded from the relaxation.
        seed: of the starts.

    Returns:
        A `Bracket`; `high` allows for the rounding of the eigenvalues that it was checked with.

    Raises:
        ValueError: H is not a symmetric matrix of finite numbers, or starts < 1.

    Source: Nesterov (1998) for the relaxation and its quality, Burer and Monteiro (2003) for
    solving it by vectors of low dimension.

    >>> bracket = bracket_linf_constant(torch.eye(3) * 2)
    >>> round(bracket.low, 6), round(bracket.high, 6)
    (6.0, 6.0)
    """
    H = _checked(H)
    if isinstance(starts, bool) or not isinstance(starts, int) or starts < 1:
        raise ValueError(f"starts must be an integer >= 1, got {starts!r}")
    scale = H.abs().max()
    if scale == 0:
        return Bracket(0.0, 0.0, torch.ones(len(H)).to(H), torch.zeros(len(H)).to(H))
    generator = torch.Generator().manual_seed(seed)
    vectors, weights = _relax(H / scale, generator)
    weights = scale * weights
    width = vectors.shape[1]
    rounded = vectors @ torch.randn(width, (starts + 1) // 2, generator=generator).to(H)
    random = torch.randn(len(H), starts // 2, generator=generator).to(H)
    signs, low = _search(H, _signs(torch.cat([rounded, random], dim=1)))
    return Bracket(low, weights.sum().item(), signs, weights)


def _relax(H: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Maximise Σᵢⱼ Hᵢⱼ⟨uᵢ, vⱼ⟩ over unit vectors; the vectors, and feasible weights of the dual.

    For fixed v the best u is the normalised Hv, and the other way round. At a solution
    (Hv)ᵢ = yᵢuᵢ and (Hu)ᵢ = yᵢvᵢ; whatever the quality of the solution, a shift makes y feasible.
    """
    d = len(H)
    width = min(d, int((4 * d) ** 0.5) + 2)  # enough: a solution of rank √(4d) exists
    v = torch.nn.functional.normalize(torch.randn(d, width, generator=generator).to(H), dim=1)
    value = 0.0
    for _ in range(4000):
        hv = H @ v
        u = torch.nn.functional.normalize(hv, dim=1)
        hu = H @ u
        v = torch.nn.functional.normalize(hu, dim=1)
        previous, value = value, hu.norm(dim=1).sum().item()
        if value - previous <= 1e-9 * value:
            break
    y = (hv.norm(dim=1) + hu.norm(dim=1)) / 2
    eigenvalues = [torch.linalg.eigvalsh(sign * H - y.diag())[-1].item() for sign in (1, -1)]
    rounding = d * torch.finfo(H.dtype).eps * y.max().item()
    return v, y + max(0.0, *eigenvalues) + rounding


def _search(H: Tensor, signs: Tensor) -> tuple[Tensor, float]:
    """Improve each column of signs (d, k); the best column and its ‖Hs‖₁."""
    flipped = _flip(H, signs.clone())
    signs = torch.cat([signs, flipped], dim=1)
    for _ in range(100):  # s ← sign(H sign(Hs)) never makes ‖Hs‖₁ smaller
        better = _signs(H @ _signs(H @ signs))
        if torch.equal(better, signs):
            break
        signs = better
    values = (H @ signs).abs().sum(dim=0)
    best = values.argmax()
    return signs[:, best].clone(), values[best].item()


def _flip(H: Tensor, signs: Tensor) -> Tensor:
    """Flip, in each column, the sign that makes sᵀHs grow most, as long as one does."""
    product, diagonal = H @ signs, H.diagonal().unsqueeze(1)
    tolerance = 1e-9 * H.abs().sum().item()
    columns = torch.arange(signs.shape[1], device=H.device)
    for _ in range(20 * len(H)):
        gain, row = (4 * (diagonal - signs * product)).max(dim=0)
        active = gain > tolerance
        if not active.any():
            break
        rows, cols = row[active], columns[active]
        product[:, cols] -= 2 * H[:, rows] * signs[rows, cols]
        signs[rows, cols] *= -1
    return signs


def _signs(x: Tensor) -> Tensor:
    """±1, with +1 for zero: a sign vector is a corner of the cube."""
    return torch.where(x >= 0, 1.0, -1.0).to(x)


def _checked(H: Tensor) -> Tensor:
    if not isinstance(H, Tensor) or not H.is_floating_point():
        raise TypeError("H must be a floating-point tensor")
    if H.dim() != 2 or H.shape[0] != H.shape[1] or not len(H):
        raise ValueError(f"H must be a square matrix (d, d), got shape {tuple(H.shape)}")
    H = H.detach().double() if H.device.type != "mps" else H.detach().float()
    if not torch.isfinite(H).all():
        raise ValueError("H must hold finite numbers only")
    if (H - H.T).abs().max() > 1e-5 * H.abs().max():
        raise ValueError("H must be symmetric: pass (H + H.T) / 2")
    return (H + H.T) / 2

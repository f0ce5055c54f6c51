"""The sharp ℓ∞ constant: exact where it can be tried, and between its bounds where it cannot."""

import itertools

import pytest
import torch

from linfcourse.hessian.linf_constant import bracket_linf_constant, exact_linf_constant
from linfcourse.models import random_psd, rank_one


def symmetric(d, seed):
    A = torch.randn(d, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return A + A.T


def by_definition(H):
    """max sᵀHt over all pairs of sign vectors."""
    corners = [
        torch.tensor(c, dtype=H.dtype) for c in itertools.product((-1.0, 1.0), repeat=len(H))
    ]
    return max((s @ H @ t).item() for s in corners for t in corners)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("make", [symmetric, lambda d, seed: random_psd(d, seed=seed)])
def test_the_exact_constant_is_the_maximum_over_all_pairs_of_corners(make, seed):
    H = make(6, seed)
    assert exact_linf_constant(H) == pytest.approx(by_definition(H))


def test_of_a_positive_semidefinite_matrix_one_sign_vector_on_both_sides_is_enough():
    H = random_psd(7, seed=3)
    corners = torch.tensor(list(itertools.product((-1.0, 1.0), repeat=7)), dtype=H.dtype)
    assert exact_linf_constant(H) == pytest.approx(((corners @ H) * corners).sum(1).max().item())


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("make", [symmetric, lambda d, seed: random_psd(d, seed=seed)])
def test_the_bracket_holds_the_exact_constant_and_is_narrow(make, seed):
    H = make(12, seed)
    exact, bracket = exact_linf_constant(H), bracket_linf_constant(H)
    assert bracket.low <= exact * (1 + 1e-9)
    assert exact <= bracket.high * (1 + 1e-9)
    assert bracket.low == pytest.approx(exact)  # so small that the search should find it
    assert bracket.high <= 1.7 * exact  # Nesterov: π/2 if positive semi-definite


@pytest.mark.parametrize("make", [symmetric, lambda d, seed: random_psd(d, seed=seed)])
def test_the_witnesses_prove_the_bounds(make):
    H = make(60, 0)
    bracket = bracket_linf_constant(H)
    assert bracket.signs.abs().eq(1).all()
    assert (H @ bracket.signs).abs().sum().item() == pytest.approx(bracket.low)
    assert bracket.weights.sum().item() == pytest.approx(bracket.high)
    for sign in (1, -1):
        assert torch.linalg.eigvalsh(bracket.weights.diag() - sign * H)[0] >= -1e-12


def test_the_upper_bound_is_no_worse_than_the_two_simple_ones():
    for H in (random_psd(80, seed=1), symmetric(80, 2), torch.eye(80).double()):
        high = bracket_linf_constant(H).high
        simple = min(H.abs().sum(), 80 * torch.linalg.matrix_norm(H, 2)).item()
        assert high <= simple * (1 + 1e-6)


def test_the_bracket_closes_where_the_answer_is_known():
    u = rank_one(50, seed=4)
    for H, known in (
        (torch.arange(1.0, 51).diag(), 1275.0),
        (u, u.abs().sum().item()),
        (-u, u.abs().sum().item()),
        (torch.ones(50, 50), 2500.0),
    ):
        bracket = bracket_linf_constant(H)
        assert bracket.low == pytest.approx(known, rel=1e-6)
        assert bracket.high == pytest.approx(known, rel=1e-6)


def test_scale_and_the_order_and_signs_of_coordinates_do_not_matter():
    H = symmetric(10, 5)
    order, signs = (
        torch.randperm(10, generator=torch.Generator().manual_seed(0)),
        torch.ones(10).double(),
    )
    signs[::3] = -1
    turned = (signs[:, None] * H * signs)[order][:, order]
    assert exact_linf_constant(turned) == pytest.approx(exact_linf_constant(H))
    assert exact_linf_constant(1e-200 * H) == pytest.approx(1e-200 * exact_linf_constant(H))
    assert bracket_linf_constant(1e200 * H).low == pytest.approx(1e200 * exact_linf_constant(H))


def test_zero_and_one_dimension():
    assert exact_linf_constant(torch.tensor([[-3.0]])) == 3.0
    assert bracket_linf_constant(torch.tensor([[-3.0]])).high == pytest.approx(3.0)
    assert bracket_linf_constant(torch.zeros(4, 4)).high == 0.0


def test_the_same_seed_gives_the_same_bracket():
    H = random_psd(40, seed=6)
    first, second = bracket_linf_constant(H, seed=1), bracket_linf_constant(H, seed=1)
    assert (first.low, first.high) == (second.low, second.high)


@pytest.mark.parametrize("function", [exact_linf_constant, bracket_linf_constant])
@pytest.mark.parametrize(
    ("H", "error", "message"),
    [
        ([[1.0]], TypeError, "floating-point tensor"),
        (torch.eye(2, dtype=torch.int64), TypeError, "floating-point tensor"),
        (torch.ones(3), ValueError, "square matrix"),
        (torch.ones(2, 3), ValueError, "square matrix"),
        (torch.empty(0, 0), ValueError, "square matrix"),
        (torch.tensor([[1.0, 2.0], [0.0, 1.0]]), ValueError, "symmetric"),
        (torch.tensor([[float("nan")]]), ValueError, "finite"),
    ],
)
def test_bad_matrices_are_refused_by_name(function, H, error, message):
    with pytest.raises(error, match=message):
        function(H)


def test_bad_sizes_are_refused_with_the_way_out():
    with pytest.raises(ValueError, match="bracket_linf_constant"):
        exact_linf_constant(torch.eye(30))
    with pytest.raises(ValueError, match="starts"):
        bracket_linf_constant(torch.eye(3), starts=0)

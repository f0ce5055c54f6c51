"""Rotations: orthogonal for every d, made by their seed, and uniform enough."""

import copy
import math
import pickle

import pytest
import torch

from linfcourse.rotations import (
    Explicit,
    Haar,
    Hadamard,
    Identity,
    PermutedKronecker,
    SignedPermutation,
)
from linfcourse.rotations.hadamard import _Swept
from linfcourse.rotations.kronecker import kronecker_sizes

KINDS = [
    Haar(seed=3),
    Hadamard(seed=3),
    Hadamard(seed=3, rounds=1),
    Hadamard(seed=3, rounds=4),
    PermutedKronecker(seed=3),
    PermutedKronecker(seed=3, rounds=1),
    SignedPermutation(seed=3),
    Identity(),
]
SEEDED = [Haar, Hadamard, PermutedKronecker, SignedPermutation]
every = pytest.mark.parametrize("R", KINDS, ids=repr)
seeded = pytest.mark.parametrize("kind", SEEDED)

GOLDEN = [3.75, -1.25, 4.25, 4.875, 0.875, 6.875, 5.875]
GOLDEN_LARGE = [0.694120999164, -0.431643108223, 1.476743607904, -1.107260380899]


def randn(*shape, dtype=torch.float32, seed=0):
    return torch.randn(*shape, dtype=dtype, generator=torch.Generator().manual_seed(seed))


@every
@pytest.mark.parametrize("d", [1, 2, 3, 4, 5, 7, 16, 63, 64, 65, 67, 100, 127, 130, 257, 499])
def test_matrix_is_orthogonal_and_is_what_is_applied(R, d):
    M = R.matrix(d)
    torch.testing.assert_close(M @ M.T, torch.eye(d, dtype=M.dtype), rtol=0, atol=1e-12)
    x = randn(2, 3, d)
    torch.testing.assert_close(R(x).double(), x.double() @ M.T, rtol=0, atol=1e-5)
    torch.testing.assert_close(R.inverse(x).double(), x.double() @ M, rtol=0, atol=1e-5)


@pytest.mark.parametrize("R", [k for k in KINDS if not isinstance(k, Haar)], ids=repr)
@pytest.mark.parametrize("d", [1021, 4099, 65536, 65537, 70_001, 131_072, 200_003])
def test_large_vectors_keep_their_length_and_come_back(R, d):
    x = randn(d)
    y = R(x)
    assert abs(float(y.norm() / x.norm()) - 1) < 1e-5
    assert float((R.inverse(y) - x).abs().max()) < 1e-5
    torch.testing.assert_close(y, R(x.double()).float(), rtol=0, atol=2e-5)


def test_hadamard_at_the_size_of_gpt2():
    d = 88_984_325
    R, x = Hadamard(seed=0), randn(d)
    y = R.apply_(x.clone())
    assert abs(float(y.norm() / x.norm()) - 1) < 1e-5
    assert abs(float(torch.dot(x, y) / torch.dot(x, x))) < 1e-3  # and it does rotate
    error = R.apply_(y, inverse=True).sub_(x).abs_().max()
    assert float(error) < 1e-5


@every
@pytest.mark.parametrize("d", [70_001, 130, 5])
def test_rows_of_a_batch_are_rotated_alike(R, d):
    if isinstance(R, Haar) and d > 1000:
        pytest.skip("dense")
    x = randn(3, 2, d)
    expected = torch.stack([torch.stack([R(v) for v in row]) for row in x])
    torch.testing.assert_close(R(x), expected, rtol=0, atol=2e-6)


@every
def test_layout_does_not_matter_and_the_input_is_untouched(R):
    x = randn(2, 130)
    kept = x.clone()
    y = R(x)
    assert torch.equal(x, kept) and y.data_ptr() != x.data_ptr()
    wide = torch.zeros(2, 260)
    wide[:, ::2] = x
    for view in (x.T.contiguous().T, wide[:, ::2], torch.cat((x, x))[::3][:1].expand(2, -1)):
        expected = torch.stack([R(v.clone()) for v in view])
        torch.testing.assert_close(R(view), expected, rtol=0, atol=2e-6)


@every
@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16])
def test_dtype_follows_the_input(R, dtype):
    x = randn(100).to(dtype)
    assert R(x).dtype == dtype and R.inverse(x).dtype == dtype
    if dtype == torch.float64:
        torch.testing.assert_close(R.inverse(R(x)), x, rtol=0, atol=1e-13)
    else:  # computed in float32, rounded once
        assert torch.equal(R(x), R(x.float()).to(dtype))


@every
@pytest.mark.parametrize("shape", [(0,), (3, 0), (0, 5)])
def test_empty_tensors_stay_empty(R, shape):
    assert R(torch.zeros(shape)).shape == shape
    assert R.inverse(torch.zeros(shape)).shape == shape


@every
def test_gradients_of_all_orders_and_modes(R):
    x = randn(2, 6, dtype=torch.float64).requires_grad_()
    assert torch.autograd.gradcheck(R, (x,), check_forward_ad=True)
    assert torch.autograd.gradgradcheck(lambda v: R.inverse(v) ** 3, (x,))
    with torch.no_grad():
        assert not R(x).requires_grad


@every
def test_functional_transforms(R):
    x = randn(4, 6, dtype=torch.float64)
    torch.testing.assert_close(torch.func.vmap(R)(x), R(x))
    torch.testing.assert_close(torch.func.vmap(R, in_dims=1)(x.T), R(x))
    torch.testing.assert_close(torch.func.jacrev(R)(x[0]), R.matrix(6))


@pytest.mark.parametrize("R", KINDS[:6], ids=repr)
@pytest.mark.parametrize("precision", ["highest", "high", "medium"])
def test_low_precision_products_do_not_spoil_it(R, precision):
    x = randn(4, 1000)
    expected = R(x)
    torch.set_float32_matmul_precision(precision)
    try:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            torch.testing.assert_close(R(x), expected, rtol=0, atol=1e-5)
            torch.testing.assert_close(R.inverse(R(x)), x, rtol=0, atol=1e-5)
    finally:
        torch.set_float32_matmul_precision("highest")


# A rotation is its seed.


@seeded
def test_the_seed_makes_the_rotation(kind):
    x = randn(100)
    assert torch.equal(kind(seed=1)(x), kind(seed=1)(x))
    assert not torch.equal(kind(seed=1)(x), kind(seed=2)(x))
    torch.manual_seed(7)
    before = torch.get_rng_state()
    kind(seed=1)(x)
    assert torch.equal(torch.get_rng_state(), before)


def test_hadamard_of_a_seed_never_changes():
    # Saved runs and published figures stand on these numbers.
    x = torch.arange(1.0, 8.0, dtype=torch.float64)
    expected = torch.tensor(GOLDEN, dtype=torch.float64)
    torch.testing.assert_close(Hadamard(seed=0)(x), expected, rtol=0, atol=1e-9)
    y = Hadamard(seed=0)(torch.arange(70_001, dtype=torch.float64) / 70_001)
    expected = torch.tensor(GOLDEN_LARGE, dtype=torch.float64)
    torch.testing.assert_close(y[[0, 1, 35_000, 70_000]], expected, rtol=0, atol=1e-9)


@seeded
def test_equality_hash_and_repr_go_by_the_seed(kind):
    assert kind(seed=1) == kind(seed=1) and hash(kind(seed=1)) == hash(kind(seed=1))
    assert kind(seed=1) != kind(seed=2) and kind(seed=1) != Identity()
    assert eval(repr(kind(seed=1))) == kind(seed=1)
    assert Hadamard(seed=1, rounds=2) != Hadamard(seed=1)


@pytest.mark.parametrize("R", [*KINDS, Explicit(Haar(0).matrix(6))], ids=repr)
def test_copies_are_equal_and_small(R):
    x = randn(6)
    expected = R(x)
    stored = pickle.dumps(R)
    if not isinstance(R, Explicit):
        R(randn(300))
        assert len(pickle.dumps(R)) < 1000  # the seed, not the matrix
    for other in (pickle.loads(stored), copy.deepcopy(R)):
        assert other == R and repr(other) == repr(R) and torch.equal(other(x), expected)


def test_caches_are_bounded():
    R = Hadamard(seed=0)
    for d in range(1, 40):
        R(torch.ones(d))
    assert len(R._cache) <= 4
    signs = _Swept(100_000_000, 0, 3, torch.float32, torch.device("cpu")).sweeps[0][1:]
    assert sum(s.untyped_storage().nbytes() for s in signs) < 8e6


@seeded
def test_children_are_other_rotations_of_the_same_kind(kind):
    R = kind(seed=0)
    assert type(R.child(1)) is kind and R.child(1) == R.child(1)
    assert len({R, R.child(0), R.child(1), R.child(2), R.child(1).child(1)}) == 5


# Uniform enough.


def rotated_norm(R, H):
    """‖R diag(H) Rᵀ‖₁,₁."""
    M = R.matrix(len(H))
    return float(((M * H) @ M.T).abs().sum())


def slowly_decaying(d):
    """The spectrum of the rotated quadratic: ten ones, then 1/k²."""
    k = torch.arange(1, d + 1, dtype=torch.float64)
    return torch.cat([torch.ones(10, dtype=torch.float64), 1 / k[: d - 10] ** 2])


def mean_norm(kind, H, seeds=10, **options):
    return sum(rotated_norm(kind(seed=s, **options), H) for s in range(seeds)) / seeds


@pytest.fixture(scope="module")
def haar_norm():
    return mean_norm(Haar, slowly_decaying(1000), seeds=3)


def test_hadamard_is_as_uniform_as_haar(haar_norm):
    H = slowly_decaying(1000)
    assert abs(mean_norm(Hadamard, H) / haar_norm - 1) < 0.02


def test_one_round_of_either_is_not_uniform(haar_norm):
    H = slowly_decaying(1000)
    assert mean_norm(Hadamard, H, 3, rounds=1) < 0.7 * haar_norm
    assert mean_norm(PermutedKronecker, H, 3, rounds=1) < 0.8 * haar_norm


def test_permuted_kronecker_is_as_uniform_as_haar(haar_norm):
    assert abs(mean_norm(PermutedKronecker, slowly_decaying(1000), 5) / haar_norm - 1) < 0.02


@pytest.mark.parametrize("d", [256, 255, 257, 251, 384])
@pytest.mark.parametrize("pattern", ["decaying", "half", "one", "periodic"])
def test_hadamard_is_uniform_for_other_dimensions_and_hessians(d, pattern):
    k = torch.arange(d)
    H = {
        "decaying": slowly_decaying(d),
        "half": (k < d // 2).double(),  # a Hessian that is constant over each of two tensors
        "one": (k == 3).double(),
        "periodic": (k % 16 < 4).double(),
    }[pattern]
    ratio = mean_norm(Hadamard, H) / mean_norm(Haar, H)
    assert abs(ratio - 1) < (0.06 if pattern == "one" else 0.03)


@pytest.mark.parametrize("d", [115_000, 131_072, 1_000_003, 65_536])
@pytest.mark.parametrize("pattern", ["half", "first tenth", "period 64", "runs of 768", "one"])
def test_rows_of_a_large_rotated_hessian_are_like_haars(d, pattern):
    k = torch.arange(d)
    H = {
        "half": k < d // 2,
        "first tenth": k < d // 10,
        "period 64": k % 64 < 32,
        "runs of 768": (k // 768) % 2 == 0,
        "one": k == 3,
    }[pattern].float()
    R, rows = Hadamard(seed=5), [3, d // 3, d // 2 + 1, d - d // 5]
    if pattern == "one":  # R e₃: nearly Gaussian entries
        size = R(H).abs().sum() / math.sqrt(2 * d / math.pi)
        assert abs(float(size) - 1) < 0.06
        return
    units = torch.zeros(len(rows), d)
    units[range(len(rows)), rows] = 1
    product = R(R.inverse(units) * H)
    product[range(len(rows)), rows] = 0
    f = float(H.mean())
    expected = math.sqrt(2 / math.pi * f * (1 - f) * d)
    # Fewer than half the coordinates carry more chance from row to row.
    assert abs(float(product.abs().sum(1).mean()) / expected - 1) < 0.04


def test_haar_has_no_preferred_sign():
    # Without the sign fix the diagonal of Q would lean to one side.
    trace = sum(float(Haar(seed=s).matrix(3).trace()) for s in range(400)) / 400
    assert abs(trace) < 0.2  # standard deviation 1/√400


@pytest.mark.parametrize("d", [64, 97, 1000, 1009, 65_537, 10_000_019, 88_984_325])
def test_kronecker_sizes_are_cubic_and_leave_little(d):
    a, b, c = kronecker_sizes(d)
    assert a * b * c <= d and d - a * b * c <= 0.05 * d
    assert c / a < 2.1
    assert kronecker_sizes(1000) == (10, 10, 10)


# Bad input.


def test_haar_says_when_the_matrix_does_not_fit():
    with pytest.raises(ValueError, match="Hadamard"):
        Haar(seed=0)(torch.zeros(20_000))


@every
@pytest.mark.parametrize(
    "x, error",
    [
        (torch.arange(3), TypeError),
        (torch.zeros(3, dtype=torch.bool), TypeError),
        (torch.zeros(3, dtype=torch.complex64), TypeError),
        (torch.zeros(3, 3).to_sparse(), TypeError),
        ([1.0, 2.0], TypeError),
        (torch.tensor(1.0), ValueError),
    ],
    ids=["int", "bool", "complex", "sparse", "list", "0-d"],
)
def test_bad_vectors_are_refused(R, x, error):
    for act in (R, R.inverse, R.apply_):
        with pytest.raises(error):
            act(x)


@seeded
@pytest.mark.parametrize(
    "seed, error", [(-1, ValueError), (0.5, TypeError), ("a", TypeError), (True, TypeError)]
)
def test_bad_seeds_are_refused(kind, seed, error):
    with pytest.raises(error, match="seed"):
        kind(seed=seed)


@pytest.mark.parametrize("kind", [Hadamard, PermutedKronecker])
@pytest.mark.parametrize("rounds, error", [(0, ValueError), (1.5, TypeError), (True, TypeError)])
def test_bad_rounds_are_refused(kind, rounds, error):
    with pytest.raises(error, match="rounds"):
        kind(rounds=rounds)


@pytest.mark.parametrize(
    "matrix, error",
    [
        (torch.ones(2, 3), ValueError),
        (torch.ones(2, 2), ValueError),
        (torch.full((2, 2), math.nan), ValueError),
        (torch.eye(2, dtype=torch.int64), TypeError),
        (None, TypeError),
    ],
    ids=["oblong", "not orthogonal", "nan", "int", "none"],
)
def test_only_orthogonal_matrices_are_taken(matrix, error):
    with pytest.raises(error, match="matrix"):
        Explicit(matrix)


def test_an_explicit_rotation_is_its_matrix():
    Q = Haar(seed=0).matrix(5)
    R = Explicit(Q)
    x = randn(2, 5, dtype=torch.float64)
    torch.testing.assert_close(R(x), x @ Q.T)
    assert R == Explicit(Q.clone()) and R != Explicit(Q.T.contiguous())
    with pytest.raises(ValueError, match="dimension 4"):
        R(torch.zeros(4))
    Q.zero_()
    torch.testing.assert_close(R.inverse(R(x)), x)  # a copy was kept


def test_apply_in_place_needs_memory_it_may_write():
    R = Hadamard(seed=0)
    with pytest.raises(ValueError, match="contiguous"):
        R.apply_(torch.zeros(4, 4).T)
    with pytest.raises(TypeError, match="float32"):
        R.apply_(torch.zeros(4, dtype=torch.bfloat16))
    with pytest.raises(ValueError, match="no_grad"):
        R.apply_(torch.zeros(4, requires_grad=True))


@every
def test_apply_in_place_is_the_rotation(R):
    x = randn(3, 130)
    y = x.clone()
    assert R.apply_(y) is y and torch.equal(y, R(x))
    assert torch.equal(R.apply_(x.clone(), inverse=True), R.inverse(x))

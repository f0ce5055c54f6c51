"""Each norm against its definition: axioms, duality, outside solvers, numbers that overflow."""

import copy
import pickle

import numpy as np
import pytest
import torch
from scipy.optimize import linprog

from linfcourse.norms import L1, L2, Blockwise, LInf, Norm, Spectral
from linfcourse.partitions import coordinatewise, from_ids, per_row, per_tensor, whole

SHAPES = [(), (1,), (7,), (3, 5), (5, 3), (4, 1), (1, 4), (3, 2, 2, 2)]
NORMS = {
    "L1": L1(),
    "L2": L2(),
    "LInf": LInf(),
    "Spectral": Spectral(),
    "Blockwise": Blockwise(per_row),
    "Blockwise, scattered": None,  # made for each shape
}


def scattered(shape):
    """Labels with gaps, of blocks of several sizes that lie anyhow."""
    d = torch.Size(shape).numel()
    return (torch.arange(d) * 5 % 7 % 3 * 10 + 2).reshape(shape)


def norm_for(name, shape):
    return Blockwise(scattered(shape)) if name == "Blockwise, scattered" else NORMS[name]


def gaussian(shape, seed=0, dtype=torch.float64):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


every_norm = pytest.mark.parametrize("name", NORMS)
every_shape = pytest.mark.parametrize("shape", SHAPES, ids=str)


@every_norm
@every_shape
def test_lmo_attains_the_dual_norm_on_the_unit_sphere(name, shape):
    norm, g = norm_for(name, shape), gaussian(shape)
    s = norm.lmo(g)
    assert s.shape == g.shape and s.dtype == g.dtype
    torch.testing.assert_close((g * s).sum(), -norm.dual(g), rtol=1e-12, atol=0)
    torch.testing.assert_close(norm(s), torch.ones((), dtype=g.dtype), rtol=1e-12, atol=0)


@every_norm
@every_shape
def test_no_point_of_the_ball_goes_below_the_lmo(name, shape):
    norm, g = norm_for(name, shape), gaussian(shape)
    best = (g * norm.lmo(g)).sum()
    for seed in range(1, 200):
        x = gaussian(shape, seed)
        assert (g * x / norm(x)).sum() >= best * (1 + 1e-12)


@every_norm
@every_shape
def test_norm_is_the_dual_of_its_dual(name, shape):
    """‖x‖ = max over ‖g‖_* ≤ 1 of ⟨g, x⟩: never exceeded, attained by a gradient of ‖·‖ at x."""
    norm, x = norm_for(name, shape), gaussian(shape).requires_grad_()
    for seed in range(1, 50):
        g = gaussian(shape, seed)
        assert (g * x).sum() <= norm(x) * norm.dual(g) * (1 + 1e-12)
    (g,) = torch.autograd.grad(norm(x), x)
    torch.testing.assert_close((g * x).sum(), norm(x), rtol=1e-10, atol=0)
    torch.testing.assert_close(norm.dual(g), torch.ones((), dtype=x.dtype), rtol=1e-10, atol=0)


@every_norm
@every_shape
def test_norm_and_dual_satisfy_the_axioms(name, shape):
    for value in (norm_for(name, shape), norm_for(name, shape).dual):
        x, y = gaussian(shape, 1), gaussian(shape, 2)
        assert value(x).shape == ()
        assert value(x) > 0 and value(torch.zeros_like(x)) == 0
        torch.testing.assert_close(value(-3 * x), 3 * value(x), rtol=1e-13, atol=0)
        assert value(x + y) <= (value(x) + value(y)) * (1 + 1e-13)


def linear_program(g, a_ub, b_ub):
    """min ⟨g, s⟩ over a polytope of (s, t), by scipy's simplex and interior-point solvers."""
    extra = a_ub.shape[1] - len(g)
    result = linprog(np.concatenate([g, np.zeros(extra)]), a_ub, b_ub, bounds=(None, None))
    assert result.status == 0
    return result.fun


@pytest.mark.parametrize("seed", range(3))
def test_lmo_of_l1_and_linf_agrees_with_a_linear_program(seed):
    g = gaussian((3, 4), seed)
    flat, eye = g.flatten().numpy(), np.eye(12)
    box = linear_program(flat, np.vstack([eye, -eye]), np.ones(24))
    cross = np.block([[eye, -eye], [-eye, -eye], [np.zeros((1, 12)), np.ones((1, 12))]])
    diamond = linear_program(flat, cross, np.concatenate([np.zeros(24), [1.0]]))
    assert float((g * LInf().lmo(g)).sum()) == pytest.approx(box, rel=1e-9)
    assert float((g * L1().lmo(g)).sum()) == pytest.approx(diamond, rel=1e-9)


@every_shape
def test_values_agree_with_numpy(shape):
    x = gaussian(shape)
    a = x.numpy()
    matrix = a.reshape(-1, 1) if a.ndim < 2 else a.reshape(a.shape[0], -1)
    expected = {
        L1(): np.abs(a).sum(),
        L2(): np.sqrt((a**2).sum()),
        LInf(): np.abs(a).max(),
        Spectral(): np.linalg.norm(matrix, 2),
    }
    for norm, value in expected.items():
        assert float(norm(x)) == pytest.approx(float(value), rel=1e-13)
    assert float(Spectral().dual(x)) == pytest.approx(float(np.linalg.norm(matrix, "nuc")))
    labels = scattered(shape).numpy()
    blocks = [a[labels == b] for b in np.unique(labels)]
    norm = Blockwise(torch.from_numpy(labels) if labels.ndim else torch.tensor(int(labels)))
    assert float(norm(x)) == pytest.approx(max(np.sqrt((b**2).mean()) for b in blocks), rel=1e-13)
    dual = sum(np.sqrt(b.size * (b**2).sum()) for b in blocks)
    assert float(norm.dual(x)) == pytest.approx(dual, rel=1e-13)


def test_lmo_formulas():
    g = torch.tensor([[3.0, 0.0], [-4.0, 0.0]])
    assert torch.equal(LInf().lmo(g), torch.tensor([[-1.0, 0.0], [1.0, 0.0]]))
    torch.testing.assert_close(L2().lmo(g), -g / 5)
    assert torch.equal(L1().lmo(g), torch.tensor([[0.0, 0.0], [1.0, 0.0]]))
    torch.testing.assert_close(Spectral().lmo(g), -g / 5)
    torch.testing.assert_close(
        Blockwise(per_row).lmo(g), torch.tensor([[-(2**0.5), 0], [2**0.5, 0]])
    )


def test_l1_takes_the_first_of_equal_coordinates():
    g = torch.tensor([[1.0, -2.0], [2.0, -2.0]])
    assert torch.equal(L1().lmo(g), torch.tensor([[0.0, 1.0], [0.0, 0.0]]))


@every_norm
@pytest.mark.parametrize("shape", [(), (6,), (3, 4), (0,), (0, 3), (3, 0)], ids=str)
def test_zero_and_empty_tensors_have_norm_zero_and_lmo_zero(name, shape):
    norm, zero = norm_for(name, shape), torch.zeros(shape)
    assert norm(zero) == 0 and norm.dual(zero) == 0
    assert torch.equal(norm.lmo(zero), zero)


def test_a_zero_block_stays_and_the_others_move():
    norm = Blockwise(torch.tensor([0, 1, 0, 1]))
    s = norm.lmo(torch.tensor([0.0, 3.0, 0.0, 4.0]))
    torch.testing.assert_close(s, torch.tensor([0.0, -0.6, 0.0, -0.8]) * 2**0.5)


@every_norm
@pytest.mark.parametrize("power", [-120, -60, 60, 120])
@pytest.mark.parametrize("shape", [(40,), (8, 5)], ids=str)
def test_scale_of_the_gradient_does_not_matter_even_where_squares_overflow(name, power, shape):
    norm, g = norm_for(name, shape), gaussian(shape, dtype=torch.float32)
    scaled = torch.ldexp(g, torch.tensor(power))  # exact
    torch.testing.assert_close(norm.lmo(scaled), norm.lmo(g), rtol=2e-6, atol=1e-7)
    torch.testing.assert_close(
        torch.ldexp(norm(scaled), torch.tensor(-power)), norm(g), rtol=2e-6, atol=0
    )


@every_norm
def test_subnormal_gradients_keep_the_step_in_the_ball(name):
    norm, g = norm_for(name, (4,)), torch.full((4,), 1e-45)
    s = norm.lmo(g)
    torch.testing.assert_close(norm(s), torch.tensor(1.0))
    assert (s <= 0).all()


@every_norm
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_computed_in_float32(name, dtype):
    norm, g = norm_for(name, (30, 40)), (300 * gaussian((30, 40))).to(dtype)
    s = norm.lmo(g)
    assert s.dtype == dtype
    assert torch.equal(s, norm.lmo(g.float()).to(dtype))
    assert torch.equal(norm(g), norm(g.float())) and norm(g).dtype == torch.float32
    assert torch.equal(norm.dual(g), norm.dual(g.float())) and torch.isfinite(norm.dual(g))


@pytest.mark.parametrize("norm", [L1(), L2(), Blockwise(per_tensor)], ids=repr)
def test_long_sums_keep_their_digits(norm):
    """torch.linalg.vector_norm of these 30 million float32 numbers is off by 13 % for ℓ1."""
    d = 30_000_000
    x = torch.full((d,), 0.01)
    expected = {L1: 0.01 * d, L2: 0.01 * d**0.5, Blockwise: 0.01}[type(norm)]
    assert float(norm(x)) == pytest.approx(expected, rel=2e-6)


@every_norm
@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_values_that_are_not_finite_are_not_hidden(name, bad):
    norm, g = norm_for(name, (3, 4)), gaussian((3, 4))
    g[1, 2] = bad
    assert not torch.isfinite(norm(g)) and not torch.isfinite(norm.dual(g))
    if isinstance(norm, Spectral):
        with pytest.raises(ValueError, match="NaN or infinite"):
            norm.lmo(g)
    else:
        assert torch.isnan(norm.lmo(g)[1, 2])


@pytest.mark.parametrize("name", ["L1", "L2", "LInf", "Blockwise", "Blockwise, scattered"])
def test_a_complex_tensor_is_its_pairs_of_reals(name):
    shape = (3, 4)
    z = torch.complex(gaussian(shape, 1), gaussian(shape, 2))
    norm, pairs = norm_for(name, shape), torch.view_as_real(z)
    real_norm = norm
    if name == "Blockwise, scattered":
        real_norm = Blockwise(scattered(shape).unsqueeze(-1).expand(3, 4, 2))
    assert norm(z) == real_norm(pairs) and norm.dual(z) == real_norm.dual(pairs)
    assert torch.equal(torch.view_as_real(norm.lmo(z)), real_norm.lmo(pairs))
    assert torch.equal(norm.lmo(z.conj()), norm.lmo(z.conj().resolve_conj()))


@every_norm
def test_strides_do_not_matter(name):
    x = gaussian((8, 6))[::2].T
    norm = norm_for(name, (6, 4))
    for value in (norm, norm.dual, norm.lmo):
        torch.testing.assert_close(value(x), value(x.contiguous()), rtol=1e-13, atol=1e-15)


@every_norm
def test_arguments_are_left_as_they_are(name):
    g = gaussian((3, 4))
    before, norm = g.clone(), norm_for(name, (3, 4))
    norm(g), norm.dual(g), norm.lmo(g), norm.lmo_joint([g])
    assert torch.equal(g, before)


@pytest.mark.parametrize("norm", [L1(), L2(), LInf(), Blockwise(whole)], ids=repr)
def test_the_joint_lmo_is_that_of_one_long_vector(norm):
    gs = [gaussian((3, 2), 1), gaussian((), 2), gaussian((0,), 3), gaussian((4,), 4)]
    expected = norm.lmo(torch.cat([g.flatten() for g in gs]))
    steps = norm.lmo_joint(gs)
    assert [s.shape for s in steps] == [g.shape for g in gs]
    torch.testing.assert_close(
        torch.cat([s.flatten() for s in steps]), expected, rtol=1e-13, atol=0
    )


def test_spectral_lmo_is_minus_the_polar_factor():
    g = gaussian((5, 3))
    u, _, vt = np.linalg.svd(g.numpy(), full_matrices=False)
    np.testing.assert_allclose(Spectral().lmo(g).numpy(), -u @ vt, atol=1e-13)


def test_spectral_lmo_does_not_move_in_directions_without_gradient():
    g = gaussian((6, 2)) @ gaussian((2, 5), 1)
    s = Spectral().lmo(g)
    sigma = torch.linalg.svdvals(s)
    torch.testing.assert_close(sigma, torch.tensor([1.0, 1, 0, 0, 0], dtype=g.dtype))
    torch.testing.assert_close((g * s).sum(), -Spectral().dual(g), rtol=1e-12, atol=0)


def test_spectral_commutes_with_rotations_on_both_sides():
    g = gaussian((5, 3))
    q, r = torch.linalg.qr(gaussian((5, 5), 1))[0], torch.linalg.qr(gaussian((3, 3), 2))[0]
    torch.testing.assert_close(Spectral().lmo(q @ g @ r), q @ Spectral().lmo(g) @ r)


def test_spectral_sees_a_kernel_as_a_matrix_and_a_vector_as_a_column():
    kernel, vector = gaussian((4, 2, 3, 3)), gaussian((5,))
    expected = Spectral().lmo(kernel.reshape(4, 18)).reshape(kernel.shape)
    assert torch.equal(Spectral().lmo(kernel), expected)
    torch.testing.assert_close(Spectral().lmo(vector), L2().lmo(vector))


@pytest.mark.parametrize("shape", [(40, 30), (30, 40), (30, 30, 2)], ids=str)
def test_newton_schulz_is_near_the_polar_factor(shape):
    g = gaussian(shape, dtype=torch.float32)
    rough, exact = Spectral("newton_schulz").lmo(g), Spectral().lmo(g)
    sigma = torch.linalg.svdvals(rough.flatten(1))
    assert sigma.max() < 1.25 and sigma.median() > 0.7
    assert (rough * exact).sum() / (rough.norm() * exact.norm()) > 0.95


def test_more_newton_schulz_steps_lift_small_singular_values():
    g = torch.diag(torch.tensor([1.0, 1e-4]))
    lifted = [float(Spectral("newton_schulz", steps=k).lmo(g)[1, 1].abs()) for k in (1, 3, 5, 8)]
    assert lifted == sorted(lifted) and lifted[0] < 1e-3 and lifted[-1] > 0.5


def test_blockwise_of_singletons_is_linf_and_of_one_block_is_l2_by_root_d():
    x = gaussian((3, 4))
    for one, many in (
        (Blockwise(whole), Blockwise(coordinatewise)),
        (
            Blockwise(torch.zeros(3, 4, dtype=torch.int64)),
            Blockwise(torch.arange(12).reshape(3, 4)),
        ),
    ):
        torch.testing.assert_close(many(x), LInf()(x))
        torch.testing.assert_close(many.dual(x), LInf().dual(x))
        torch.testing.assert_close(many.lmo(x), LInf().lmo(x))
        torch.testing.assert_close(one(x), L2()(x) / 12**0.5)
        torch.testing.assert_close(one.dual(x), L2()(x) * 12**0.5)
        torch.testing.assert_close(one.lmo(x), L2().lmo(x) * 12**0.5)


def test_blockwise_asks_a_partition_rule_for_labels():
    x = gaussian((3, 4))
    rows = torch.arange(3).unsqueeze(1).expand(3, 4)
    rule = from_ids({x: rows.contiguous()})
    for norm in (Blockwise(per_row), Blockwise(rule)):
        torch.testing.assert_close(norm(x), Blockwise(rows)(x))
        torch.testing.assert_close(norm.lmo(x), Blockwise(rows).lmo(x))
    with pytest.raises(ValueError, match="cover"):
        Blockwise(rule)(gaussian((3, 4)))


def test_blockwise_in_order_and_out_of_order_agree():
    x, shuffle = gaussian((24,)), torch.randperm(24, generator=torch.Generator().manual_seed(0))
    ids = torch.arange(24) // 6
    torch.testing.assert_close(
        Blockwise(ids).lmo(x)[shuffle], Blockwise(ids[shuffle]).lmo(x[shuffle])
    )


def test_blockwise_keeps_its_own_copy_of_the_labels():
    ids = torch.tensor([0, 0, 1])
    norm, x = Blockwise(ids), gaussian((3,))
    before = norm(x)
    ids.fill_(0)
    assert norm(x) == before


def test_norms_compare_print_pickle_and_copy():
    ids = torch.tensor([0, 1, 1])
    assert LInf() == LInf() and LInf() != L2() and Spectral(steps=3) != Spectral()
    assert Blockwise(ids) == Blockwise(ids.clone()) != Blockwise(ids * 2 + torch.arange(3))
    assert Blockwise(per_row) == Blockwise(per_row) != Blockwise(whole)
    assert [repr(n) for n in (L1(), Spectral())] == ["L1()", "Spectral('svd', 5)"]
    assert repr(Blockwise(per_row)) == "Blockwise(per_row)" and "(3,)" in repr(Blockwise(ids))
    norms = [L1(), L2(), LInf(), Spectral("newton_schulz"), Blockwise(per_row), Blockwise(ids)]
    for norm in norms:
        for twin in (pickle.loads(pickle.dumps(norm)), copy.deepcopy(norm)):
            assert twin == norm and hash(twin) == hash(norm)
            assert torch.equal(twin.lmo(torch.ones(3)), norm.lmo(torch.ones(3)))


@every_norm
def test_tensors_that_have_no_norm_are_refused_in_words(name):
    norm = norm_for(name, (3,))
    for bad in (torch.arange(3), torch.ones(3).bool(), torch.ones(3).to_sparse(), [1.0, 2.0, 3.0]):
        for method in (norm, norm.dual, norm.lmo):
            with pytest.raises(TypeError, match="a norm takes"):
                method(bad)


def test_bad_arguments_are_refused_in_words():
    with pytest.raises(ValueError, match="method must be"):
        Spectral("qr")
    for steps in (0, -1, 2.5, True, "5"):
        with pytest.raises(ValueError, match="steps must be"):
            Spectral(steps=steps)
    for blocks in (torch.zeros(3), torch.zeros(3).bool(), [0, 0, 1], None, "per_row", 3):
        with pytest.raises(TypeError, match="blocks must"):
            Blockwise(blocks)
    for shape in ((4,), (3, 1), (6,), ()):
        with pytest.raises(ValueError, match="give one label for each"):
            Blockwise(torch.tensor([0, 0, 1]))(torch.ones(shape))
    with pytest.raises(TypeError, match="real tensors"):
        Spectral().lmo(torch.ones(2, 2, dtype=torch.complex64))


def test_a_norm_of_ones_own_needs_three_methods():
    class Doubled(Norm):
        def __call__(self, x):
            return 2 * LInf()(x)

        def dual(self, g):
            return LInf().dual(g) / 2

        def lmo(self, g):
            return LInf().lmo(g) / 2

    steps = Doubled().lmo_joint([torch.ones(2), -torch.ones(1)])
    assert [s.tolist() for s in steps] == [[-0.5, -0.5], [0.5]]

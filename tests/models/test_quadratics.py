"""Quadratics and their rotations."""

import math

import pytest
import scipy.linalg
import torch

from linfcourse.models import (
    Quadratic,
    example_hessians,
    hard_spectrum,
    heavy_tailed_rows,
    narrow_valley,
    random_psd,
    rank_one,
    rotation_family,
)


def psd(d, seed=0):
    G = torch.randn(d, d, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    return G @ G.T


def orthogonal(d, seed=5):
    G = torch.randn(d, d, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    return torch.linalg.qr(G).Q


@pytest.mark.parametrize("d", [1, 2, 7])
def test_gradient_is_hx_and_hessian_is_h(d):
    H = psd(d)
    problem = Quadratic(H, seed=1)
    (gradient,) = torch.autograd.grad(problem.loss(), problem.x)
    torch.testing.assert_close(gradient, H @ problem.x.detach())
    torch.testing.assert_close(torch.autograd.functional.hessian(problem, problem.x.detach()), H)


def test_diagonal_is_the_dense_one():
    h = torch.tensor([3.0, 0.5, 0.0], dtype=torch.float64)
    x = torch.randn(4, 3, dtype=torch.float64)
    assert torch.equal(Quadratic(h).dense(), h.diag())
    torch.testing.assert_close(Quadratic(h)(x), Quadratic(h.diag())(x))
    assert Quadratic(h)(x).shape == (4,)


def test_start_is_seeded_and_the_same_in_every_dtype():
    a, b = Quadratic(torch.ones(5), seed=3), Quadratic(torch.ones(5, dtype=torch.float64), seed=3)
    assert torch.equal(a.x, b.x.float())
    assert not torch.equal(a.x, Quadratic(torch.ones(5), seed=4).x)


@pytest.mark.parametrize("diagonal", [False, True])
def test_rotated_is_the_same_loss_in_other_coordinates(diagonal):
    problem, R = Quadratic(psd(6).diag() if diagonal else psd(6)), orthogonal(6)
    turned = problem.rotated(R)
    x = torch.randn(6, dtype=torch.float64)
    torch.testing.assert_close(turned(R @ x), problem(x))
    torch.testing.assert_close(turned.dense(), R @ problem.dense() @ R.T)
    torch.testing.assert_close(turned.x.detach(), R @ problem.x.detach())


def test_rotated_takes_a_function_of_the_last_dimension():
    problem, R = Quadratic(psd(6)), orthogonal(6)
    by_function = problem.rotated(lambda rows: rows @ R.T)
    torch.testing.assert_close(by_function.dense(), problem.rotated(R).dense())


def test_gradient_descent_does_not_see_the_rotation_and_adam_does():
    def losses(problem, make):
        optimizer = make([problem.x])
        out = []
        for _ in range(30):
            optimizer.zero_grad()
            loss = problem.loss()
            loss.backward()
            optimizer.step()
            out.append(loss.item())
        return torch.tensor(out)

    def sgd(params):
        return torch.optim.SGD(params, lr=0.3)

    def adam(params):
        return torch.optim.Adam(params, lr=0.1)

    pair = [Quadratic(hard_spectrum(30)), Quadratic(hard_spectrum(30)).rotated(orthogonal(30))]
    torch.testing.assert_close(*[losses(p, sgd) for p in pair], rtol=1e-9, atol=0)
    pair = [Quadratic(hard_spectrum(30)), Quadratic(hard_spectrum(30)).rotated(orthogonal(30))]
    straight, turned = (losses(p, adam) for p in pair)
    assert turned[-1] > 1.3 * straight[-1]


@pytest.mark.parametrize(
    ("hessian", "error", "named"),
    [
        ([[1.0]], TypeError, "hessian"),
        (torch.eye(2, dtype=torch.int64), TypeError, "hessian"),
        (torch.eye(2, dtype=torch.complex64), TypeError, "hessian"),
        (torch.ones(2, 3), ValueError, "square"),
        (torch.ones(2, 2, 2), ValueError, "square"),
        (torch.ones(0), ValueError, "square"),
        (torch.tensor([[1.0, 2.0], [0.0, 1.0]]), ValueError, "symmetric"),
        (torch.tensor([1.0, math.nan]), ValueError, "finite"),
    ],
)
def test_quadratic_refuses_what_is_no_hessian(hessian, error, named):
    with pytest.raises(error, match=named):
        Quadratic(hessian)


def test_quadratic_refuses_a_start_that_does_not_fit():
    with pytest.raises(ValueError, match="start"):
        Quadratic(torch.ones(3), start=torch.ones(2))


@pytest.mark.parametrize("rotation", [torch.eye(2, dtype=torch.float64), 2 * torch.eye(3)])
def test_rotated_refuses_what_is_no_rotation(rotation):
    with pytest.raises(ValueError, match="rotation"):
        Quadratic(torch.ones(3, dtype=torch.float64)).rotated(rotation)


def test_rotated_refuses_what_cannot_be_called():
    with pytest.raises(TypeError, match="rotation"):
        Quadratic(torch.ones(3)).rotated("haar")


def test_hard_spectrum():
    h = hard_spectrum()
    assert h.shape == (1000,) and h.dtype == torch.float64
    assert (h[:11] == 1).all() and h[-1] == 1 / 990**2
    assert hard_spectrum(5, heavy=5).tolist() == [1.0] * 5
    assert hard_spectrum(3, heavy=0, dtype=torch.float32).tolist() == pytest.approx(
        [1, 1 / 4, 1 / 9]
    )


@pytest.mark.parametrize("arguments", [{"d": 0}, {"d": 3.0}, {"d": 5, "heavy": 6},
                                       {"d": 5, "heavy": -1}])  # fmt: skip
def test_hard_spectrum_refuses_what_does_not_fit(arguments):
    with pytest.raises(ValueError, match="must be an integer"):
        hard_spectrum(**arguments)


class TestRotationFamily:
    @pytest.mark.parametrize("d", [1, 2, 9, 30])
    def test_is_the_matrix_exponential(self, d):
        A = torch.randn(d, d, dtype=torch.float64, generator=torch.Generator().manual_seed(4))
        M = (A - A.T) / (2 * math.sqrt(d))
        family = rotation_family(d, seed=4)
        for t in (0.0, 0.03, 1.0, -2.0, 10.0):
            expected = torch.from_numpy(scipy.linalg.expm(t * M.numpy()))
            torch.testing.assert_close(family(t), expected, rtol=0, atol=1e-12)

    def test_is_orthogonal_with_determinant_one(self):
        R = rotation_family(25, seed=1)(3.0)
        torch.testing.assert_close(R @ R.T, torch.eye(25, dtype=torch.float64))
        assert torch.linalg.det(R).item() == pytest.approx(1.0)

    def test_rotates_vectors_as_its_matrix_does(self):
        family, x = rotation_family(8, seed=1), torch.randn(3, 2, 8)
        out = family.rotate(x, 0.7)
        assert out.dtype == torch.float32
        torch.testing.assert_close(out, (x.double() @ family(0.7).T).float())
        with pytest.raises(ValueError, match="8 numbers"):
            family.rotate(torch.ones(7), 0.7)

    def test_dtype(self):
        assert rotation_family(3, dtype=torch.float32)(1.0).dtype == torch.float32

    @pytest.mark.parametrize("d", [0, -1, 2.0, True])
    def test_refuses_a_dimension_that_is_none(self, d):
        with pytest.raises(ValueError, match="d must be"):
            rotation_family(d)

    def test_the_11_norm_grows_from_the_trace_to_haars(self):
        """The hard spectrum, d = 1000: from its trace, past d‖H‖₂ = 1000, to that of a Haar R."""
        problem, family = Quadratic(hard_spectrum()), rotation_family(1000, seed=0)
        norms = [problem.rotated(family(t)).dense().abs().sum().item()
                 for t in (0, 0.03, 0.1, 0.3, 1, 10)]  # fmt: skip
        assert norms == sorted(norms)
        assert norms == pytest.approx([11.6, 25, 65, 242, 1323, 2595], rel=0.05)


@pytest.mark.parametrize("angle", [0.0, 0.4, math.pi / 4, -2.0])
def test_narrow_valley_has_its_condition_and_its_direction(angle):
    H = narrow_valley(30.0, angle).dense()
    assert torch.linalg.eigvalsh(H).tolist() == pytest.approx([1.0, 30.0])
    floor = torch.tensor([math.cos(angle), math.sin(angle)], dtype=torch.float64)
    torch.testing.assert_close(H @ floor, floor)


@pytest.mark.parametrize("arguments", [{"condition": 0.5}, {"condition": math.inf},
                                       {"angle": math.nan}])  # fmt: skip
def test_narrow_valley_refuses_what_does_not_fit(arguments):
    with pytest.raises(ValueError, match=next(iter(arguments))):
        narrow_valley(**arguments)


class TestExampleHessians:
    @pytest.mark.parametrize("d", [1, 2, 37])
    def test_are_symmetric_psd_and_seeded(self, d):
        again, other = example_hessians(d, seed=3), example_hessians(d, seed=4)
        for name, H in example_hessians(d, seed=3).items():
            assert H.shape == (d, d) and H.dtype == torch.float64
            assert torch.equal(H, H.T), name
            eigenvalues = torch.linalg.eigvalsh(H)
            assert eigenvalues[0] > -1e-10 * eigenvalues[-1], name
            assert torch.equal(H, again[name]), name
            if d > 1 and name != "diagonal":
                assert not torch.allclose(H, other[name]), name

    def test_rank(self):
        assert torch.linalg.matrix_rank(rank_one(20)) == 1
        assert torch.linalg.matrix_rank(random_psd(20, rank=7)) == 7
        assert torch.linalg.matrix_rank(random_psd(20, rank=40)) == 20

    def test_rotated_has_the_hard_spectrum(self):
        H = example_hessians(40)["rotated"]
        torch.testing.assert_close(torch.linalg.eigvalsh(H).flip(0), hard_spectrum(40))

    def test_rows_get_heavier_tails_with_sigma(self):
        def share(sigma):
            rows = heavy_tailed_rows(200, sigma).abs().sum(1)
            return (rows.topk(10).values.sum() / rows.sum()).item()

        assert share(0.0) < 0.1 < share(1.0) < share(2.0) < share(4.0)

    @pytest.mark.parametrize("arguments", [{"d": 0}, {"d": 3, "rank": 0}, {"d": 3, "rank": 1.0}])
    def test_random_psd_refuses_what_does_not_fit(self, arguments):
        with pytest.raises(ValueError, match="must be an integer"):
            random_psd(**arguments)

    def test_heavy_tailed_rows_refuse_a_negative_spread(self):
        with pytest.raises(ValueError, match="sigma"):
            heavy_tailed_rows(3, sigma=-1.0)

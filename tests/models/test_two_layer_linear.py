"""The two-layer linear network: its Hessian's diagonal, and what the optimizers make of it."""

import pytest
import torch

from linfcourse.models import TwoLayerLinear, two_layer_linear_problem


@pytest.mark.parametrize(("m", "n", "hidden"), [(1, 4, None), (3, 2, 5), (2, 6, 1)])
def test_hessian_diagonal_agrees_with_autograd(m, n, hidden):
    target = torch.randn(m, n, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    model = TwoLayerLinear(target, hidden, init_std=1.0, seed=3)

    def loss(first, second):
        return 0.5 * (second @ first - target).square().sum()

    parameters = (model.first.detach(), model.second.detach())
    blocks = torch.autograd.functional.hessian(loss, parameters)
    ours = model.hessian_diagonal()
    for i, name in enumerate(("first", "second")):
        size = parameters[i].numel()
        expected = blocks[i][i].reshape(size, size).diag().view_as(parameters[i])
        torch.testing.assert_close(ours[name], expected)
    torch.testing.assert_close(model.loss(), loss(*parameters))


def test_gradient_descent_makes_the_diagonal_uneven_and_adam_does_not():
    """At a tenth of the first loss, d = 50: the claim of the chapter, on the mean of five seeds."""

    def unevenness(make):
        ratios = []
        for seed in range(5):
            model = two_layer_linear_problem(50, seed=seed)
            optimizer = make(model.parameters())
            first = model.loss().item()
            while (loss := model.loss()).item() > 0.1 * first:
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            diagonal = model.hessian_diagonal()["first"]
            ratios.append((diagonal.max() / diagonal.median()).item())
        return sum(ratios) / len(ratios)

    gd = unevenness(lambda p: torch.optim.SGD(p, lr=2e-3, momentum=0.9))
    adam = unevenness(lambda p: torch.optim.Adam(p, lr=1e-3, betas=(0.9, 0.99)))
    assert gd > 8 and adam < 1.3


def test_start_is_small_seeded_and_independent_of_the_target():
    a, b = two_layer_linear_problem(40, seed=1), two_layer_linear_problem(40, seed=1)
    assert torch.equal(a.first, b.first) and torch.equal(a.target, b.target)
    assert not torch.equal(a.target, two_layer_linear_problem(40, seed=2).target)
    assert a.first.std().item() == pytest.approx(40**-1.5, rel=0.1)
    rows = torch.cat([a.target / a.target.std(), a.first / a.first.std(),
                      a.second / a.second.std()])  # fmt: skip
    correlation = (rows @ rows.T / 40).fill_diagonal_(0)
    assert correlation.abs().max() < 0.8  # 1 if the same stream were used twice


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_dtype_changes_the_precision_and_not_the_problem(dtype):
    model = two_layer_linear_problem(10, seed=1, dtype=dtype)
    assert model.first.dtype == dtype and model.loss().dtype == dtype
    reference = two_layer_linear_problem(10, seed=1)
    assert torch.equal(model.first, reference.first.to(dtype))


@pytest.mark.parametrize(
    ("arguments", "error", "named"),
    [
        ({"target": [[1.0]]}, TypeError, "target"),
        ({"target": torch.ones(2, 2, dtype=torch.int64)}, TypeError, "target"),
        ({"target": torch.ones(2)}, ValueError, "target"),
        ({"target": torch.ones(0, 2)}, ValueError, "target"),
        ({"target": torch.ones(1, 2), "hidden": 0}, ValueError, "hidden"),
        ({"target": torch.ones(1, 2), "hidden": 1.5}, TypeError, "hidden"),
        ({"target": torch.ones(1, 2), "init_std": -1.0}, ValueError, "init_std"),
    ],
)
def test_refuses_what_does_not_fit(arguments, error, named):
    with pytest.raises(error, match=named):
        TwoLayerLinear(**arguments)


@pytest.mark.parametrize(("d", "error"), [(0, ValueError), (2.5, TypeError), (True, TypeError)])
def test_problem_refuses_a_dimension_that_is_none(d, error):
    with pytest.raises(error, match="d must be"):
        two_layer_linear_problem(d)

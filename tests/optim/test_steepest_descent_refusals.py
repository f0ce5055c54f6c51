"""What steepest descent refuses, and that nothing has changed then; gradients stay as they are."""

import pytest
import torch

from linfcourse.norms import L2, Blockwise, LInf, Spectral
from linfcourse.optim.steepest_descent import NormalizedSGD, SignSGD, SteepestDescent
from tests.optim.descents import assert_same, every_norm, gradients, parameters


@every_norm
@pytest.mark.parametrize("joint", [False, True])
def test_gradients_are_left_as_they_are(norm, joint):
    if joint and isinstance(norm, Spectral):
        pytest.skip("refused")
    params = parameters()
    optimizer = SteepestDescent(params, 0.1, norm, 0.9, 0.1, joint, nesterov=True, maximize=True)
    for _ in gradients(params, 2):
        before = [p.grad.clone() for p in params]
        optimizer.step()
        assert_same([p.grad for p in params], before)


@pytest.mark.parametrize("make", [SignSGD, NormalizedSGD], ids=lambda c: c.__name__)
def test_a_gradient_that_is_not_finite_is_not_hidden(make):
    p = torch.nn.Parameter(torch.ones(2))
    p.grad = torch.tensor([1.0, float("nan")])
    make([p], 0.5).step()
    assert torch.isnan(p[1])


@pytest.mark.parametrize("method", ["svd", "newton_schulz"])
def test_spectral_descent_refuses_what_is_not_finite_before_anything_changes(method):
    p, q = torch.nn.Parameter(torch.ones(2, 2)), torch.nn.Parameter(torch.ones(3, 2))
    optimizer = SteepestDescent([p, q], 0.1, Spectral(method), momentum=0.9)
    p.grad, q.grad = torch.ones(2, 2), torch.full((3, 2), float("nan"))
    with pytest.raises(ValueError, match=r"gradient of a parameter of shape \(3, 2\) has NaN"):
        optimizer.step()
    assert torch.equal(p, torch.ones(2, 2)) and not optimizer.state


@pytest.mark.parametrize("joint", [False, True])
def test_a_sparse_gradient_is_refused_before_anything_changes(joint):
    p, q = torch.nn.Parameter(torch.ones(2)), torch.nn.Parameter(torch.ones(3))
    p.grad, q.grad = torch.ones(2), torch.ones(3).to_sparse()
    optimizer = SteepestDescent({"p": p, "q": q}.items(), 0.1, L2(), 0.9, joint=joint)
    with pytest.raises(TypeError, match=r"'q' of shape .* is sparse"):
        optimizer.step()
    assert torch.equal(p, torch.ones(2)) and not optimizer.state


@pytest.mark.parametrize("joint", [False, True])
def test_a_step_without_gradients_does_nothing(joint):
    (p,) = parameters(shapes=((3,),))
    before = p.detach().clone()
    optimizer = SteepestDescent([p], 0.1, L2(), 0.9, 0.1, joint)
    assert optimizer.step() is None and optimizer.step(lambda: 3.0) == 3.0
    assert torch.equal(p, before) and not optimizer.state


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"lr": -1.0}, ValueError, "lr must be"),
        ({"lr": float("nan")}, ValueError, "lr must be"),
        ({"lr": torch.ones(2)}, ValueError, "one element"),
        ({"lr": None}, TypeError, "lr must be a number"),
        ({"momentum": 1.0}, ValueError, r"momentum must be in \[0, 1\)"),
        ({"momentum": -0.1}, ValueError, "momentum must be"),
        ({"weight_decay": float("inf")}, ValueError, "weight_decay must be"),
        ({"norm": LInf}, TypeError, r"not the class LInf: LInf\(\)"),
        ({"norm": "l2"}, TypeError, "object of linfcourse.norms"),
        ({"norm": torch.linalg.vector_norm}, TypeError, "object of linfcourse.norms"),
        ({"norm": Blockwise(torch.zeros(3, dtype=torch.int64))}, ValueError, "one label for each"),
        ({"nesterov": 1}, TypeError, "nesterov must be True or False"),
        ({"maximize": "yes"}, TypeError, "maximize must be True or False"),
    ],
)
def test_bad_arguments_are_refused_in_words(options, error, words):
    p = torch.nn.Parameter(torch.ones(2))
    with pytest.raises(error, match=words):
        SteepestDescent([p], **{"lr": 0.1, **options})
    optimizer = SteepestDescent([p], 0.1)
    with pytest.raises(error, match=words):
        optimizer.add_param_group({"params": [torch.nn.Parameter(torch.ones(2))], **options})
    p.grad = torch.ones(2)
    optimizer.step()  # as if nothing had been said
    assert len(optimizer.param_groups) == 1 and torch.equal(p, torch.full((2,), 0.9))

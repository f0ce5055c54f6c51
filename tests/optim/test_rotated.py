"""Rotated: any optimizer in rotated coordinates. (PyTorch's habits: test_pytorch_habits.py.)"""

import copy
import io
import pickle

import pytest
import torch
from torch import nn

from linfcourse.optim import AdaSGD, Rotated
from linfcourse.rotations import (
    Explicit,
    Haar,
    Hadamard,
    Identity,
    PermutedKronecker,
    SignedPermutation,
)

SCOPES = ["global", "per_tensor", "output", "input"]
every_scope = pytest.mark.parametrize("scope", SCOPES)


def new_model(dtype=torch.float64, seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(5, 7), nn.Tanh(), nn.Linear(7, 3)).to(dtype)


class TiedLM(nn.Module):
    """An embedding that is the output layer too."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.table = nn.Embedding(11, 6)
        self.hidden = nn.Linear(6, 6)
        self.head = nn.Linear(6, 11, bias=False)
        self.head.weight = self.table.weight
        self.double()

    def forward(self, tokens):
        return self.head(torch.tanh(self.hidden(self.table(tokens))))


def loss_of(model, k=0):
    g = torch.Generator().manual_seed(k)
    if isinstance(model, TiedLM):
        tokens = torch.randint(11, (8, 2), generator=g)
        return nn.functional.cross_entropy(model(tokens[:, 0]), tokens[:, 1])
    p = next(model.parameters())
    x = torch.randn(16, 5, generator=g).to(p.dtype)
    return (model(x) - x[:, :3].cumsum(1).sin()).square().mean()


def train(optimizer, model, steps=10, start=0, clip=None, scheduler=None):
    for k in range(start, start + steps):
        optimizer.zero_grad()
        loss_of(model, k).backward()
        if clip is not None:
            nn.utils.clip_grad_norm_(model.parameters(), clip)
        optimizer.step()
        if scheduler is not None:
            scheduler.step()


def flat(model):
    return torch.cat([p.detach().reshape(-1) for p in model.parameters()])


def same_path(make, rotated, *, model=new_model, atol=1e-12, **options):
    a, b = model(), model()
    first, second = make(list(a.parameters())), rotated(list(b.parameters()))
    start = flat(a)
    for k in range(20):
        train(first, a, 1, start=k, **options)
        train(second, b, 1, start=k, **options)
        torch.testing.assert_close(flat(b), flat(a), rtol=0, atol=atol)
    assert float((flat(a) - start).norm()) > 0.01


def differs(make, rotated):
    a, b = new_model(), new_model()
    train(make(list(a.parameters())), a)
    train(rotated(list(b.parameters())), b)
    return float((flat(a) - flat(b)).abs().max()) > 1e-3


# Optimizers that do not see a rotation, and one that does.


@every_scope
@pytest.mark.parametrize(
    "rotation", [Haar(1), Hadamard(1), PermutedKronecker(1), SignedPermutation(1)], ids=repr
)
@pytest.mark.parametrize(
    "options", [{}, {"momentum": 0.9, "nesterov": True, "weight_decay": 0.1}], ids=str
)
def test_rotated_sgd_takes_the_same_path_as_sgd(scope, rotation, options):
    def make(params):
        return torch.optim.SGD(params, lr=0.1, **options)

    same_path(make, lambda params: Rotated(params, make, rotation, scope))


def test_rotated_adasgd_takes_the_same_path_as_adasgd():
    def make(params):
        return AdaSGD(params, lr=0.01, weight_decay=0.1)

    same_path(make, lambda params: Rotated(params, make, Haar(1)))


@every_scope
def test_adam_does_not_see_a_signed_permutation(scope):
    def make(params):
        return torch.optim.AdamW(params, lr=0.01, foreach=False)

    same_path(make, lambda ps: Rotated(ps, make, SignedPermutation(1), scope), atol=0)


@every_scope
def test_the_identity_changes_nothing_at_all(scope):
    def make(params):
        return torch.optim.Adam(params, lr=0.01, foreach=False)

    same_path(make, lambda params: Rotated(params, make, Identity(), scope), atol=0)


@every_scope
@pytest.mark.parametrize("rotation", [Haar(1), Hadamard(1), PermutedKronecker(1)], ids=repr)
def test_adam_does_see_a_rotation(scope, rotation):
    def make(params):
        return torch.optim.Adam(params, lr=0.01)

    assert differs(make, lambda params: Rotated(params, make, rotation, scope))


# The definition: the inner optimizer runs on w ↦ L(Rᵀw).


def explicit_path(model, to_theta, w, make, steps=10):
    """Run `make` on the tensors w of the problem w ↦ L(to_theta(w)); return the last θ."""
    w = [nn.Parameter(v.clone()) for v in w]
    inner = make(w)
    names = [n for n, _ in model.named_parameters()]
    for k in range(steps):
        inner.zero_grad()
        values = dict(zip(names, to_theta(w), strict=True))
        g = torch.Generator().manual_seed(k)
        x = torch.randn(16, 5, generator=g).double()
        out = torch.func.functional_call(model, values, (x,))
        (out - x[:, :3].cumsum(1).sin()).square().mean().backward()
        inner.step()
    with torch.no_grad():
        return torch.cat([v.reshape(-1) for v in to_theta(w)])


@pytest.mark.parametrize("rotation", [Haar(1), Hadamard(1), PermutedKronecker(1)], ids=repr)
def test_global_is_adam_on_the_rotated_problem(rotation):
    def make(params):
        return torch.optim.Adam(params, lr=0.01)

    model = new_model()
    shapes = [p.shape for p in model.parameters()]
    M = rotation.matrix(len(flat(model)))

    def to_theta(w):
        parts = (M.T @ w[0]).split([s.numel() for s in shapes])
        return [v.view(s) for v, s in zip(parts, shapes, strict=True)]

    expected = explicit_path(new_model(), to_theta, [M @ flat(model)], make)
    train(Rotated(model.parameters(), make, rotation), model)
    torch.testing.assert_close(flat(model), expected, rtol=0, atol=1e-9)


@pytest.mark.parametrize("scope", ["per_tensor", "output", "input"])
def test_scopes_are_adam_on_each_rotated_tensor(scope):
    def make(params):
        return torch.optim.Adam(params, lr=0.01)

    rotation, model = Haar(1), new_model()
    rotations = [rotation] + [rotation.child(k) for k in range(1, 4)]

    def turn(x, R, inverse):
        if scope == "per_tensor":
            M = R.matrix(x.numel())
            return ((M.T if inverse else M) @ x.reshape(-1)).view(x.shape)
        if x.dim() < 2:
            return x
        M = R.matrix(x.shape[0 if scope == "output" else 1])
        M = M.T if inverse else M
        return M @ x if scope == "output" else x @ M.T

    def to_theta(w):
        return [turn(v, R, True) for v, R in zip(w, rotations, strict=True)]

    start = [turn(p.detach(), R, False) for p, R in zip(model.parameters(), rotations, strict=True)]
    expected = explicit_path(new_model(), to_theta, start, make)
    optimizer = Rotated(model.parameters(), make, rotation, scope)
    shapes = [p.shape for p in optimizer.inner.param_groups[0]["params"]]
    assert shapes == [p.shape for p in model.parameters()]
    train(optimizer, model)
    torch.testing.assert_close(flat(model), expected, rtol=0, atol=1e-9)


def test_convolutions_are_rotated_by_channels():
    p = nn.Parameter(torch.randn(4, 3, 2, 2, dtype=torch.float64))
    Q = Haar(0).matrix(4)
    optimizer = Rotated([p], torch.optim.Adam, Explicit(Q), "output")
    w = optimizer.inner.param_groups[0]["params"][0]
    torch.testing.assert_close(w.detach(), torch.einsum("oi,ichw->ochw", Q, p.detach()))
    Q = Haar(0).matrix(12)
    optimizer = Rotated([p], torch.optim.Adam, Explicit(Q), "input")
    w = optimizer.inner.param_groups[0]["params"][0]
    torch.testing.assert_close(w.detach().flatten(1), p.detach().flatten(1) @ Q.T)


@pytest.mark.parametrize("scope", ["global", "output"])
def test_fused_and_foreach_inner_optimizers_agree(scope):
    def make(**kind):
        return lambda ps: Rotated(ps, lambda w: torch.optim.AdamW(w, **kind), Hadamard(2), scope)

    same_path(make(fused=True), make(foreach=True), atol=1e-10)


def test_tied_weights_are_one_parameter():
    def make(params):
        return torch.optim.SGD(params, lr=0.5, momentum=0.9)

    same_path(make, lambda ps: Rotated(ps, make, Hadamard(1)), model=TiedLM)
    model = TiedLM()
    optimizer = Rotated(model.parameters(), torch.optim.Adam)
    before = loss_of(model).item()
    for _ in range(30):
        optimizer.zero_grad()
        loss_of(model).backward()
        optimizer.step()
    assert loss_of(model).item() < before - 0.1
    assert model.head.weight is model.table.weight
    w = optimizer.inner.param_groups[0]["params"][0]
    assert w.shape == (11 * 6 + 6 * 6 + 6,)


def test_every_group_is_a_vector_of_its_own():
    model = new_model()
    groups = [
        {"params": model[0].parameters(), "lr": 0.5},
        {"params": model[2].parameters()},
    ]
    optimizer = Rotated(groups, lambda ps: torch.optim.SGD(ps, lr=0.0), Haar(0))
    assert [g["lr"] for g in optimizer.param_groups] == [0.5, 0.0]
    before = [p.detach().clone() for p in model[2].parameters()]
    moving = flat(model[0])
    train(optimizer, model)
    for p, q in zip(model[2].parameters(), before, strict=True):
        torch.testing.assert_close(p.detach(), q, rtol=0, atol=1e-12)
    assert not torch.allclose(flat(model[0]), moving)
    assert [len(g["params"]) for g in optimizer.inner.param_groups] == [1, 1]


# Schedulers, clipping, closures.


def test_schedulers_and_clipping_act_through_it():
    def adam(params):
        return torch.optim.Adam(params, lr=0.01, foreach=False)

    for kind in (
        lambda o: torch.optim.lr_scheduler.OneCycleLR(o, 0.05, total_steps=20),
        lambda o: torch.optim.lr_scheduler.LambdaLR(o, lambda k: 1 / (1 + k)),
    ):
        a, b = new_model(), new_model()
        first = adam(a.parameters())
        second = Rotated(b.parameters(), adam, SignedPermutation(3))
        train(first, a, 15, clip=0.1, scheduler=kind(first))
        train(second, b, 15, clip=0.1, scheduler=kind(second))
        # The norm that is clipped is summed in the same order: the path is the same exactly.
        assert torch.equal(flat(a), flat(b))
        for option in ("lr", "betas"):
            assert first.param_groups[0][option] == second.param_groups[0][option]


def lbfgs(params):
    return torch.optim.LBFGS(params, max_iter=8, line_search_fn="strong_wolfe")


def minimise(optimizer, model, steps=4):
    """Loss before each step, and how often the closure ran."""
    runs = []

    def closure():
        optimizer.zero_grad()
        loss = loss_of(model)
        loss.backward()
        runs.append(loss.item())
        return loss

    return [optimizer.step(closure).item() for _ in range(steps)], len(runs)


@every_scope
def test_an_inner_optimizer_may_run_the_closure_many_times(scope):
    model = new_model()
    losses, runs = minimise(Rotated(model.parameters(), lbfgs, Haar(1), scope), model)
    assert losses == sorted(losses, reverse=True) and losses[-1] < 0.3 * losses[0] and runs > 8
    # L-BFGS sees no more of a signed permutation than Adam does.
    a, b = new_model(), new_model()
    losses, runs = minimise(Rotated(a.parameters(), lbfgs, SignedPermutation(1), scope), a, 2)
    expected, plain_runs = minimise(lbfgs(b.parameters()), b, 2)
    torch.testing.assert_close(torch.tensor(losses), torch.tensor(expected), rtol=1e-6, atol=0)
    torch.testing.assert_close(flat(a), flat(b), rtol=0, atol=1e-6)
    assert runs == plain_runs


# State.


def adamw(params):
    return torch.optim.AdamW(params, lr=0.01, amsgrad=True)


@every_scope
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("how", ["state_dict", "optimizer first", "pickle", "deepcopy"])
def test_a_resumed_run_continues_bit_for_bit(scope, dtype, how):
    a = new_model(dtype)
    first = Rotated(a.parameters(), adamw, Hadamard(1), scope)
    train(first, a)
    if how == "pickle":
        b, second = pickle.loads(pickle.dumps((a, first)))
    elif how == "deepcopy":
        b, second = copy.deepcopy((a, first))
    else:
        file = io.BytesIO()
        torch.save({"model": a.state_dict(), "optimizer": first.state_dict()}, file)
        file.seek(0)
        saved = torch.load(file, weights_only=True)
        b = new_model(dtype, seed=5)
        second = Rotated(b.parameters(), adamw, Hadamard(1), scope)
        if how == "optimizer first":
            second.load_state_dict(saved["optimizer"])
        b.load_state_dict(saved["model"])
        if how == "state_dict":
            second.load_state_dict(saved["optimizer"])
    train(first, a, start=10)
    train(second, b, start=10)
    assert torch.equal(flat(a), flat(b))
    for v, w in zip(first._vectors(), second._vectors(), strict=True):
        assert torch.equal(v.w, w.w)  # also the digits that bf16 does not show


def test_half_precision_parameters_have_master_weights():
    p = nn.Parameter(torch.ones(64, dtype=torch.bfloat16))
    optimizer = Rotated([p], lambda w: torch.optim.SGD(w, lr=1e-4), Hadamard(0))
    for _ in range(100):
        p.grad = torch.ones_like(p)
        optimizer.step()
    # Each step is far below bf16's spacing; their sum, 0.01, is not.
    torch.testing.assert_close(p.float(), torch.full((64,), 0.99), rtol=0, atol=4e-3)


@every_scope
def test_a_change_from_outside_is_followed(scope):
    for change in (
        lambda p: p.data.mul_(0.5),  # past the version counter
        lambda p: p.data.copy_(p.data.flip(0)),
        lambda p: setattr(p, "data", p.data + 1),
    ):
        a = new_model()
        optimizer = Rotated(a.parameters(), lambda w: torch.optim.SGD(w, lr=0.1), Haar(1), scope)
        train(optimizer, a, 3)
        with torch.no_grad():
            for p in a.parameters():
                change(p)
        b = copy.deepcopy(a)
        train(optimizer, a, 3)
        train(torch.optim.SGD(b.parameters(), lr=0.1), b, 3)
        torch.testing.assert_close(flat(a), flat(b), rtol=0, atol=1e-12)


def test_a_state_without_its_model_follows_the_model():
    a, b = new_model(), new_model(seed=5)
    first = Rotated(a.parameters(), adamw)
    train(first, a)
    second = Rotated(b.parameters(), adamw)
    second.load_state_dict(first.state_dict())
    before = flat(b)
    train(second, b, 1)
    assert float((flat(b) - before).abs().max()) < 0.1  # a step from b, not a jump to a


def test_a_state_in_other_coordinates_is_refused_and_changes_nothing():
    a, b = new_model(), new_model()
    first = Rotated(a.parameters(), adamw, Hadamard(1))
    train(first, a)
    saved = first.state_dict()
    for other in (
        Rotated(b.parameters(), adamw, Hadamard(2)),
        Rotated(b.parameters(), adamw, Hadamard(1), "per_tensor"),
        Rotated([*b.parameters()][:2], adamw, Hadamard(1)),
    ):
        kept = copy.deepcopy(other.state_dict())
        with pytest.raises(ValueError, match="state_dict"):
            other.load_state_dict(saved)
        assert str(other.state_dict()) == str(kept)
    with pytest.raises(ValueError, match="saved by Rotated"):
        first.load_state_dict(torch.optim.AdamW(a.parameters()).state_dict())


# Missing gradients.


def test_in_a_global_vector_a_missing_gradient_is_zero():
    a, b = new_model(), new_model()
    for model, zero in ((a, False), (b, True)):
        optimizer = Rotated(model.parameters(), adamw, Hadamard(1))
        for k in range(5):
            loss_of(model, k).backward()
            model[0].weight.grad = torch.zeros_like(model[0].weight) if zero else None
            optimizer.step()
            optimizer.zero_grad()
    assert torch.equal(flat(a), flat(b))


@pytest.mark.parametrize("scope", ["per_tensor", "output", "input"])
def test_in_the_other_scopes_a_tensor_without_gradient_stays(scope):
    model = new_model()
    optimizer = Rotated(model.parameters(), adamw, Hadamard(1), scope)
    train(optimizer, model, 2)
    before = model[0].weight.detach().clone()
    loss_of(model).backward()
    model[0].weight.grad = None
    optimizer.step()
    assert torch.equal(model[0].weight, before)


def test_frozen_parameters_never_move():
    model = new_model()
    model[0].weight.requires_grad_(False)
    before = model[0].weight.clone()
    optimizer = Rotated(model.parameters(), adamw, Hadamard(1))
    train(optimizer, model)
    assert torch.equal(model[0].weight, before)
    model[0].weight.requires_grad_(True)
    moved = flat(model)
    loss_of(model).backward()
    with pytest.raises(ValueError, match="unfreezing"):
        optimizer.step()
    assert torch.equal(flat(model), moved)


# Bad input.


def test_bad_arguments_are_refused():
    p = [nn.Parameter(torch.ones(3))]
    for arguments, error, word in (
        ((p, adamw, Hadamard(0), "rows"), ValueError, "scope"),
        ((p, adamw, Haar), TypeError, "rotation"),
        ((p, adamw(p)), TypeError, "make_optimizer"),
        ((p, lambda w: None), TypeError, "make_optimizer"),
        ((p, lambda w: adamw(p)), ValueError, "make_optimizer"),
        ((p, lambda w: adamw([{"params": w}, {"params": [torch.ones(1)]}])), ValueError, "groups"),
        (([], adamw), ValueError, "empty"),
        ((torch.ones(3), adamw), TypeError, "params"),
    ):
        with pytest.raises(error, match=word):
            Rotated(*arguments)


def test_a_group_that_does_not_fit_is_not_half_added():
    model = new_model()
    optimizer = Rotated(model[0].parameters(), torch.optim.LBFGS)
    with pytest.raises(ValueError):
        Rotated(model[0].parameters(), lambda w: torch.optim.LBFGS([*w, torch.ones(1)]))
    rotation = Explicit(Haar(0).matrix(42))
    optimizer = Rotated(model[0].parameters(), adamw, rotation)
    with pytest.raises(ValueError, match="dimension"):
        optimizer.add_param_group({"params": model[2].parameters()})
    assert len(optimizer.param_groups) == len(optimizer.inner.param_groups) == 1
    train(optimizer, model, 1)


def test_sparse_gradients_move_nothing_in_a_closure_either():
    table, dense = nn.Embedding(4, 2, sparse=True), nn.Parameter(torch.ones(3))
    optimizer = Rotated([dense, table.weight], adamw)
    before = table.weight.detach().clone()

    def closure():
        (table(torch.tensor([1])).sum() + dense.sum()).backward()

    with pytest.raises(TypeError, match="sparse"):
        optimizer.step(closure)
    assert torch.equal(table.weight, before) and torch.equal(dense, torch.ones(3))

"""Every optimizer of ours is a torch optimizer in every habit: one test a habit, all optimizers."""

import pytest
import torch

import linfcourse.optim
from tests.optim.every_optimizer import (
    OPTIMIZERS,
    every,
    loss_of,
    make,
    new_model,
    same,
    train,
    values,
)


def test_every_optimizer_is_here():
    names = " ".join(OPTIMIZERS)
    for public in linfcourse.optim.__all__:
        assert public in names


@every
def test_it_is_an_optimizer_that_learns(name):
    model = new_model()
    optimizer = make(name, model.parameters())
    assert isinstance(optimizer, torch.optim.Optimizer)
    before = loss_of(model).item()
    for _ in range(30):
        optimizer.zero_grad()
        loss_of(model).backward()
        assert optimizer.step() is None
    assert loss_of(model).item() < before


@every
def test_named_parameters_take_the_same_path(name):
    a, b = new_model(), new_model()
    named = make(name, list(a.named_parameters()))
    train(named, a)
    train(make(name, list(b.parameters())), b)
    assert same(a, b)
    assert named.param_groups[0]["param_names"] == [n for n, _ in a.named_parameters()]


@every
def test_groups_have_their_own_learning_rates(name):
    model = new_model()
    first, second = list(model[0].parameters()), list(model[2].parameters())
    optimizer = make(name, [{"params": first, "lr": 0.0}, {"params": second}], lr=0.1)
    assert [group["lr"] for group in optimizer.param_groups] == [0.0, 0.1]
    before = values(first), values(second)
    train(optimizer, model)
    # In coordinates that mix the groups there is nothing that is one group's alone.
    if not name.startswith("Rotated"):
        assert same(first, before[0])
    assert not any(torch.equal(p, q) for p, q in zip(second, before[1], strict=True))


@every
def test_a_tensor_learning_rate_may_be_changed_in_place(name):
    a, b = new_model(), new_model()
    lr = torch.tensor(0.01, dtype=torch.float64)
    by_tensor, by_number = make(name, a.parameters(), lr=lr), make(name, b.parameters(), lr=0.01)
    train(by_tensor, a)
    train(by_number, b)
    lr.fill_(0.5)
    by_number.param_groups[0]["lr"] = 0.5
    train(by_tensor, a)
    train(by_number, b)
    for x, y in zip(values(a), values(b), strict=True):
        torch.testing.assert_close(x, y, rtol=1e-5, atol=1e-6)


@every
@pytest.mark.parametrize("kind", ["step", "cosine", "onecycle", "plateau"])
def test_schedulers_set_the_learning_rate_that_is_used(name, kind):
    schedulers = torch.optim.lr_scheduler
    a, b = new_model(), new_model()
    scheduled, by_hand = make(name, a.parameters(), lr=0.1), make(name, b.parameters(), lr=0.1)
    if kind == "step":
        scheduler = schedulers.StepLR(scheduled, 2, gamma=0.5)
    elif kind == "cosine":
        scheduler = schedulers.CosineAnnealingLR(scheduled, 6)
    elif kind == "onecycle":
        cycles = {"betas", "momentum"} & set(scheduled.defaults)
        scheduler = schedulers.OneCycleLR(
            scheduled, 0.2, total_steps=7, cycle_momentum=bool(cycles)
        )
    else:
        scheduler = schedulers.ReduceLROnPlateau(scheduled, patience=0)
    rates = []
    for k in range(6):
        group = scheduled.param_groups[0]
        rates.append(group["lr"])
        for option in ("lr", "betas", "momentum"):
            if option in group:
                by_hand.param_groups[0][option] = group[option]
        train(scheduled, a, 1, seed=k)
        train(by_hand, b, 1, seed=k)
        scheduler.step(*[1.0] if kind == "plateau" else [])
    assert same(a, b) and len(set(rates)) > 1


@every
def test_a_closure_is_run_with_gradients_on_and_its_loss_returned(name):
    a, b = new_model(), new_model()
    with_closure, without = make(name, a.parameters()), make(name, b.parameters())

    def closure():
        assert torch.is_grad_enabled()
        with_closure.zero_grad()
        loss = loss_of(a)
        loss.backward()
        return loss

    with torch.no_grad():
        loss = with_closure.step(closure)
    assert loss.item() == loss_of(new_model()).item()
    train(without, b, 1)
    assert same(a, b)


@every
def test_maximize_is_minimizing_the_negative(name):
    a, b = new_model(), new_model()
    up = make(name, a.parameters(), maximize=True)
    down = make(name, b.parameters())
    for k in range(3):
        for optimizer, model, sign in ((up, a, 1), (down, b, -1)):
            optimizer.zero_grad()
            (sign * loss_of(model, k)).backward()
            optimizer.step()
    for x, y in zip(values(a), values(b), strict=True):
        torch.testing.assert_close(x, y, rtol=1e-6, atol=1e-7)
    assert not same(a, new_model())


@every
def test_weight_decay_is_decoupled_except_in_adam(name):
    a, b = new_model(), new_model()
    lr, decay = 0.01, 0.5
    train(make(name, a.parameters(), lr=lr, weight_decay=decay), a, 1)
    train(make(name, b.parameters(), lr=lr, weight_decay=0.0), b, 1)
    decoupled = all(
        torch.allclose(x, y - lr * decay * start, rtol=1e-4, atol=1e-6)
        for x, y, start in zip(values(a), values(b), values(new_model()), strict=True)
    )
    assert decoupled == (name not in ("Adam", "Rotated(Adam)"))


@every
def test_gradscaler_skips_a_step_with_infinite_gradients(name):
    a, b = new_model(), new_model()
    scaled, unscaled = make(name, a.parameters()), make(name, b.parameters())
    scaler = torch.amp.GradScaler("cpu", init_scale=4.0)
    for k in range(4):
        scaled.zero_grad()
        factor = float("inf") if k == 1 else 1.0
        scaler.scale(loss_of(a, k) * factor).backward()
        before = values(a)
        scaler.step(scaled)
        scaler.update()
        if k == 1:
            assert same(a, before)
        else:
            train(unscaled, b, 1, seed=k)
            assert same(a, b)


@every
def test_zero_grad_drops_or_zeroes(name):
    model = new_model()
    optimizer = make(name, model.parameters())
    loss_of(model).backward()
    optimizer.zero_grad(set_to_none=False)
    assert all((p.grad == 0).all() for p in model.parameters())
    optimizer.zero_grad()
    assert all(p.grad is None for p in model.parameters())


@every
def test_the_repr_names_the_class_and_the_options(name):
    text = repr(make(name, new_model().parameters()))
    assert name.split("(")[0] in text and "lr: 0.01" in text

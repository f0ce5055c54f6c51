"""Blockwise Adam against its written definition, a naive loop over blocks and Adam-mini's rule."""

import pytest
import torch
from torch import nn

from linfcourse.optim import AdamMini, BlockwiseAdam
from linfcourse.optim.blockwise_adam import blockwise_adam_update
from tests.optim.blocks import RULES, gradients, parameters, relative, run


def naive(ps, labels, gs_of_step, *, lr, betas, eps, weight_decay, coupled, inside, correct, sign):
    """Blockwise Adam in Python floats, block by block: None is a missing gradient."""
    x = [p.detach().double().flatten().tolist() for p in ps]
    m = [[0.0] * len(row) for row in x]
    v, updates, moves = {}, {}, [0] * len(ps)
    for gs in gs_of_step:
        square = {}
        g_now = []
        for k, g in enumerate(gs):
            if g is None:
                g_now.append(None)
                continue
            row = [sign * value for value in g.double().flatten().tolist()]
            if coupled:
                row = [value + weight_decay * xi for value, xi in zip(row, x[k], strict=True)]
            g_now.append(row)
            for label, value in zip(labels[k], row, strict=True):
                square.setdefault(label, []).append(value * value)
        for label, values in square.items():
            mean = sum(values) / len(values)
            v[label] = betas[1] * v.get(label, 0.0) + (1 - betas[1]) * mean
            updates[label] = updates.get(label, 0) + 1
        for k, row in enumerate(g_now):
            if row is None:
                continue
            moves[k] += 1
            for i, (label, value) in enumerate(zip(labels[k], row, strict=True)):
                m[k][i] = betas[0] * m[k][i] + (1 - betas[0]) * value
                m_hat = m[k][i] / (1 - betas[0] ** moves[k]) if correct else m[k][i]
                v_hat = v[label] / (1 - betas[1] ** updates[label]) if correct else v[label]
                root = (v_hat + eps) ** 0.5 if inside else v_hat**0.5 + eps
                if not coupled:
                    x[k][i] *= 1 - lr * weight_decay
                x[k][i] -= lr * m_hat / root
    return [torch.tensor(row, dtype=p.dtype).reshape(p.shape) for row, p in zip(x, ps, strict=True)]


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("inside", [False, True], ids=["outside", "inside"])
@pytest.mark.parametrize("correct", [True, False], ids=["corrected", "uncorrected"])
@pytest.mark.parametrize("coupled", [True, False], ids=["coupled", "decoupled"])
def test_the_step_is_the_written_definition_and_the_naive_loop(rule, inside, correct, coupled):
    ps = parameters(dtype=torch.float64)
    partition = RULES[rule](ps)
    ids = partition.ids(ps)
    labels = [part.tolist() for part in ids.split([p.numel() for p in ps])]
    options = {"lr": 0.05, "betas": (0.8, 0.9), "eps": 1e-4, "weight_decay": 0.1}
    variant = {
        "bias_correction": correct,
        "eps_inside_root": inside,
        "decoupled_weight_decay": not coupled,
    }
    expected = naive(
        ps, labels, gradients(ps, 10), **options,
        coupled=coupled, inside=inside, correct=correct, sign=1,
    )  # fmt: skip
    x = torch.cat([p.detach().flatten() for p in ps])
    m, v = torch.zeros_like(x), torch.zeros(int(ids.max()) + 1, dtype=x.dtype)
    for t, gs in enumerate(gradients(ps, 10), start=1):
        g = torch.cat([g.flatten() for g in gs])
        x, m, v = blockwise_adam_update(x, g, m, v, t, ids, **options, **variant)
    got = run(BlockwiseAdam(ps, partition=partition, **options, **variant), ps, 10)
    assert relative(got, expected) <= 1e-13
    assert relative(got, [x]) <= 1e-13


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("seed", range(3))
def test_missing_gradients_leave_out_their_coordinates_only(rule, seed):
    ps = parameters(dtype=torch.float64)
    partition = RULES[rule](ps)
    flat = partition.ids(ps)
    labels = [part.tolist() for part in flat.split([p.numel() for p in ps])]
    dice = torch.rand(12, len(ps), generator=torch.Generator().manual_seed(seed)) < 0.5
    dice[0, 0] = dice[1, 0] = True  # the parameter that keeps the shared table starts late
    dice[5] = True
    gs_of_step = [
        [None if dice[t, k] else g for k, g in enumerate(gs)]
        for t, gs in enumerate(gradients(ps, 12))
    ]
    options = {"lr": 0.05, "betas": (0.8, 0.9), "eps": 1e-4, "weight_decay": 0.1}
    expected = naive(
        ps, labels, gs_of_step, **options, coupled=False, inside=False, correct=True, sign=-1
    )
    optimizer = BlockwiseAdam(ps, partition=partition, maximize=True, **options)
    got = run(optimizer, ps, 12, skip=lambda t, k: bool(dice[t, k]))
    assert relative(got, expected) <= 1e-13


@pytest.mark.parametrize("rule", RULES)
def test_groups_keep_their_own_options_in_shared_blocks(rule):
    ps = parameters(dtype=torch.float64)
    partition = RULES[rule](ps)
    flat = partition.ids(ps)
    labels = [part.tolist() for part in flat.split([p.numel() for p in ps])]
    steps = list(gradients(ps, 5))
    groups = [{"params": ps[:2], "lr": 0.1}, {"params": ps[2:], "lr": 0.01, "eps": 0.1}]
    wanted = []
    for part, lr, eps in ((slice(0, 2), 0.1, 1e-8), (slice(2, None), 0.01, 0.1)):
        wanted += naive(
            ps, labels, steps, lr=lr, eps=eps, betas=(0.9, 0.999), weight_decay=0.0,
            coupled=False, inside=False, correct=True, sign=1,
        )[part]  # fmt: skip
    got = run(BlockwiseAdam(groups, partition=partition), ps, 5)
    assert relative(got, wanted) <= 1e-13


def test_adam_mini_is_its_published_rule():
    torch.manual_seed(0)
    model = nn.ModuleList([nn.Embedding(5, 4), nn.MultiheadAttention(4, 2), nn.Linear(4, 3)])
    ps = [p.detach().clone().double() for p in model.parameters()]
    names = [name for name, _ in model.named_parameters()]
    model = model.double()
    lr, (beta1, beta2), eps, decay = 0.01, (0.9, 0.95), 1e-8, 0.1
    optimizer = AdamMini(model.parameters(), lr, (beta1, beta2), eps, decay, model=model)
    got = run(optimizer, list(model.parameters()), 10)

    def split(name, t):
        """Views of the tensor, one for each block, as Adam-mini's code cuts by name."""
        if name == "1.in_proj_weight":
            q, k, v = t.chunk(3)
            return [*q.chunk(2), *k.chunk(2), *v.unbind()]
        if t.dim() == 2:
            return t.unbind()
        return [t]

    moments = [torch.zeros_like(p) for p in ps]
    seconds = [[0.0] * len(split(name, p)) for name, p in zip(names, ps, strict=True)]
    for t, gs in enumerate(gradients(ps, 10), start=1):
        for name, p, g, m, v in zip(names, ps, gs, moments, seconds, strict=True):
            p.mul_(1 - lr * decay)
            m.mul_(beta1).add_(g, alpha=1 - beta1)
            cuts = zip(split(name, p), split(name, g), split(name, m), strict=True)
            for b, (block, grad, moment) in enumerate(cuts):
                v[b] = beta2 * v[b] + (1 - beta2) * float((grad * grad).mean())
                root = (v[b] / (1 - beta2**t)) ** 0.5 + eps
                block.sub_(lr / (1 - beta1**t) * moment / root)
    assert relative(got, ps) <= 1e-13
    per_block = sum(s["exp_avg_sq"].numel() for s in optimizer.state.values())
    assert per_block == sum(len(v) for v in seconds)

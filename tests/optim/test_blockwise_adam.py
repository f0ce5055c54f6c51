"""Blockwise Adam against torch's Adam and AdamW, a naive loop over blocks, and its symmetries."""

import copy
import itertools

import pytest
import torch
from torch import nn

from linfcourse.optim import Adalayer, Adam, AdamMini, AdamW, AdaSGD, BlockwiseAdam
from linfcourse.optim.blockwise_adam import blockwise_adam_update
from linfcourse.partitions import (
    adam_mini,
    coordinatewise,
    from_ids,
    per_row,
    per_tensor,
    whole,
)

SHAPES = [(3, 4), (5,), (), (2, 3, 2, 2), (1, 6), (6, 1)]
RULES = {
    "coordinatewise": lambda ps: coordinatewise,
    "whole": lambda ps: whole,
    "per_tensor": lambda ps: per_tensor,
    "per_row": lambda ps: per_row,
    "own ids": lambda ps: from_ids({p: scattered(p, k) + 10 * k for k, p in enumerate(ps)}),
    "shared ids": lambda ps: from_ids({p: scattered(p, k) for k, p in enumerate(ps)}),
    "chained ids": lambda ps: from_ids({p: scattered(p, k) + k for k, p in enumerate(ps)}),
    "head ids": lambda ps: from_ids({p: heads(p) + 100 * k for k, p in enumerate(ps)}),
}


def scattered(p, seed, count=3):
    return torch.randint(0, count, p.shape, generator=torch.Generator().manual_seed(seed))


def heads(p):
    """Pairs of leading rows."""
    if p.dim() == 0:
        return torch.zeros((), dtype=torch.int64)
    rows = torch.arange(p.shape[0]) // 2
    return rows.reshape(-1, *[1] * (p.dim() - 1)).expand(p.shape)


def parameters(shapes=SHAPES, dtype=torch.float32, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return [nn.Parameter(torch.randn(s, generator=generator, dtype=dtype)) for s in shapes]


def gradients(ps, steps, seed=1):
    """Heavy-tailed gradients for each step and parameter."""
    generator = torch.Generator().manual_seed(seed)
    for _ in range(steps):
        yield [torch.randn(p.shape, generator=generator, dtype=p.dtype) ** 3 for p in ps]


def run(optimizer, ps, steps=100, seed=1, skip=lambda t, k: False):
    for t, gs in enumerate(gradients(ps, steps, seed)):
        for k, (p, g) in enumerate(zip(ps, gs, strict=True)):
            p.grad = None if skip(t, k) else g
        optimizer.step()
    return [p.detach().clone() for p in ps]


def relative(a, b):
    a, b = torch.cat([t.flatten() for t in a]), torch.cat([t.flatten() for t in b])
    return ((a - b).abs().max() / b.abs().max()).item()


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


# Against torch.


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"lr": 0.1},
        {"betas": (0.5, 0.7)},
        {"betas": (0.0, 0.9)},
        {"betas": (0.9, 0.0)},
        {"eps": 1e-3},
        {"weight_decay": 0.1},
        {"weight_decay": 0.1, "maximize": True},
        {"weight_decay": 3.0, "lr": 0.01, "betas": (0.95, 0.99)},
        {"lr": torch.tensor(0.01, dtype=torch.float64)},
        {"lr": 0.0},
    ],
    ids=str,
)
def test_coordinatewise_is_torch_after_100_steps(dtype, options):
    for ours, theirs in ((AdamW, torch.optim.AdamW), (Adam, torch.optim.Adam)):
        ps, qs = parameters(dtype=dtype), parameters(dtype=dtype)
        a = run(ours(ps, **options), ps)
        b = run(theirs(qs, **options), qs)
        assert relative(a, b) <= (1e-6 if dtype == torch.float32 else 1e-13)


def test_defaults_are_torchs():
    p = nn.Parameter(torch.zeros(1))
    for ours, theirs in ((AdamW, torch.optim.AdamW), (Adam, torch.optim.Adam)):
        mine, other = ours([p]).defaults, theirs([p]).defaults
        for name in ("lr", "betas", "eps", "weight_decay", "maximize"):
            assert mine[name] == other[name]
    assert BlockwiseAdam([p]).defaults["weight_decay"] == 0.0
    assert BlockwiseAdam([p]).partition is coordinatewise


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_follows_torchs_fused_kernel(dtype):
    ps, qs = parameters(dtype=dtype), parameters(dtype=dtype)
    a = run(AdamW(ps, eps=1e-3), ps, 20)
    b = run(torch.optim.AdamW(qs, eps=1e-3, fused=True), qs, 20)
    assert all(torch.equal(x, y) for x, y in zip(a, b, strict=True))
    optimizer = BlockwiseAdam(ps, eps=1e-3, partition=per_row)
    run(optimizer, ps, 1)
    assert optimizer.state[ps[0]]["exp_avg"].dtype == dtype
    assert optimizer.state[ps[0]]["exp_avg_sq"].dtype == torch.float32


@pytest.mark.parametrize("rule", RULES)
def test_half_precision_is_within_its_rounding_of_single(rule):
    ps = [nn.Parameter(p.detach().bfloat16()) for p in parameters()]
    qs = [nn.Parameter(p.detach().float()) for p in ps]
    a = run(BlockwiseAdam(ps, lr=1e-2, partition=RULES[rule](ps), weight_decay=0.1), ps, 10)
    optimizer = BlockwiseAdam(qs, lr=1e-2, partition=RULES[rule](qs), weight_decay=0.1)
    for gs in gradients(ps, 10):
        for q, g in zip(qs, gs, strict=True):
            q.grad = g.float()
        optimizer.step()
    assert relative([x.float() for x in a], [q.detach() for q in qs]) < 10 * 2**-8


@pytest.mark.parametrize("options", [{}, {"weight_decay": 0.1, "maximize": True}], ids=str)
def test_complex_is_torch_and_pairs_of_reals(options):
    shapes = [(3, 4), (5,), ()]
    ps, qs = (parameters(shapes, torch.complex64) for _ in range(2))
    a, b = run(AdamW(ps, **options), ps), run(torch.optim.AdamW(qs, **options), qs)
    assert relative(a, b) <= 1e-6
    for rule in (coordinatewise, whole, per_tensor):
        ps = parameters(shapes, torch.complex64)
        rs = [nn.Parameter(torch.view_as_real(p.detach().clone())) for p in ps]
        a = run(BlockwiseAdam(ps, partition=rule), ps, 20)
        optimizer = BlockwiseAdam(rs, partition=rule)
        for gs in gradients(ps, 20):
            for r, g in zip(rs, gs, strict=True):
                r.grad = torch.view_as_real(g)
            optimizer.step()
        for x, r in zip(a, rs, strict=True):
            assert torch.equal(torch.view_as_real(x), r.detach())


@pytest.mark.parametrize("rule", [coordinatewise, per_row, whole], ids=repr)
def test_lazily_conjugated_and_negated_gradients_count_as_their_values(rule):
    g = torch.randn(3, 2, dtype=torch.complex64)
    for lazy in (g.conj(), g.conj().imag):
        assert lazy.is_conj() or lazy.is_neg()
        (p,), (q,) = parameters([(3, 2)], lazy.dtype), parameters([(3, 2)], lazy.dtype)
        p.grad, q.grad = lazy, lazy.resolve_conj().resolve_neg().clone()
        for parameter in (p, q):
            BlockwiseAdam([parameter], partition=rule).step()
        assert torch.equal(p, q)


def test_states_are_interchangeable_with_torchs():
    ps, qs = parameters(), parameters()
    ours, theirs = AdamW(ps), torch.optim.AdamW(qs)
    run(theirs, qs, 5)
    for p, q in zip(ps, qs, strict=True):
        p.data.copy_(q.data)
    ours.load_state_dict(theirs.state_dict())
    assert relative(run(ours, ps, 20, seed=2), run(theirs, qs, 20, seed=2)) <= 1e-6
    theirs.load_state_dict(copy.deepcopy(ours.state_dict()))
    assert relative(run(theirs, qs, 20, seed=3), run(ours, ps, 20, seed=3)) <= 1e-6


# Against the definition and a naive loop.


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


# Exact identities.


def test_singletons_are_adam_and_one_block_is_adasgd_bit_for_bit():
    def ids(ps, same):
        starts = [0, *itertools.accumulate(p.numel() for p in ps)]
        return from_ids(
            {
                p: torch.zeros_like(p, dtype=torch.int64)
                if same
                else torch.arange(start, start + p.numel()).reshape(p.shape)
                for start, p in zip(starts, ps, strict=False)
            }
        )

    for same, named in ((False, AdamW), (True, AdaSGD)):
        ps, qs = parameters(), parameters()
        a = run(BlockwiseAdam(ps, partition=ids(ps, same), weight_decay=0.1), ps, 30)
        b = run(named(qs, weight_decay=0.1), qs, 30)
        assert all(torch.equal(x, y) for x, y in zip(a, b, strict=True))


def test_names_are_partitions():
    (p,) = parameters([(2, 2)])
    assert AdaSGD([p]).partition is whole
    assert Adalayer([p]).partition is per_tensor
    assert Adam([p]).partition is AdamW([p]).partition is coordinatewise
    assert not Adam([p]).defaults["decoupled_weight_decay"]
    assert AdaSGD([p]).defaults["decoupled_weight_decay"]


def rotation(d, seed=0):
    return torch.linalg.qr(torch.randn(d, d, generator=torch.Generator().manual_seed(seed)).double())[0]  # fmt: skip  # noqa: E501


def path(make, forward, back, steps=30, d=8):
    """Where an optimizer on the rotated problem goes, told in the original coordinates."""
    H = torch.diag(torch.arange(1.0, d + 1, dtype=torch.float64))
    w = nn.Parameter(forward(torch.linspace(-1, 1, d, dtype=torch.float64)))
    optimizer = make([w])
    for _ in range(steps):
        optimizer.zero_grad()
        x = back(w)
        (0.5 * x @ H @ x + torch.sin(x).sum()).backward()
        optimizer.step()
    return back(w.detach())


def test_adasgd_takes_the_same_path_in_rotated_coordinates_and_adam_does_not():
    R = rotation(8)
    for make, equivariant in ((AdaSGD, True), (Adalayer, True), (AdamW, False)):
        plain = path(lambda ps, make=make: make(ps, lr=0.05), lambda x: x, lambda w: w)
        rotated = path(lambda ps, make=make: make(ps, lr=0.05), lambda x: R @ x, lambda w: R.T @ w)
        assert (relative([rotated], [plain]) < 1e-12) == equivariant


def test_adam_takes_the_same_path_under_signed_permutations():
    order = torch.randperm(8, generator=torch.Generator().manual_seed(0))
    sign = torch.tensor([1.0, -1.0] * 4, dtype=torch.float64)
    back = torch.argsort(order)
    make = lambda ps: AdamW(ps, lr=0.05, weight_decay=0.1)  # noqa: E731
    plain = path(make, lambda x: x, lambda w: w)
    moved = path(make, lambda x: (sign * x)[order], lambda w: sign * w[back])
    assert torch.equal(moved, plain)


@pytest.mark.parametrize("inside", [False, True])
@pytest.mark.parametrize("rule", RULES)
def test_maximizing_is_minimizing_the_negative_bit_for_bit(rule, inside):
    ps, qs = parameters(), parameters()
    options = {"weight_decay": 0.1, "eps_inside_root": inside}
    a = BlockwiseAdam(ps, partition=RULES[rule](ps), maximize=True, **options)
    b = BlockwiseAdam(qs, partition=RULES[rule](qs), **options)
    for gs in gradients(ps, 5):
        for p, q, g in zip(ps, qs, gs, strict=True):
            p.grad, q.grad = g, -g
        a.step()
        b.step()
    assert all(torch.equal(p, q) for p, q in zip(ps, qs, strict=True))


# Memory, layouts, pieces.


def test_a_block_costs_one_number():
    ps = parameters()
    counts = {
        whole: 1,
        per_tensor: len(ps),
        per_row: 3 + 5 + 1 + 2 + 1 + 6,
        coordinatewise: sum(p.numel() for p in ps),
    }
    for rule, count in counts.items():
        optimizer = BlockwiseAdam(ps, partition=rule)
        run(optimizer, ps, 1)
        kept = [s["exp_avg_sq"] for s in optimizer.state.values() if "exp_avg_sq" in s]
        assert sum(t.numel() for t in kept) == count
    rows = BlockwiseAdam(ps, partition=per_row)
    run(rows, ps, 1)
    assert rows.state[ps[0]]["exp_avg_sq"].shape == (3, 1)
    assert rows.state[ps[3]]["exp_avg_sq"].shape == (2, 1, 1, 1)


def strange_layouts(shape=(4, 3, 2, 5)):
    """The same values in tensors that lie differently in memory."""
    values = torch.randn(shape, generator=torch.Generator().manual_seed(3))
    yield "contiguous", values.clone()
    yield "channels last", values.clone(memory_format=torch.channels_last)
    yield "transposed", values.transpose(0, 3).contiguous().transpose(0, 3)
    yield "inner axes swapped", values.transpose(1, 2).contiguous().transpose(1, 2)
    wide = torch.zeros(*shape[:-1], 2 * shape[-1])
    wide[..., ::2] = values
    yield "with gaps", wide[..., ::2]
    offset = torch.zeros(values.numel() + 7)
    offset[7:] = values.flatten()
    yield "with an offset", offset[7:].view(shape)


@pytest.mark.parametrize("inside", [False, True])
@pytest.mark.parametrize("rule", RULES)
def test_layouts_in_memory_do_not_change_the_step(rule, inside):
    options = {"eps_inside_root": inside, "weight_decay": 0.1}
    expected = None
    names = [name for name, _ in strange_layouts()]
    for one, other in itertools.product(names, names):
        p, g = nn.Parameter(dict(strange_layouts())[one]), dict(strange_layouts())[other]
        kept = g.clone(), g.stride()
        optimizer = BlockwiseAdam([p], partition=RULES[rule]([p]), **options)
        for _ in range(3):
            p.grad = g
            optimizer.step()
        assert torch.equal(p.grad, kept[0]) and p.grad.stride() == kept[1]
        expected = p.detach().contiguous().clone() if expected is None else expected
        torch.testing.assert_close(p.detach(), expected, rtol=1e-6, atol=1e-7)


def test_a_gap_between_entries_is_not_written_to():
    base = torch.full((4, 6), 7.0)
    p = nn.Parameter(base[:, ::2])
    p.grad = torch.ones(4, 3)
    for rule in (coordinatewise, per_row, whole):
        BlockwiseAdam([p], partition=rule).step()
    assert (base[:, 1::2] == 7).all() and (base[:, ::2] != 7).all()


@pytest.mark.parametrize("rule", RULES)
def test_a_change_of_layout_between_steps_is_followed(rule):
    ps, qs = (parameters([(4, 3, 2, 2)]) for _ in range(2))
    a = BlockwiseAdam(ps, partition=RULES[rule](ps))
    b = BlockwiseAdam(qs, partition=RULES[rule](qs))
    for t, (g,) in enumerate(gradients(ps, 4)):
        if t == 2:
            ps[0].data = ps[0].data.to(memory_format=torch.channels_last)
        ps[0].grad, qs[0].grad = g, g
        a.step()
        b.step()
    torch.testing.assert_close(ps[0], qs[0], rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("rule", RULES)
def test_pieces_do_not_change_the_step(rule, monkeypatch):
    # Long rows and short, pieces that do not divide the tensor.
    for shapes in ([(37, 5), (3, 101), (211,)], [(2, 3, 41)]):
        ps, qs = parameters(shapes, torch.float64), parameters(shapes, torch.float64)
        a = run(BlockwiseAdam(ps, partition=RULES[rule](ps)), ps, 3)
        with monkeypatch.context() as patch:
            patch.setattr("linfcourse.optim._row_sweeps.CHUNK", 16)
            patch.setattr("linfcourse.optim._block_steps.CHUNK", 16)
            patch.setattr("linfcourse.optim._row_sweeps.SCATTERED_CHUNK", 7)
            b = run(BlockwiseAdam(qs, partition=RULES[rule](qs)), qs, 3)
        assert relative(a, b) <= 1e-14


def test_the_mean_over_millions_of_coordinates_is_exact_to_rounding():
    for shape in [(3, 1_000_003), (1_000_003, 3)]:
        p = nn.Parameter(torch.zeros(shape))
        p.grad = torch.rand(shape, generator=torch.Generator().manual_seed(0))
        mean = p.grad.double().square().mean()
        for rule in (whole, per_tensor, from_ids({p: scattered(p, 0)})):
            optimizer = BlockwiseAdam([p], betas=(0.9, 0.0), partition=rule)
            optimizer.step()
            v = optimizer.state[p]["exp_avg_sq"].double().mean()
            assert abs(v / mean - 1) < (1e-6 if rule in (whole, per_tensor) else 1e-2)


# Blocks across tensors: who keeps them, how they grow, what is refused.


def test_whole_goes_across_dtypes():
    a, b = nn.Parameter(torch.ones(2)), nn.Parameter(torch.ones(2, dtype=torch.float64))
    a.grad, b.grad = torch.full((2,), 3.0), torch.full((2,), 4.0, dtype=torch.float64)
    BlockwiseAdam([a, b], lr=0.1, partition=whole).step()
    torch.testing.assert_close(a, torch.full((2,), 1 - 0.3 / 12.5**0.5))
    torch.testing.assert_close(b, torch.full((2,), 1 - 0.4 / 12.5**0.5, dtype=torch.float64))


def test_an_added_parameter_joins_the_block():
    p, q = parameters([(2,), (3,)], torch.float64)
    optimizer = BlockwiseAdam([p], lr=0.1, betas=(0.9, 0.9), partition=whole)
    p.grad = torch.tensor([3.0, 4.0], dtype=torch.float64)
    optimizer.step()
    optimizer.add_param_group({"params": [q]})
    q.grad = torch.full((3,), 2.0, dtype=torch.float64)
    before = q.detach().clone()
    optimizer.step()
    v = 0.9 * (0.1 * 12.5) + 0.1 * (25 + 12) / 5
    step = 0.1 * 2 / ((v / (1 - 0.9**2)) ** 0.5 + 1e-8)
    torch.testing.assert_close(before - q.detach(), torch.full_like(q, step), rtol=1e-12, atol=0)


def test_an_added_parameter_must_be_covered_and_leaves_no_trace_otherwise():
    p, q = parameters([(2,), (3,)])
    optimizer = BlockwiseAdam([p], partition=from_ids({p: torch.tensor([0, 1])}))
    with pytest.raises(ValueError, match="from_ids"):
        optimizer.add_param_group({"params": [q]})
    assert len(optimizer.param_groups) == 1
    with pytest.raises(ValueError, match="lr"):
        optimizer.add_param_group({"params": [q], "lr": -1.0})
    with pytest.raises(ValueError, match="partition"):
        optimizer.add_param_group({"params": [q], "partition": whole})
    assert len(optimizer.param_groups) == 1
    ids = {p: torch.tensor([0, 1]), q: torch.tensor([1, 2, 2])}
    later = BlockwiseAdam([p], partition=from_ids(ids))
    run(later, [p], 1)
    later.add_param_group({"params": [q]})
    run(later, [p, q], 1)


def test_a_shared_block_needs_one_beta2():
    p, q = parameters([(2,), (3,)])
    groups = [{"params": [p]}, {"params": [q], "betas": (0.9, 0.5)}]
    optimizer = BlockwiseAdam(groups, partition=whole)
    before = p.detach().clone()
    with pytest.raises(ValueError, match=r"betas\[1\]"):
        run(optimizer, [p, q], 1)
    assert torch.equal(p, before) and not optimizer.state
    run(BlockwiseAdam([dict(g) for g in groups], partition=per_tensor), [p, q], 1)


def test_an_empty_tensor_is_carried_along():
    for rule in (coordinatewise, whole, per_tensor, per_row):
        ps = parameters([(0, 3), (3, 0), (2,)])
        qs = parameters([(2,)])
        qs[0].data.copy_(ps[2].data)
        ps[0].grad, ps[1].grad = torch.zeros(0, 3), torch.zeros(3, 0)
        a, b = BlockwiseAdam(ps, partition=rule), BlockwiseAdam(qs, partition=rule)
        for _ in range(3):
            ps[2].grad = qs[0].grad = torch.tensor([1.0, 2.0])
            a.step()
            b.step()
        assert torch.equal(ps[2], qs[0])
        a.load_state_dict(a.state_dict())


@pytest.mark.parametrize("kind", ["nan", "inf"])
def test_numbers_that_are_not_finite_go_through_as_in_torch(kind):
    ps, qs = parameters([(3,), (2,)]), parameters([(3,), (2,)])
    for optimizer, rs in ((AdamW(ps), ps), (torch.optim.AdamW(qs), qs)):
        rs[0].grad, rs[1].grad = torch.tensor([1.0, float(kind), 2.0]), torch.ones(2)
        optimizer.step()
    for p, q in zip(ps, qs, strict=True):
        torch.testing.assert_close(p, q, equal_nan=True)
    rs = parameters([(3,), (2,)])
    optimizer = BlockwiseAdam(rs, partition=per_tensor)
    rs[0].grad, rs[1].grad = torch.tensor([1.0, float("nan"), 2.0]), torch.ones(2)
    optimizer.step()
    assert rs[0].isnan().all() and rs[1].isfinite().all()


# Saved states.


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_loaded_state_is_a_copy_that_goes_on_bit_for_bit(rule, dtype):
    ps, qs = parameters(dtype=dtype), parameters(dtype=dtype)
    # The parameter that keeps the shared table has not moved yet when the state is saved.
    a = BlockwiseAdam(ps, partition=RULES[rule](ps))
    run(a, ps, 3, skip=lambda t, k: k == 0)
    for p, q in zip(ps, qs, strict=True):
        q.data.copy_(p.data)
    b = BlockwiseAdam(qs, partition=RULES[rule](qs))
    b.load_state_dict(a.state_dict())
    x, y = run(a, ps, 3, seed=5), run(b, qs, 3, seed=5)
    assert all(torch.equal(s, t) for s, t in zip(x, y, strict=True))


@pytest.mark.parametrize(
    ("one", "other"), [p for p in itertools.permutations(RULES, 2) if "ids" not in "".join(p)]
)
def test_a_state_of_another_partition_is_refused_and_nothing_changed(one, other):
    ps = parameters()
    a, b = (BlockwiseAdam(ps, partition=RULES[rule](ps)) for rule in (one, other))
    run(a, ps, 1)
    run(b, ps, 1)
    before = copy.deepcopy(b.state_dict())
    with pytest.raises(ValueError, match="partition"):
        b.load_state_dict(a.state_dict())
    torch.testing.assert_close(b.state_dict()["state"], before["state"], rtol=0, atol=0)


def test_a_state_without_second_moments_is_refused():
    ps = parameters()
    sgd = torch.optim.SGD(ps, lr=0.1, momentum=0.9)
    run(sgd, ps, 1)
    with pytest.raises(ValueError, match="state_dict does not fit"):
        AdamW(ps).load_state_dict(sgd.state_dict())


@pytest.mark.parametrize("rule", RULES)
def test_a_copied_optimizer_goes_on_with_the_copied_parameters(rule):
    ps = parameters()
    a = BlockwiseAdam(ps, partition=RULES[rule](ps))
    run(a, ps, 3)
    b, qs = copy.deepcopy((a, ps))
    assert all(p is not q for p, q in zip(ps, qs, strict=True))
    x, y = run(a, ps, 3, seed=5), run(b, qs, 3, seed=5)
    assert all(torch.equal(s, t) for s, t in zip(x, y, strict=True))


# Bad input.


@pytest.mark.parametrize(
    ("options", "error", "named"),
    [
        ({"lr": -1.0}, ValueError, "lr"),
        ({"lr": float("nan")}, ValueError, "lr"),
        ({"lr": torch.tensor([0.1, 0.1])}, ValueError, "lr"),
        ({"lr": "0.1"}, TypeError, "lr"),
        ({"lr": None}, TypeError, "lr"),
        ({"betas": (1.0, 0.9)}, ValueError, r"betas\[0\]"),
        ({"betas": (0.9, 1.0)}, ValueError, r"betas\[1\]"),
        ({"betas": (0.9, -0.1)}, ValueError, r"betas\[1\]"),
        ({"betas": (0.9,)}, ValueError, "betas"),
        ({"betas": 0.9}, ValueError, "betas"),
        ({"eps": -1e-8}, ValueError, "eps"),
        ({"weight_decay": -0.1}, ValueError, "weight_decay"),
        ({"maximize": 1}, TypeError, "maximize"),
        ({"partition": "per_row"}, TypeError, "partition"),
        ({"partition": adam_mini}, TypeError, "partition"),
        ({"partition": None}, TypeError, "partition"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,  # no address: workers must agree
)
def test_bad_options_are_refused_by_name(options, error, named):
    p = nn.Parameter(torch.zeros(2))
    with pytest.raises(error, match=named):
        BlockwiseAdam([p], **options)
    if "partition" not in options:
        with pytest.raises(error, match=named):
            BlockwiseAdam([{"params": [p], **options}])


def test_bad_parameters_are_refused():
    with pytest.raises(ValueError, match="empty"):
        BlockwiseAdam([])
    with pytest.raises(TypeError, match="floating-point"):
        BlockwiseAdam([torch.zeros(2, dtype=torch.int64)])
    with pytest.raises(TypeError, match="sparse"):
        BlockwiseAdam([torch.zeros(2, 2).to_sparse()])
    with pytest.raises(ValueError, match="expanded"):
        BlockwiseAdam([torch.zeros(1).expand(4)])
    with pytest.raises(ValueError, match="conjugate"):
        BlockwiseAdam([torch.zeros(3, dtype=torch.complex64).conj()])
    p, q = parameters([(2,), (3,)])
    with pytest.raises(ValueError, match="from_ids"):
        BlockwiseAdam([p, q], partition=from_ids({p: torch.tensor([0, 0])}))
    with pytest.raises(TypeError, match="model"):
        AdamMini([p])
    with pytest.raises(ValueError, match="adam_mini"):
        AdamMini([p], model=nn.Linear(2, 2))


def test_the_partition_shows_in_the_repr():
    (p,) = parameters([(2,)])
    assert "partition: per_row" in repr(BlockwiseAdam([p], partition=per_row))
    assert "lr: 0.001" in repr(AdaSGD([p])) and "AdaSGD" in repr(AdaSGD([p]))

"""The GPT: against torch's own transformer layer, by its symmetries, and twice differentiable."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from linfcourse.models import GPT, GPTConfig
from linfcourse.models.gpt import Block, CausalSelfAttention
from linfcourse.partitions import adam_mini


def small(**changes) -> GPT:
    torch.manual_seed(0)
    sizes = {"vocab_size": 11, "context": 8, "n_layer": 2, "n_head": 2, "width": 12}
    return GPT(GPTConfig(**{**sizes, **changes}))


def tokens(B=3, T=8, V=11, seed=1):
    return torch.randint(V, (B, T), generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("norm_first", [True, False])
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("n_head", [1, 2, 4])
def test_block_equals_torchs_transformer_layer(n_head, bias, norm_first):
    torch.manual_seed(0)
    C = 16
    config = GPTConfig(
        vocab_size=5, context=9, n_head=n_head, width=C, bias=bias, norm_first=norm_first
    )
    block = Block(config).double()
    theirs = nn.TransformerEncoderLayer(
        C, n_head, 4 * C, dropout=0.0, activation="gelu", batch_first=True,
        norm_first=norm_first, bias=bias, dtype=torch.float64,
    )  # fmt: skip
    names = {
        "self_attn.in_proj_": block.attention.qkv,
        "self_attn.out_proj.": block.attention.proj,
        "linear1.": block.mlp.up,
        "linear2.": block.mlp.proj,
        "norm1.": block.norm1,
        "norm2.": block.norm2,
    }
    ours = {f"{k}{n}": p.normal_() for k, m in names.items()
            for n, p in ((n, p.data) for n, p in m.named_parameters())}  # fmt: skip
    theirs.load_state_dict(ours)
    x = torch.randn(2, 7, C, dtype=torch.float64)
    mask = torch.ones(7, 7, dtype=torch.bool).triu(1)
    torch.testing.assert_close(block(x), theirs(x, src_mask=mask), rtol=1e-12, atol=1e-12)


def test_no_token_sees_a_later_one():
    model, idx = small().double(), tokens()
    before = model(idx)
    for t in range(1, 8):
        changed = idx.clone()
        changed[:, t:] = (changed[:, t:] + 1) % 11
        after = model(changed)
        assert torch.equal(after[:, :t], before[:, :t])
        assert not torch.isclose(after[:, t], before[:, t]).any()


def test_a_short_sequence_gets_the_logits_of_the_long_ones_beginning():
    model, idx = small().double(), tokens()
    torch.testing.assert_close(model(idx[:, :3]), model(idx)[:, :3], rtol=0, atol=1e-14)


def test_the_last_token_looks_at_every_earlier_one():
    model = small(n_layer=1).double()
    for p in model.parameters():
        p.data.normal_()
    embedded = model.token(tokens(B=1)).detach().requires_grad_()
    out = model.blocks[0](embedded)[0, -1].square().sum()
    (grad,) = torch.autograd.grad(out, embedded)
    assert (grad[0].norm(dim=-1) > 0).all()


def test_loss_is_the_mean_negative_log_probability_of_the_targets():
    model, idx, targets = small().double(), tokens(), tokens(seed=2)
    p = model(idx).softmax(-1)
    expected = -sum(p[b, t, targets[b, t]].log() for b in range(3) for t in range(8)) / 24
    torch.testing.assert_close(model.loss(idx, targets), expected)


@pytest.mark.parametrize("tie_weights", [False, True])
@pytest.mark.parametrize("bias", [False, True])
def test_number_of_parameters(bias, tie_weights):
    V, T, L, C = 11, 8, 2, 12
    expected = V * C + T * C + L * (12 * C * C + 2 * C) + C
    expected += (L * (9 + 2) * C + C) if bias else 0
    expected += 0 if tie_weights else V * C
    model = small(bias=bias, tie_weights=tie_weights)
    assert sum(p.numel() for p in model.parameters()) == expected
    assert (model.head.weight is model.token.weight) == tie_weights


def test_post_ln_has_no_last_layer_norm_and_the_same_other_weights():
    pre, post = small(), small(norm_first=False)
    ours = dict(post.named_parameters())
    assert {n for n, _ in pre.named_parameters()} - set(ours) == {"norm.weight"}
    assert all(torch.equal(p, ours[n]) for n, p in pre.named_parameters() if n in ours)


def test_gpt2_has_its_124_million_parameters():
    with torch.device("meta"):
        model = GPT(GPTConfig.gpt2())
    assert sum(p.numel() for p in model.parameters()) == 124_373_760


def test_initialisation_is_gpt2s():
    torch.manual_seed(0)
    model = GPT(GPTConfig(vocab_size=200, context=64, n_layer=8, width=128, bias=True))
    for name, p in model.named_parameters():
        if name.endswith("bias"):
            assert not p.any(), name
        elif p.dim() == 1:
            assert (p == 1).all(), name
        else:
            std = 0.02 / 4 if name.endswith("proj.weight") else 0.02  # √(2·8) = 4
            assert p.std().item() == pytest.approx(std, rel=0.05), name
            assert abs(p.mean().item()) < 5 * std / math.sqrt(p.numel()), name


def test_the_same_seed_gives_the_same_model():
    for a, b in zip(small().parameters(), small().parameters(), strict=True):
        assert torch.equal(a, b)


def test_second_derivatives_agree_with_finite_differences_of_the_gradient():
    model = small(bias=True).double()
    params = list(model.parameters())
    for p in params:
        p.data.normal_(std=0.5)
    idx, targets = tokens(), tokens(seed=2)

    def gradient(create_graph=False):
        return torch.autograd.grad(model.loss(idx, targets), params, create_graph=create_graph)

    torch.manual_seed(3)
    v = [torch.randn_like(p) for p in params]
    dot = sum((g * w).sum() for g, w in zip(gradient(create_graph=True), v, strict=True))
    exact = torch.autograd.grad(dot, params)
    h = 1e-5
    sides = []
    for sign in (1, -1):
        with torch.no_grad():
            for p, w in zip(params, v, strict=True):
                p.add_(w, alpha=sign * h)
        sides.append(gradient())
        with torch.no_grad():
            for p, w in zip(params, v, strict=True):
                p.sub_(w, alpha=sign * h)
    for e, up, down in zip(exact, *sides, strict=True):
        torch.testing.assert_close((up - down) / (2 * h), e, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("bias", [False, True])
def test_adam_mini_blocks_are_heads_of_q_and_k_and_rows_of_v(bias):
    C, nh = 12, 3
    attention = CausalSelfAttention(GPTConfig(vocab_size=5, width=C, n_head=nh, bias=bias))
    blocks = attention.adam_mini_blocks()
    parameters = [attention.qkv.weight] + ([attention.qkv.bias] if bias else [])
    assert set(blocks) == set(parameters)
    for parameter in parameters:
        ids = blocks[parameter]
        assert ids.shape == parameter.shape and ids.dtype == torch.int64
        q, k, v = ids.chunk(3)
        for part in (q, k):
            heads = part.reshape(nh, -1)
            assert (heads == heads[:, :1]).all() and len(heads[:, 0].unique()) == nh
        rows = v.reshape(C, -1)
        assert (rows == rows[:, :1]).all() and len(rows[:, 0].unique()) == C
        assert len(ids.unique()) == 2 * nh + C  # no block reaches over two of Q, K, V


def test_adam_mini_partition_takes_the_attentions_word():
    model = small(tie_weights=True)
    weight = model.blocks[0].attention.qkv.weight
    ids = adam_mini(model).ids([weight]).view(weight.shape)
    ours = model.blocks[0].attention.adam_mini_blocks()[weight]
    assert torch.equal(ids, ours)
    B = len(adam_mini(model).ids(list(model.parameters())).unique())
    V, T, L, C, nh = 11, 8, 2, 12, 2
    per_block = (2 * nh + C) + C + 4 * C + C + 2  # qkv, proj, up, proj, two LayerNorms
    assert B == V + T + L * per_block + 1


class TestGenerate:
    def test_keeps_the_beginning_and_adds_as_many_as_asked(self):
        model, idx = small(), tokens(B=2, T=3)
        out = model.generate(idx, 12)  # longer than the context
        assert out.shape == (2, 15) and torch.equal(out[:, :3], idx)
        assert torch.equal(model.generate(idx, 0), idx)

    def test_temperature_zero_takes_the_likeliest(self):
        model, idx = small(), tokens(B=2, T=3)
        out = model.generate(idx, 9, temperature=0)
        for t in range(3, 12):
            following = model(out[:, max(0, t - 8) : t])[:, -1].argmax(-1)
            assert torch.equal(out[:, t], following)

    def test_draws_follow_the_models_probabilities(self):
        model = small()
        model.token.weight.data.mul_(40)
        idx = tokens(B=1, T=4)
        p = (model(idx)[0, -1] / 2).softmax(-1)
        n = 20_000
        out = model.generate(
            idx.expand(n, 4), 1, temperature=2.0, generator=torch.Generator().manual_seed(0)
        )
        counts = torch.bincount(out[:, -1], minlength=11)
        assert ((counts - n * p) ** 2 / (n * p)).sum() < 35  # χ² with 10 degrees: p > 1e-4

    def test_a_generator_makes_it_repeatable(self):
        model, idx = small(), tokens(B=2, T=3)
        runs = [
            model.generate(idx, 20, generator=torch.Generator().manual_seed(s)) for s in (5, 5, 6)
        ]
        assert torch.equal(runs[0], runs[1]) and not torch.equal(runs[0], runs[2])

    def test_generates_without_dropout_and_leaves_the_mode_alone(self):
        model = small(dropout=0.5)
        idx = tokens(B=2, T=3)
        assert torch.equal(model.generate(idx, 9, temperature=0), model.generate(idx, 9, 0.0))
        assert model.training
        model.eval().generate(idx, 1)
        assert not model.training

    @pytest.mark.parametrize("tokens_", [-1, 1.5, True])
    def test_refuses_a_number_of_tokens_that_is_none(self, tokens_):
        with pytest.raises(ValueError, match="tokens"):
            small().generate(tokens(), tokens_)

    @pytest.mark.parametrize("temperature", [-1.0, math.inf, math.nan])
    def test_refuses_a_temperature_that_is_none(self, temperature):
        with pytest.raises(ValueError, match="temperature"):
            small().generate(tokens(), 1, temperature)

    def test_refuses_an_empty_beginning(self):
        with pytest.raises(ValueError, match="T >= 1"):
            small().generate(torch.empty(1, 0, dtype=torch.int64), 1)


def test_dropout_acts_in_training_only():
    model, idx = small(dropout=0.3), tokens()
    assert not torch.equal(model(idx), model(idx))
    model.eval()
    assert torch.equal(model(idx), model(idx))


def test_runs_in_bf16_autocast_near_fp32():
    model, idx = small(), tokens()
    with torch.autocast("cpu", torch.bfloat16):
        low = model.loss(idx, idx)
    low.backward()
    torch.testing.assert_close(low.float(), model.loss(idx, idx), rtol=1e-2, atol=0)


def test_state_dict_round_trip():
    model, other = small(), small(bias=False)
    other.load_state_dict({k: v + 1 for k, v in model.state_dict().items()})
    assert torch.equal(other.token.weight, model.token.weight + 1)
    assert other.head.weight is other.token.weight


def test_compiles_to_a_graph_and_traces():
    model, idx = small().eval(), tokens()
    assert torch.equal(torch.func.functional_call(model, dict(model.named_parameters()), idx),
                       model(idx))  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "error", "named"),
    [
        ({"vocab_size": 0}, ValueError, "vocab_size"),
        ({"context": -1}, ValueError, "context"),
        ({"n_layer": 2.0}, TypeError, "n_layer"),
        ({"n_head": True}, TypeError, "n_head"),
        ({"width": 10, "n_head": 4}, ValueError, "multiple of n_head"),
        ({"dropout": 1.0}, ValueError, "dropout"),
        ({"dropout": -0.1}, ValueError, "dropout"),
        ({"dropout": math.nan}, ValueError, "dropout"),
        ({"dropout": "none"}, TypeError, "dropout"),
        ({"bias": 1}, TypeError, "bias"),
        ({"tie_weights": None}, TypeError, "tie_weights"),
        ({"norm_first": "yes"}, TypeError, "norm_first"),
    ],
)
def test_config_refuses_what_does_not_fit(changes, error, named):
    with pytest.raises(error, match=named):
        GPTConfig(**{"vocab_size": 5, **changes})


def test_config_cannot_be_changed():
    with pytest.raises(AttributeError):
        GPTConfig(vocab_size=5).width = 3


@pytest.mark.parametrize(
    ("idx", "error", "named"),
    [
        (torch.zeros(2, 9, dtype=torch.int64), ValueError, "context of 8"),
        (torch.zeros(8, dtype=torch.int64), ValueError, r"\(B, T\)"),
        (torch.zeros(2, 4), TypeError, "long"),
        (torch.zeros(2, 4, dtype=torch.uint8), TypeError, "long"),
        ([[1, 2]], TypeError, "list"),
    ],
)
def test_model_refuses_tokens_that_are_none(idx, error, named):
    with pytest.raises(error, match=named):
        small()(idx)


def test_model_refuses_targets_of_another_shape():
    with pytest.raises(ValueError, match="targets must have shape"):
        small().loss(tokens(), tokens(T=7))


def test_model_refuses_something_else_than_a_config():
    with pytest.raises(TypeError, match="GPTConfig"):
        GPT({"vocab_size": 3})


def test_attention_weights_are_those_of_torchs_fused_kernel():
    torch.manual_seed(0)
    attention = CausalSelfAttention(GPTConfig(vocab_size=5, n_head=2, width=8)).double()
    x = torch.randn(2, 6, 8, dtype=torch.float64)
    q, k, v = (t.view(2, 6, 2, 4).transpose(1, 2) for t in attention.qkv(x).chunk(3, dim=-1))
    y = F.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2).reshape(2, 6, 8)
    torch.testing.assert_close(attention(x), attention.proj(y))

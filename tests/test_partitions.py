"""Partitions: which coordinates are in one block, and what is refused."""

import copy
import pickle

import pytest
import torch
from torch import nn

from linfcourse.partitions import (
    Partition,
    adam_mini,
    coordinatewise,
    from_ids,
    per_row,
    per_tensor,
    whole,
)

CONSTANTS = [coordinatewise, whole, per_tensor, per_row]


def parameters(*shapes, dtype=torch.float32):
    return [nn.Parameter(torch.zeros(shape, dtype=dtype)) for shape in shapes]


def numbered(labels):
    """The same cut, with labels numbered as they first appear."""
    seen = {}
    return [seen.setdefault(int(label), len(seen)) for label in labels]


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        (coordinatewise, list(range(12))),
        (whole, [0] * 12),
        (per_tensor, [0] * 6 + [1] * 3 + [2] + [3] * 2),
        (per_row, [0, 0, 0, 1, 1, 1, 2, 3, 4, 5, 6, 7]),
    ],
)
def test_a_rule_labels_the_coordinates_in_order(rule, expected):
    ids = rule.ids(parameters((2, 3), (3,), (), (2, 1)))
    assert ids.dtype == torch.int64
    assert ids.tolist() == expected


def test_the_rows_of_a_convolution_are_its_filters():
    (p,) = parameters((2, 3, 2, 2))
    assert per_row.ids([p]).tolist() == [0] * 12 + [1] * 12


def test_a_complex_entry_is_two_coordinates():
    (p,) = parameters((2, 2), dtype=torch.complex64)
    assert coordinatewise.ids([p]).tolist() == list(range(8))
    assert per_row.ids([p]).tolist() == [0] * 4 + [1] * 4
    assert from_ids({p: torch.tensor([[5, 5], [5, 9]])}).ids([p]).tolist() == [0] * 6 + [1] * 2
    parts = torch.arange(8).reshape(2, 2, 2)
    assert from_ids({p: parts}).ids([p]).tolist() == list(range(8))


def test_empty_tensors_take_no_labels():
    a, b, c = parameters((0, 3), (3, 0), (2,))
    for rule in CONSTANTS:
        assert rule.ids([a, b, c]).tolist() == rule.ids([c]).tolist()
    empty = torch.empty(0, 3, dtype=torch.int64)
    labels = {a: empty, b: empty.T, c: torch.tensor([7, 7])}
    assert from_ids(labels).ids([a, b, c]).tolist() == [0, 0]


@pytest.mark.parametrize("seed", range(20))
def test_from_ids_cuts_as_the_labels_say(seed):
    generator = torch.Generator().manual_seed(seed)
    ps = parameters((2, 3), (4,), (), (2, 2, 2), (5, 1), (1, 5))
    high = (2, 5, 50, 2**40)[seed % 4]
    labels = {p: torch.randint(0, high, p.shape, generator=generator) for p in ps}
    if seed % 2:  # whole rows of one label, which are stored in another way
        labels = {p: ids[..., :1].expand(p.shape).clone() if p.dim() else ids
                  for p, ids in labels.items()}  # fmt: skip
    order = [ps[k] for k in torch.randperm(len(ps), generator=generator)]
    flat = torch.cat([labels[p].flatten() for p in order])
    assert from_ids(labels).ids(order).tolist() == numbered(flat)


def test_from_ids_says_the_same_as_each_rule():
    ps = parameters((2, 3), (3,), (), (4, 2))
    for rule in CONSTANTS:
        split = rule.ids(ps).split([p.numel() for p in ps])
        labels = {p: ids.reshape(p.shape) for p, ids in zip(ps, split, strict=True)}
        assert torch.equal(from_ids(labels).ids(ps), rule.ids(ps))


def test_labels_are_copied():
    (p,) = parameters((3,))
    labels = torch.tensor([0, 1, 1])
    rule = from_ids({p: labels})
    labels.zero_()
    assert rule.ids([p]).tolist() == [0, 1, 1]


@pytest.mark.parametrize("rule", CONSTANTS, ids=repr)
def test_a_constant_stays_itself_when_copied(rule):
    assert copy.deepcopy(rule) is rule
    assert pickle.loads(pickle.dumps(rule)) is rule
    assert repr(rule) in ("coordinatewise", "whole", "per_tensor", "per_row")
    assert isinstance(rule, Partition)


def test_listed_partitions_go_with_their_parameters_through_copies():
    model = nn.Linear(2, 3)
    for rule in (
        from_ids({p: torch.arange(p.numel()).reshape(p.shape) // 2 for p in model.parameters()}),
        adam_mini(model),
    ):
        for again in (
            copy.deepcopy((model, rule)),
            pickle.loads(pickle.dumps((model, rule))),
        ):
            other, copied = again
            expected = rule.ids(model.parameters())
            assert torch.equal(copied.ids(other.parameters()), expected)
            assert repr(copied) == repr(rule)


class Fused(nn.Module):
    """Attention with one matrix for q, k, v of two heads, that says how it is cut."""

    def __init__(self):
        super().__init__()
        self.qkv = nn.Linear(4, 12, bias=False)
        self.out = nn.Linear(4, 4)

    def adam_mini_blocks(self):
        rows = torch.tensor([0, 0, 1, 1, 2, 2, 3, 3, 4, 5, 6, 7])
        return {self.qkv.weight: rows.unsqueeze(1).expand(12, 4)}


def test_adam_mini_knows_the_layers():
    model = nn.ModuleList(
        [nn.Embedding(3, 2), nn.Linear(2, 2), nn.LayerNorm(2), nn.Conv1d(2, 2, 2), Fused()]
    )
    rule = adam_mini(model)
    cuts = {name: numbered(rule.ids([p])) for name, p in model.named_parameters()}
    assert cuts["0.weight"] == [0, 0, 1, 1, 2, 2]
    assert cuts["1.weight"] == [0, 0, 1, 1]
    assert cuts["1.bias"] == [0, 0]
    assert cuts["2.weight"] == cuts["2.bias"] == [0, 0]
    assert cuts["3.weight"] == [0] * 8
    rows = [0, 0, 1, 1, 2, 2, 3, 3, 4, 5, 6, 7]
    assert cuts["4.qkv.weight"] == [row for row in rows for _ in range(4)]
    assert cuts["4.out.weight"] == [row for row in range(4) for _ in range(4)]
    # No block lies in two tensors.
    count = sum(max(cut) + 1 for cut in cuts.values())
    assert int(rule.ids(model.parameters()).max()) + 1 == count


@pytest.mark.parametrize("kdim", [None, 6])
def test_adam_mini_cuts_multi_head_attention_by_head_for_q_and_k(kdim):
    layer = nn.MultiheadAttention(4, 2, kdim=kdim, vdim=kdim)
    rule = adam_mini(layer)
    cut = {name: numbered(rule.ids([p])) for name, p in layer.named_parameters()}
    if kdim is None:
        rows = [0, 0, 1, 1, 2, 2, 3, 3, 4, 5, 6, 7]
        assert cut["in_proj_weight"] == [row for row in rows for _ in range(4)]
    else:
        assert cut["q_proj_weight"] == [0] * 8 + [1] * 8
        assert cut["k_proj_weight"] == [0] * 12 + [1] * 12
        assert cut["v_proj_weight"] == [row for row in range(4) for _ in range(6)]
    assert cut["out_proj.weight"] == [row for row in range(4) for _ in range(4)]
    assert cut["in_proj_bias"] == [0] * 12


def test_adam_mini_takes_tied_weights_once():
    model = nn.ModuleList([nn.Embedding(3, 2), nn.Linear(2, 3, bias=False)])
    model[1].weight = model[0].weight
    assert adam_mini(model).ids(model.parameters()).tolist() == [0, 0, 1, 1, 2, 2]


def test_incomplete_and_misshapen_labels_are_refused():
    p, q = parameters((2, 2), (3,))
    with pytest.raises(ValueError, match=r"incomplete.*from_ids"):
        from_ids({p: torch.zeros(2, 2, dtype=torch.int64)}).ids([p, q])
    with pytest.raises(ValueError, match="shape"):
        from_ids({p: torch.zeros(4, dtype=torch.int64)})
    with pytest.raises(ValueError, match="at least 0"):
        from_ids({p: torch.tensor([[0, 1], [1, -1]])})
    with pytest.raises(ValueError, match="empty"):
        from_ids({})
    with pytest.raises(TypeError, match="int64"):
        from_ids({p: torch.zeros(2, 2)})
    with pytest.raises(TypeError, match="int64"):
        from_ids({p: torch.zeros(2, 2, dtype=torch.int32)})
    with pytest.raises(TypeError, match="int64"):
        from_ids({p: [[0, 0], [0, 0]]})
    with pytest.raises(TypeError, match="parameters themselves"):
        from_ids({"weight": torch.zeros(2, 2, dtype=torch.int64)})
    with pytest.raises(TypeError, match="dictionary"):
        from_ids([torch.zeros(2, 2, dtype=torch.int64)])


def test_ids_refuses_what_is_not_a_sequence_of_tensors():
    (p,) = parameters((2, 2))
    with pytest.raises(TypeError, match=r"\[tensor\]"):
        whole.ids(p)
    with pytest.raises(ValueError, match="empty"):
        whole.ids([])
    with pytest.raises(TypeError, match="str"):
        whole.ids(["weight"])


def test_adam_mini_refuses_what_it_cannot_read():
    with pytest.raises(TypeError, match="model"):
        adam_mini([nn.Parameter(torch.zeros(2))])
    with pytest.raises(ValueError, match="adam_mini the model"):
        adam_mini(nn.Linear(2, 2)).ids(nn.Linear(2, 2).parameters())

    class Foreign(nn.Linear):
        def adam_mini_blocks(self):
            return {nn.Parameter(torch.zeros(2)): torch.zeros(2, dtype=torch.int64)}

    with pytest.raises(ValueError, match="no parameter of the model"):
        adam_mini(Foreign(2, 2))

    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = Fused()

        def adam_mini_blocks(self):
            return {self.inner.qkv.weight: torch.zeros(12, 4, dtype=torch.int64)}

    with pytest.raises(ValueError, match="two modules"):
        adam_mini(Twice())

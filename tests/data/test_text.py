"""Texts as tokens, and the batches of them."""

import pickle

import numpy as np
import pytest
import torch

from linfcourse.data import CharText, shakespeare
from linfcourse.data.embedded import SHA256, read_embedded
from linfcourse.data.text import TextSampler


def numbered(n=50):
    """A text whose token i is i: every window says where it came from."""
    return np.arange(n, dtype=np.uint8)


class TestShakespeare:
    def test_is_the_published_text(self):
        text = shakespeare()
        assert text.vocab_size == 84
        assert len(text.train) + len(text.val) == 5_057_321
        assert len(text.val) == 505_732
        assert text.train.dtype == torch.uint8
        assert text.decode(text.train[:25]) == "ALL'S WELL THAT ENDS WELL"
        assert text.decode(text.val[-20:]) == "ad away!\n\n[Exeunt.]\n"

    def test_is_read_once(self):
        assert shakespeare() is shakespeare()

    def test_every_token_is_used_and_none_lies_outside(self):
        counts = torch.bincount(shakespeare().train, minlength=84)
        counts += torch.bincount(shakespeare().val, minlength=84)
        assert len(counts) == 84 and (counts > 0).all()

    def test_the_first_batch_stays_the_same_from_version_to_version(self):
        idx, targets = shakespeare().sampler(2, 12, seed=0)(0)
        assert shakespeare().decode(idx[0]) == "see,\nIn Fulv"
        assert shakespeare().decode(targets[1]) == " afternoon\nW"


class TestCharText:
    def test_decode_undoes_encode(self):
        text = CharText.from_text("Größe, naïve — 🙂 and plain")
        for string in ("", "naïve", "🙂🙂", "Größe, naïve — 🙂 and plain"):
            ids = text.encode(string)
            assert ids.dtype == torch.int64 and text.decode(ids) == string
            assert text.decode(ids.tolist()) == string

    def test_tokens_are_the_texts_characters_in_order(self):
        string = "the quick brown fox " * 5
        text = CharText.from_text(string, val_fraction=0.25)
        assert text.decode(text.train) + text.decode(text.val) == string
        assert len(text.val) == 25
        assert text.alphabet == "".join(sorted(set(string)))
        assert len(CharText.from_text(string, val_fraction=0.0).val) == 0

    def test_refuses_a_character_that_it_does_not_know(self):
        with pytest.raises(ValueError, match=r"\['x', 'z'\]"):
            CharText.from_text("abc").encode("azbx")

    @pytest.mark.parametrize("ids", [[3], [-1], torch.tensor([0, 9])])
    def test_refuses_a_token_that_there_is_not(self, ids):
        with pytest.raises(ValueError, match="between 0 and 2"):
            CharText.from_text("abc").decode(ids)

    @pytest.mark.parametrize("ids", [torch.tensor([[0, 1]]), torch.tensor(1), [[0]]])
    def test_refuses_what_is_not_one_sequence(self, ids):
        with pytest.raises(ValueError, match="one sequence"):
            CharText.from_text("abc").decode(ids)

    @pytest.mark.parametrize("text", ["", 3, b"abc"])
    def test_refuses_what_is_no_text(self, text):
        with pytest.raises(ValueError, match="text"):
            CharText.from_text(text)

    def test_refuses_more_than_256_characters(self):
        with pytest.raises(ValueError, match="257"):
            CharText.from_text("".join(map(chr, range(257))))

    @pytest.mark.parametrize("fraction", [-0.1, 1.0])
    def test_refuses_a_fraction_that_leaves_no_text(self, fraction):
        with pytest.raises(ValueError, match="val_fraction"):
            CharText.from_text("abc", fraction)


class TestSampler:
    def test_targets_are_the_text_one_token_later(self):
        idx, targets = TextSampler(numbered(), 20, context=7, seed=1)(3)
        assert idx.shape == targets.shape == (20, 7)
        assert idx.dtype == targets.dtype == torch.int64
        assert torch.equal(targets, idx + 1)
        assert torch.equal(idx, idx[:, :1] + torch.arange(7))
        assert idx.is_contiguous() and targets.is_contiguous()

    def test_every_window_of_the_text_comes_and_equally_often(self):
        n, context, batch, steps = 12, 4, 50, 100
        sampler = TextSampler(numbered(n), batch, context)
        starts = torch.cat([sampler(step)[0][:, 0] for step in range(steps)])
        counts = torch.bincount(starts)
        assert len(counts) == n - context  # the last window's last target is the last token
        expected = batch * steps / (n - context)
        assert ((counts - expected) ** 2 / expected).sum() < 25  # χ² with 7 degrees: p > 1e-3

    def test_a_batch_does_not_depend_on_what_was_asked_before(self):
        forward = TextSampler(numbered(), 4, 5, seed=2)
        backward = TextSampler(numbered(), 4, 5, seed=2)
        a = {s: forward(s)[0] for s in range(20)}
        b = {s: backward(s)[0] for s in reversed(range(20))}
        assert all(torch.equal(a[s], b[s]) for s in a)
        assert torch.equal(pickle.loads(pickle.dumps(forward))(7)[0], a[7])

    def test_steps_seeds_and_splits_draw_differently(self):
        text = CharText.from_text("abcdefghij" * 100, val_fraction=0.5)
        draws = [
            text.sampler(8, 5, seed, split)(step)[0]
            for seed in (0, 1)
            for split in ("train", "val")
            for step in (0, 1, 2)
        ]
        for i, a in enumerate(draws):
            assert not any(torch.equal(a, b) for b in draws[:i])

    def test_leaves_the_global_random_numbers_alone(self):
        torch.manual_seed(0)
        np.random.seed(0)  # noqa: NPY002
        before = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
        TextSampler(numbered(), 4, 5)(0)
        assert torch.equal(before[0], torch.get_rng_state())
        assert (before[1] == np.random.get_state()[1]).all()  # noqa: NPY002

    def test_a_split_is_never_left(self):
        text = CharText.from_text("a" * 30 + "b" * 10, val_fraction=0.25)
        assert {text.sampler(50, 3, split="train")(s)[1].max().item() for s in range(9)} == {0}
        assert {text.sampler(50, 3, split="val")(s)[0].min().item() for s in range(9)} == {1}

    def test_a_window_may_be_all_the_text(self):
        idx, targets = TextSampler(numbered(6), 3, context=5)(0)
        assert idx[0].tolist() == [0, 1, 2, 3, 4] and targets[0].tolist() == [1, 2, 3, 4, 5]

    @pytest.mark.parametrize(
        ("changes", "error", "named"),
        [
            ({"context": 50}, ValueError, "context must be shorter"),
            ({"context": 0}, ValueError, "context"),
            ({"context": 2.0}, TypeError, "context"),
            ({"batch_size": 0}, ValueError, "batch_size"),
            ({"batch_size": True}, TypeError, "batch_size"),
            ({"seed": -1}, ValueError, "seed"),
            ({"seed": None}, TypeError, "seed"),
        ],
    )
    def test_refuses_what_does_not_fit(self, changes, error, named):
        with pytest.raises(error, match=named):
            TextSampler(numbered(), **{"batch_size": 2, "context": 5, **changes})

    @pytest.mark.parametrize(("step", "error"), [(-1, ValueError), (0.5, TypeError)])
    def test_refuses_a_step_that_is_none(self, step, error):
        with pytest.raises(error, match="step"):
            TextSampler(numbered(), 2, 5)(step)

    def test_refuses_a_split_that_there_is_not(self):
        with pytest.raises(ValueError, match="train, val; got 'test'"):
            shakespeare().sampler(2, 5, split="test")


class TestEmbedded:
    @pytest.mark.parametrize("name", SHA256)
    def test_a_missing_file_is_named(self, tmp_path, name):
        with pytest.raises(FileNotFoundError, match=f"{name} is missing: install"):
            read_embedded(name, tmp_path)

    @pytest.mark.parametrize("name", SHA256)
    def test_one_changed_bit_is_noticed(self, tmp_path, name):
        content = bytearray(read_embedded(name))
        content[len(content) // 2] ^= 1
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ValueError, match=f"{name} is damaged"):
            read_embedded(name, tmp_path)

    def test_the_notices_come_with_the_files(self):
        from importlib import resources

        notice = (resources.files("linfcourse.data") / "NOTICE.md").read_text(encoding="utf-8")
        for needed in ("Open Knowledge", "Attribution 2.5", "Zalando SE", "MIT License",
                       "WITHOUT WARRANTY OF ANY KIND", *SHA256):  # fmt: skip
            assert needed in notice

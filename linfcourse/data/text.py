"""Text as numbers, and batches of it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from linfcourse.data.random_access import check_count, check_split, uniform_words


class TextSampler:
    """Random windows of a text: ``sampler(step)`` is (idx, targets), the same whenever asked.

    Each window starts anywhere with equal probability; its targets are the same text one token
    later. There is no state: the batch is a function of (seed, split, step), equal on every device,
    so a resumed run sees what the uninterrupted one would have seen.

    Args:
        tokens: (N,) integers, in memory or memory-mapped.
        batch_size: windows B in a batch.
        context: tokens T in a window.
        seed: of the draws, >= 0.
        split: names the random stream, so that two splits do not draw alike.
        device: where the batches go (default: the CPU).
    """

    def __init__(
        self,
        tokens: np.ndarray,
        batch_size: int,
        context: int,
        seed: int = 0,
        split: str = "train",
        device: torch.device | str | None = None,
    ) -> None:
        check_count("batch_size", batch_size)
        check_count("context", context)
        check_count("seed", seed, least=0)
        if len(tokens) <= context:
            raise ValueError(
                f"context must be shorter than the {split} text of {len(tokens)} tokens, "
                f"got {context}"
            )
        self.tokens = tokens
        self.batch_size, self.context = batch_size, context
        self.seed, self.split = seed, split
        self.device = torch.device("cpu" if device is None else device)
        self._window = np.arange(context + 1)

    def __call__(self, step: int) -> tuple[Tensor, Tensor]:
        """The batch of that step: idx and targets, (B, T) int64 each."""
        check_count("step", step, least=0)
        words = uniform_words(self.seed, self.split, step, self.batch_size)
        starts = (words % np.uint64(len(self.tokens) - self.context)).astype(np.int64)
        windows = torch.from_numpy(self.tokens[starts[:, None] + self._window].astype(np.int64))
        if self.device.type == "cuda":
            # From pinned memory the copy does not make the host wait for the device.
            windows = windows.pin_memory().to(self.device, non_blocking=True)
        else:
            windows = windows.to(self.device)
        return windows[:, :-1].contiguous(), windows[:, 1:].contiguous()

    def __repr__(self) -> str:
        return (
            f"TextSampler({len(self.tokens)} {self.split} tokens, batch_size={self.batch_size}, "
            f"context={self.context}, seed={self.seed}, device={str(self.device)!r})"
        )


@dataclass(frozen=True, eq=False)
class CharText:
    """A text at character level: token i is the i-th character of a sorted alphabet.

    Attributes:
        alphabet: every character of the text, sorted.
        train: (N,) uint8 tokens, the first part of the text. Shared by all users: do not write.
        val: the rest.

    >>> text = CharText.from_text("to be or not to be, that is", val_fraction=0.25)
    >>> text.vocab_size, len(text.train), len(text.val)
    (12, 21, 6)
    >>> text.decode(text.encode("or not"))
    'or not'
    """

    alphabet: str
    train: Tensor
    val: Tensor
    _codes: dict[str, int] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_codes", {c: i for i, c in enumerate(self.alphabet)})

    @classmethod
    def from_text(cls, text: str, val_fraction: float = 0.1) -> CharText:
        """Number the characters and cut off the end for validation.

        Args:
            text: with at most 256 different characters.
            val_fraction: part of the text, from its end, in [0, 1).
        """
        if not isinstance(text, str) or not text:
            raise ValueError("text must be a string that is not empty")
        if not 0.0 <= val_fraction < 1.0:
            raise ValueError(f"val_fraction must lie in [0, 1), got {val_fraction!r}")
        alphabet = sorted(set(text))
        if len(alphabet) > 256:
            raise ValueError(f"text has {len(alphabet)} different characters, more than 256")
        points = np.frombuffer(text.encode("utf-32-le"), dtype=np.uint32)
        code_of_point = np.zeros(ord(alphabet[-1]) + 1, dtype=np.uint8)
        code_of_point[[ord(c) for c in alphabet]] = np.arange(len(alphabet))
        tokens = torch.from_numpy(code_of_point[points])
        cut = len(tokens) - int(len(tokens) * val_fraction)
        return cls("".join(alphabet), tokens[:cut], tokens[cut:])

    @property
    def vocab_size(self) -> int:
        """Number of different characters."""
        return len(self.alphabet)

    def encode(self, string: str) -> Tensor:
        """The tokens of a string, (len(string),) int64.

        Raises:
            ValueError: a character does not occur in the text.
        """
        unknown = sorted(set(string) - self._codes.keys())
        if unknown:
            raise ValueError(
                f"string has characters that the text does not: {unknown}; "
                f"the alphabet is {self.alphabet!r}"
            )
        return torch.tensor([self._codes[c] for c in string], dtype=torch.int64)

    def decode(self, ids: Tensor | Iterable[int]) -> str:
        """The string of a sequence of tokens, (N,).

        Raises:
            ValueError: ids are not one sequence, or out of range.
        """
        ids = ids.tolist() if isinstance(ids, Tensor) else list(ids)
        if not isinstance(ids, list) or any(isinstance(i, list) for i in ids):
            raise ValueError(
                "ids must be one sequence of tokens: decode the rows of a batch singly"
            )
        for i in (min(ids), max(ids)) if ids else ():
            if not 0 <= i < self.vocab_size:
                raise ValueError(f"ids must lie between 0 and {self.vocab_size - 1}, got {i}")
        return "".join(map(self.alphabet.__getitem__, ids))

    def sampler(
        self,
        batch_size: int,
        context: int,
        seed: int = 0,
        split: str = "train",
        device: torch.device | str | None = None,
    ) -> TextSampler:
        """Batches of random windows: ``sampler(step) -> (idx, targets)``, (B, T) int64 each.

        Args:
            batch_size: windows B in a batch.
            context: characters T in a window.
            seed: of the draws; equal seeds give equal batches on every device.
            split: ``"train"`` or ``"val"``.
            device: where the batches go.

        >>> idx, targets = CharText.from_text("abcdefgh" * 9).sampler(2, context=4)(step=0)
        >>> bool((idx[:, 1:] == targets[:, :-1]).all())
        True
        """
        check_split(split, ("train", "val"))
        tokens = (self.train if split == "train" else self.val).numpy()
        return TextSampler(tokens, batch_size, context, seed, split, device)

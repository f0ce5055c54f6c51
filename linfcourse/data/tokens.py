"""A text of any size as one memory-mapped file of 16-bit tokens."""

from __future__ import annotations

import json
import shutil
import tempfile
import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from linfcourse.data.random_access import check_split
from linfcourse.data.text import TextSampler

END = np.uint16(256)  # of a document of bytes


@dataclass(frozen=True)
class Tokenizer:
    """How documents become numbers: a name, a vocabulary size, a function.

    Attributes:
        name: ``"gpt2"`` (tiktoken's byte pairs) or ``"bytes"``.
        vocab_size: at most 65,536, so that a token fits in 16 bits.
        encode: string -> tokens, the end-of-document token last.
    """

    name: str
    vocab_size: int
    encode: Callable[[str], Sequence[int] | np.ndarray]


def byte_tokenizer() -> Tokenizer:
    """Every UTF-8 byte is a token, and 256 ends a document: needs nothing, knows no words.

    >>> byte_tokenizer().encode("Oh!")
    array([ 79, 104,  33, 256], dtype=uint16)
    """

    def encode(text: str) -> np.ndarray:
        return np.append(np.frombuffer(text.encode("utf-8"), np.uint8).astype(np.uint16), END)

    return Tokenizer("bytes", 257, encode)


def gpt2_tokenizer() -> Tokenizer:
    """GPT-2's 50,257 byte pairs, from tiktoken (which fetches its table the first time).

    Raises:
        ImportError: tiktoken is not installed.
        OSError: its table is not there and cannot be fetched.
    """
    import tiktoken

    table = tiktoken.get_encoding("gpt2")
    return Tokenizer(
        "gpt2", table.n_vocab, lambda text: [*table.encode_ordinary(text), table.eot_token]
    )


def find_tokenizer(name: str | None = None) -> Tokenizer:
    """The tokenizer of that name; None takes GPT-2's, or bytes with a warning that says why.

    Raises:
        ValueError: an unknown name.
        ImportError, OSError: GPT-2's was asked for by name and cannot be had.
    """
    if name == "bytes":
        return byte_tokenizer()
    if name == "gpt2":
        return gpt2_tokenizer()
    if name is not None:
        raise ValueError(f"tokenizer must be 'gpt2', 'bytes' or None, got {name!r}")
    try:
        return gpt2_tokenizer()
    except (ImportError, OSError) as error:
        warnings.warn(
            f"GPT-2's tokenizer is not to be had ({error}): every byte is a token instead. "
            "For GPT-2's, pip install tiktoken, with a network the first time.",
            stacklevel=3,
        )
        return byte_tokenizer()


@dataclass(frozen=True, eq=False)
class TokenText:
    """A tokenised text on disk; only what a batch touches is read.

    Attributes:
        train, val: (N,) uint16 memory maps; val is the last tenth, at most five million tokens.
        vocab_size: number of different tokens that there can be.
        source: what the text is, for records.
        tokenizer: name of the tokenizer.
    """

    train: np.ndarray
    val: np.ndarray
    vocab_size: int
    source: str
    tokenizer: str

    def sampler(
        self,
        batch_size: int,
        context: int,
        seed: int = 0,
        split: str = "train",
        device: torch.device | str | None = None,
    ) -> TextSampler:
        """Batches of random windows; see :meth:`linfcourse.data.CharText.sampler`."""
        check_split(split, ("train", "val"))
        tokens = self.train if split == "train" else self.val
        return TextSampler(tokens, batch_size, context, seed, split, device)


def write_tokens(
    documents: Iterable[str], folder: str | Path, tokenizer: Tokenizer, source: str
) -> TokenText:
    """Tokenise documents one after the other into ``folder``, which appears when it is complete.

    Args:
        documents: strings; only one is in memory at a time.
        folder: must not exist yet. A run that is killed leaves nothing of that name.
        tokenizer: see :func:`find_tokenizer`.
        source: what the text is.

    Raises:
        ValueError: there is no text in the documents.
    """
    folder = Path(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    unfinished = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        count = 0
        with (unfinished / "tokens.bin").open("wb") as file:
            for document in documents:
                tokens = np.asarray(tokenizer.encode(document), dtype="<u2")
                file.write(tokens.tobytes())
                count += len(tokens)
        if count < 2:
            raise ValueError(f"documents must hold some text, but {source} holds none")
        meta = {
            "tokens": count,
            "vocab_size": tokenizer.vocab_size,
            "tokenizer": tokenizer.name,
            "source": source,
        }
        (unfinished / "meta.json").write_text(json.dumps(meta), encoding="utf-8")
        unfinished.rename(folder)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)  # gone already if all went well
    return read_tokens(folder)


def read_tokens(folder: str | Path) -> TokenText:
    """Open what :func:`write_tokens` wrote.

    Raises:
        FileNotFoundError: there is nothing.
        ValueError: it is damaged.
    """
    folder = Path(folder)
    meta_file, file = folder / "meta.json", folder / "tokens.bin"
    for needed in (meta_file, file):
        if not needed.is_file():
            raise FileNotFoundError(f"{needed} is missing: delete {folder} to make it again")
    try:
        meta = json.loads(meta_file.read_text(encoding="utf-8"))
        count, vocab_size = int(meta["tokens"]), int(meta["vocab_size"])
        source, name = str(meta["source"]), str(meta["tokenizer"])
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{meta_file} is damaged: delete {folder} to make it again") from error
    if file.stat().st_size != 2 * count:
        raise ValueError(f"{file} is cut off or damaged: delete {folder} to make it again")
    tokens = np.memmap(file, dtype="<u2", mode="r")
    val = min(count // 10, 5_000_000)
    return TokenText(tokens[: count - val], tokens[count - val :], vocab_size, source, name)

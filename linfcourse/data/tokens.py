"""A text of any size as one memory-mapped file of 16-bit tokens."""

from __future__ import annotations

import json
import os
import shutil
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from filelock import FileLock, Timeout  # torch requires it, so it is there
from tqdm import tqdm

from linfcourse.data.random_access import check_split
from linfcourse.data.text import TextSampler

END = np.uint16(256)  # of a document of bytes
SAVE_EVERY = 2**24  # tokens, 32 MB


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
    documents: Iterable[str],
    folder: str | Path,
    tokenizer: Tokenizer,
    source: str,
    progress: bool | None = None,
) -> TokenText:
    """Tokenise documents one after the other into ``folder``, which appears when it is complete.

    One process at a time writes to a folder: any other that is asked for the same one waits, says
    so, and opens what the first has made. A run that is killed goes on after its last few million
    tokens when it is made again with the same documents.

    Args:
        documents: strings; only one is in memory at a time.
        folder: opened if it is there already.
        tokenizer: see :func:`find_tokenizer`.
        source: what the text is.
        progress: a count of documents on stderr; None shows it only in a terminal.

    Raises:
        ValueError: there is no text in the documents.
    """
    folder = Path(folder)
    with one_at_a_time(folder, f"tokenising {source}"):
        if not folder.exists():
            _write(documents, folder, tokenizer, source, progress)
    return read_tokens(folder)


@contextmanager
def one_at_a_time(path: Path, work: str) -> Iterator[None]:
    """Inside, this is the only process at work on ``path``; others wait, and say for what.

    The lock is the system's, on a file beside ``path``: it ends with its process, however that
    ends, and holds between machines where their shared disk supports locks.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path.parent / f".{path.name}.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        print(f"linfcourse: another process is {work}: waiting for it", file=sys.stderr, flush=True)
        lock.acquire(poll_interval=1.0)
    try:
        yield
    finally:
        lock.release()


def _write(
    documents: Iterable[str],
    folder: Path,
    tokenizer: Tokenizer,
    source: str,
    progress: bool | None,
) -> None:
    unfinished = folder.parent / f".{folder.name}.unfinished"
    run = {"vocab_size": tokenizer.vocab_size, "tokenizer": tokenizer.name, "source": source}
    done, count = _begun(unfinished, run)
    kept = count  # tokens that a killed run would find again
    show = sys.stderr.isatty() if progress is None else progress
    try:
        with (unfinished / "tokens.bin").open("r+b") as file:
            file.truncate(2 * count)
            file.seek(2 * count)
            bar = tqdm(
                islice(documents, done, None), f"tokenising {source}", initial=done,
                unit=" documents", disable=not show, file=sys.stderr, mininterval=1.0,
            )  # fmt: skip
            for document in bar:
                tokens = np.asarray(tokenizer.encode(document), dtype="<u2")
                file.write(tokens.tobytes())
                done, count = done + 1, count + len(tokens)
                if count - kept >= SAVE_EVERY:
                    bar.set_postfix(tokens=f"{count:,}", refresh=False)
                    file.flush()
                    os.fsync(file.fileno())
                    _put(unfinished / "begun.json", {**run, "documents": done, "tokens": count})
                    kept = count
        if count < 2:
            raise ValueError(f"documents must hold some text, but {source} holds none")
        _put(unfinished / "meta.json", {"tokens": count, **run})
        (unfinished / "begun.json").unlink(missing_ok=True)
        unfinished.rename(folder)
    except BaseException as error:
        if isinstance(error, ValueError) or not kept:  # nothing that another try could go on from
            shutil.rmtree(unfinished, ignore_errors=True)
        raise


def _begun(unfinished: Path, run: dict[str, Any]) -> tuple[int, int]:
    """Documents and tokens that a killed run left in the folder; (0, 0) and an empty file else."""
    file = unfinished / "tokens.bin"
    try:
        begun = json.loads((unfinished / "begun.json").read_text(encoding="utf-8"))
        done, count = int(begun.pop("documents")), int(begun.pop("tokens"))
        if begun == run and file.stat().st_size >= 2 * count:
            return done, count
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        pass  # no such run, or one that was damaged
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    file.touch()
    return 0, 0


def _put(path: Path, content: dict[str, Any]) -> None:
    partial = path.with_suffix(".part")
    partial.write_text(json.dumps(content), encoding="utf-8")
    os.replace(partial, path)


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

"""OpenWebText and WikiText-103, tokenised once; or the reader's own text files."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from linfcourse.data.shakespeare import shakespeare
from linfcourse.data.tokens import TokenText, find_tokenizer, read_tokens, write_tokens

FOLDER = "~/.cache/linfcourse"


def openwebtext(
    folder: str | Path = FOLDER,
    files: Sequence[str | Path] | None = None,
    tokenizer: str | None = None,
) -> TokenText:
    """OpenWebText (8 million web pages, 9 billion GPT-2 tokens, 18 GB on disk), from the hub.

    Tokenised the first time, which takes hours, and memory-mapped afterwards. Where it cannot be
    fetched, the embedded Shakespeare takes its place, with a warning that says so and a ``source``
    that names it. With ``files``, those are the text, and nothing is fetched.

    Args:
        folder: where the tokens are kept, a folder in it for each text and tokenizer.
        files: text files in UTF-8 to use instead, one document each.
        tokenizer: ``"gpt2"``, ``"bytes"``, or None for GPT-2's if it is to be had.

    Raises:
        FileNotFoundError: one of ``files`` is not there.
        ValueError: a damaged token file, an unknown tokenizer, files without text or not in UTF-8.
    """
    return _open("openwebtext", ("Skylion007/openwebtext",), folder, files, tokenizer)


def wikitext(
    folder: str | Path = FOLDER,
    files: Sequence[str | Path] | None = None,
    tokenizer: str | None = None,
) -> TokenText:
    """WikiText-103 (good Wikipedia articles, 0.1 billion tokens, 0.2 GB on disk), from the hub.

    Arguments and fallback as for :func:`openwebtext`.
    """
    address = ("Salesforce/wikitext", "wikitext-103-raw-v1")
    return _open("wikitext-103", address, folder, files, tokenizer)


def _open(
    name: str,
    address: tuple[str, ...],
    folder: str | Path,
    files: Sequence[str | Path] | None,
    tokenizer: str | None,
) -> TokenText:
    folder = Path(folder).expanduser()
    chosen = find_tokenizer(tokenizer)

    def tokenised(source: str, documents: Iterable[str]) -> TokenText:
        place = folder / f"{source.replace(' ', '-')}-{chosen.name}"
        return (
            read_tokens(place) if place.exists() else write_tokens(documents, place, chosen, source)
        )

    if files is not None:
        paths = _existing(files)
        return tokenised(f"files {_digest(paths)}", (_text(p) for p in paths))
    if (folder / f"{name}-{chosen.name}").exists():
        return tokenised(name, ())
    try:
        return tokenised(name, _from_hub(address))
    except (ImportError, OSError, RuntimeError) as error:
        # What `datasets` raises without a network or for a data set it no longer reads.
        warnings.warn(
            f"{name} could not be fetched ({error}): this is the embedded Shakespeare instead. "
            "Install `datasets` and connect to a network, or pass files=[...] of your own.",
            stacklevel=3,
        )
    text = shakespeare()
    whole = text.decode(text.train) + text.decode(text.val)
    return tokenised("embedded shakespeare", [whole])


def _from_hub(address: tuple[str, ...]) -> Iterator[str]:
    from datasets import load_dataset

    # Streaming: the pages go by once, and no second copy of them is kept on the disk.
    for row in load_dataset(*address, split="train", streaming=True):
        yield row["text"]


def _existing(files: Sequence[str | Path]) -> list[Path]:
    if isinstance(files, str | Path):
        raise TypeError("files must be a list of paths: pass [path]")
    paths = [Path(path).expanduser() for path in files]
    if not paths:
        raise ValueError("files is empty: name at least one text file, or pass None")
    for path in paths:
        if not path.is_file():
            raise FileNotFoundError(f"files names {path}, which is not there")
    return paths


def _text(path: Path) -> str:
    try:
        return path.read_bytes().decode("utf-8")  # every character kept, line ends too
    except UnicodeDecodeError as error:
        raise ValueError(f"files must be text in UTF-8, but {path} is not: {error}") from error


def _digest(paths: Iterable[Path]) -> str:
    """A name for the contents, so that a changed file is tokenised again."""
    digest = hashlib.sha256()
    for path in paths:
        content = path.read_bytes()
        digest.update(len(content).to_bytes(8, "little") + content)
    return digest.hexdigest()[:12]

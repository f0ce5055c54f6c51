"""OpenWebText and WikiText-103, tokenised once; or the reader's own text files."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from linfcourse import distributed
from linfcourse.data.folder import data_folder
from linfcourse.data.shakespeare import shakespeare
from linfcourse.data.tokens import TokenText, find_tokenizer, read_tokens, write_tokens


def openwebtext(
    folder: str | Path | None = None,
    files: Sequence[str | Path] | None = None,
    tokenizer: str | None = None,
    stand_in: bool = True,
) -> TokenText:
    """OpenWebText (8 million web pages, 9 billion GPT-2 tokens, 18 GB on disk), from the hub.

    Tokenised the first time, which takes hours, and memory-mapped afterwards. Where it cannot be
    fetched, the embedded Shakespeare takes its place, with a warning that says so and a ``source``
    that names it. With ``files``, those are the text, and nothing is fetched.

    Of several processes one tokenises and the others wait, for as long as it takes. Within
    ``linfcourse.distributed.data_parallel`` that is the first one, all get the same text, and an
    error there ends all.

    Args:
        folder: where the tokens are kept, a folder in it for each text and tokenizer. None: the
            folder in the variable LINFCOURSE_DATA, else ~/.cache/linfcourse.
        files: text files in UTF-8 to use instead, one document each.
        tokenizer: ``"gpt2"``, ``"bytes"``, or None for GPT-2's if it is to be had, or if the text
            has been tokenised by it before.
        stand_in: whether the embedded text may take the place of what cannot be fetched.

    Raises:
        FileNotFoundError: one of ``files`` is not there.
        ValueError: a damaged token file, an unknown tokenizer, files without text or not in UTF-8.
        ImportError, OSError, RuntimeError: it could not be fetched, and ``stand_in`` is false.
        RuntimeError: the processes of one run found different texts.
    """
    return _open("openwebtext", ("Skylion007/openwebtext",), folder, files, tokenizer, stand_in)


def wikitext(
    folder: str | Path | None = None,
    files: Sequence[str | Path] | None = None,
    tokenizer: str | None = None,
    stand_in: bool = True,
) -> TokenText:
    """WikiText-103 (good Wikipedia articles, 0.1 billion tokens, 0.2 GB on disk), from the hub.

    Arguments and fallback as for :func:`openwebtext`.
    """
    address = ("Salesforce/wikitext", "wikitext-103-raw-v1")
    return _open("wikitext-103", address, folder, files, tokenizer, stand_in)


def _open(
    name: str,
    address: tuple[str, ...],
    folder: str | Path | None,
    files: Sequence[str | Path] | None,
    tokenizer: str | None,
    stand_in: bool,
) -> TokenText:
    folder = data_folder(folder)

    def made() -> str:
        return _made(name, address, folder, files, tokenizer, stand_in).name

    place = distributed.done_by_writer(made, f"opening {name}")
    if not (folder / place).exists():  # a machine with a disk of its own
        place = made()
    text = read_tokens(folder / place)
    found = (text.source, text.tokenizer, len(text.train) + len(text.val))
    distributed.require_agreement(found, "the text", patient=True)
    return text


def _made(
    name: str,
    address: tuple[str, ...],
    folder: Path,
    files: Sequence[str | Path] | None,
    tokenizer: str | None,
    stand_in: bool,
) -> Path:
    """The folder of the tokens, after tokenising if they are not there."""
    paths = None if files is None else _existing(files)
    source = name if paths is None else f"files {_digest(paths)}"
    if tokenizer in (None, "gpt2") and _place(folder, source, "gpt2").exists():
        return _place(folder, source, "gpt2")  # without needing the tokenizer
    chosen = find_tokenizer(tokenizer)

    def tokenised(source: str, documents: Iterable[str]) -> Path:
        place = _place(folder, source, chosen.name)
        if not place.exists():
            write_tokens(documents, place, chosen, source)
        return place

    if paths is not None:
        return tokenised(source, (_text(p) for p in paths))
    if _place(folder, source, chosen.name).exists():
        return tokenised(source, ())
    try:
        return tokenised(source, _from_hub(address))
    except (ImportError, OSError, RuntimeError) as error:
        # What `datasets` raises without a network or for a data set it no longer reads.
        if not stand_in:
            raise
        warnings.warn(
            f"{name} could not be fetched ({error}): this is the embedded Shakespeare instead. "
            "Install `datasets` and connect to a network, or pass files=[...] of your own.",
            stacklevel=2,
        )
    text = shakespeare()
    whole = text.decode(text.train) + text.decode(text.val)
    return tokenised("embedded shakespeare", [whole])


def _place(folder: Path, source: str, tokenizer: str) -> Path:
    return folder / f"{source.replace(' ', '-')}-{tokenizer}"


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
        digest.update(path.stat().st_size.to_bytes(8, "little"))
        with path.open("rb") as file:
            while piece := file.read(2**24):
                digest.update(piece)
    return digest.hexdigest()[:12]

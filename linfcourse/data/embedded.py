"""The data files that come with the package, checked before they are used."""

from __future__ import annotations

import hashlib
from importlib import resources
from pathlib import Path

# What a result was computed from: a file that differs by one bit is refused.
SHA256 = {
    "shakespeare.txt.gz": "ff0a3c780e51f74019868028c269a574e1ac6e822bdad20f2ccfdef281e0addc",
    "fashion_mnist_10k.npz": "4223581861bcdf41d20d1a54f3be5ae0c12d3ad197880bf03f88c7749781e491",
}


def read_embedded(name: str, folder: Path | None = None) -> bytes:
    """The bytes of a data file of the package.

    Args:
        name: a key of ``SHA256``.
        folder: where to look instead of in the package.

    Raises:
        FileNotFoundError: the file is not there.
        ValueError: it is there, and not what was published.

    >>> len(read_embedded("shakespeare.txt.gz"))
    1986991
    """
    file = (resources.files("linfcourse.data") if folder is None else Path(folder)) / name
    mend = "install linfcourse again, from its repository or its wheel"
    if not file.is_file():
        raise FileNotFoundError(f"the data file {file} is missing: {mend}")
    content = file.read_bytes()
    if hashlib.sha256(content).hexdigest() != SHA256[name]:
        raise ValueError(f"the data file {file} is damaged (its SHA-256 is not the one): {mend}")
    return content

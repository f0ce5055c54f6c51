"""Shakespeare at character level: five million characters that come with the package."""

from __future__ import annotations

import functools
import gzip

from linfcourse.data.embedded import read_embedded
from linfcourse.data.text import CharText


@functools.cache
def shakespeare() -> CharText:
    """42 plays and collections of poems, one after the other; 84 different characters.

    The first nine tenths of the text are for training, the rest for validation. Read at the first
    call and shared by all later ones.

    Texts in the public domain, compiled by the Open Knowledge Foundation ("Open Shakespeare"),
    CC-BY 2.5; see ``NOTICE.md`` beside the file.

    Raises:
        FileNotFoundError, ValueError: the file is missing or damaged.

    >>> text = shakespeare()
    >>> text.vocab_size, len(text.train) + len(text.val)
    (84, 5057321)
    >>> text.decode(text.train[:25])
    "ALL'S WELL THAT ENDS WELL"
    """
    text = gzip.decompress(read_embedded("shakespeare.txt.gz")).decode("ascii")
    return CharText.from_text(text, val_fraction=0.1)

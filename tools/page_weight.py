"""What a reader downloads to see one page for the first time."""

import gzip
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from playwright.sync_api import Error, Page

COMPRESSED_ALREADY = (".woff", ".woff2", ".png", ".jpg", ".webp")


@dataclass
class Weight:
    """The files that a page fetched: address -> (bytes, bytes as a server sends them, gzipped)."""

    files: dict[str, tuple[int, int]] = field(default_factory=dict)

    def add(self, url: str, body: bytes) -> None:
        sent = len(body) if url.endswith(COMPRESSED_ALREADY) else len(gzip.compress(body))
        self.files[url] = (len(body), sent)

    def without(self, part: str) -> "Weight":
        """The weight of the files whose address does not contain `part`."""
        return Weight({url: size for url, size in self.files.items() if part not in url})

    @property
    def raw(self) -> int:
        return sum(raw for raw, _ in self.files.values())

    @property
    def sent(self) -> int:
        return sum(sent for _, sent in self.files.values())

    def heaviest(self, count: int = 3) -> str:
        """The largest files, for a message."""
        largest = sorted(self.files.items(), key=lambda entry: -entry[1][1])[:count]
        return ", ".join(
            f"{url.rsplit('/', 1)[-1]} {raw / 1e3:.0f} kB" for url, (raw, _) in largest
        )


@contextmanager
def weighing(page: Page) -> Iterator[Weight]:
    """Everything that the page fetches inside the block. The page must be new: nothing cached."""
    weight, finished = Weight(), []

    def note(request):
        finished.append(request)

    page.on("requestfinished", note)
    yield weight
    page.remove_listener("requestfinished", note)
    for request in finished:
        if request.url.startswith(("data:", "blob:")):
            continue
        try:
            weight.add(request.url.split("?")[0], request.response().body())
        except Error:  # a redirect has no body
            continue

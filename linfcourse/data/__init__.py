"""What the course trains on. Shakespeare and Fashion-MNIST come with the package; the others need
a network and a library that is imported when they are asked for."""

from linfcourse.data.cifar10 import cifar10
from linfcourse.data.fashion_mnist import fashion_mnist
from linfcourse.data.images import Images, ImageSampler
from linfcourse.data.openwebtext import openwebtext, wikitext
from linfcourse.data.shakespeare import shakespeare
from linfcourse.data.text import CharText, TextSampler
from linfcourse.data.tokens import TokenText

__all__ = [
    "CharText",
    "ImageSampler",
    "Images",
    "TextSampler",
    "TokenText",
    "cifar10",
    "fashion_mnist",
    "openwebtext",
    "shakespeare",
    "wikitext",
]

"""Parameters drawn from a student's number, so that a neighbour's figure is of no use."""

from __future__ import annotations

import hashlib

import torch


def personal(student: str, question: str) -> torch.Generator:
    """A random generator that depends on the student and the question, and on nothing else.

    Args:
        student: the student's number or login; case and surrounding spaces do not count.
        question: the name of the question.

    Raises:
        ValueError: the student has not filled in a number yet.

    >>> torch.randint(1, 10, (4,), generator=personal("s123", "q1"))
    tensor([6, 5, 4, 2])
    """
    if not isinstance(student, str) or not student.strip(" ."):
        raise ValueError("student must be your student number as text: fill in STUDENT at the top")
    digest = hashlib.sha256(f"{student.strip().lower()}/{question}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:6], "big"))

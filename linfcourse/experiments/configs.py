"""When are two configurations the same? Records outlive the Configs that they were made with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from linfcourse.records import encode

# Fields of a Config that only say which trials there are: a sweep may change them and go on.
GRID = ("seeds", "lrs")

# Fields that Configs have got since the first records were made, each with the value that means
# what was done before. A record, or a journal, without such a field was made with that value.
LATER = {"precision": "fp32", "compile": "off"}


def differing_fields(
    one: Mapping[str, Any], other: Mapping[str, Any], but: tuple[str, ...] = ()
) -> list[str]:
    """Names of the fields in which two configurations, as dictionaries, differ.

    Args:
        one, other: as `dataclasses.asdict` gives them, or as they stand in a record.
        but: fields that do not count.

    >>> differing_fields({"lr": 0.1}, {"lr": 0.1, "precision": "fp32"})
    []
    >>> differing_fields({"lr": 0.1}, {"lr": 0.2, "precision": "bf16"})
    ['lr', 'precision']
    """
    one, other = LATER | encode(dict(one)), LATER | encode(dict(other))
    missing = object()
    return sorted(
        name
        for name in {*one, *other} - set(but)
        if one.get(name, missing) != other.get(name, missing)
    )

"""What an input pattern names, where it was looked for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tasks.spec.requests import Shard

A_FOLDER = "is a folder, and no tar"
NOT_THERE = "is not there"


@dataclass(frozen=True)
class Missing:
    """What is asked for by its name and cannot be had."""

    name: str
    reason: str = NOT_THERE


@dataclass(frozen=True)
class Listing:
    """What is there, what is asked for by its name and is not, and what a glob passes over because it is hidden."""

    found: Sequence[Shard]
    missing: Sequence[Missing] = ()
    hidden: Sequence[str] = ()


def printable(name: str | bytes) -> str:
    r"""A name for people, in one line: what cannot be shown as \n, \xa0, and bytes that are no UTF-8 as \xe9."""
    text = name.decode("utf-8", "backslashreplace") if isinstance(name, bytes) else name
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in text)

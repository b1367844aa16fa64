"""The result of looking up an input pattern."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tasks.spec.requests import Shard

A_FOLDER = "is a folder, and no tar"
NOT_THERE = "is not there"


@dataclass(frozen=True)
class MissingInput:
    """An explicitly named tar that cannot be read."""

    name: str
    reason: str = NOT_THERE


@dataclass(frozen=True)
class Listing:
    """The shards found, the explicitly named ones that are missing, and the hidden files that a glob skips."""

    found: Sequence[Shard]
    missing: Sequence[MissingInput] = ()
    hidden: Sequence[str] = ()


def printable(name: str | bytes) -> str:
    r"""A name for messages, in one line: unprintable characters as \n or \xa0, bytes that are not UTF-8 as \xe9."""
    text = name.decode("utf-8", "backslashreplace") if isinstance(name, bytes) else name
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in text)

"""Standard output: tables that fit a terminal, and unwrapped lines where the output is no terminal."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterable, Sequence

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

WIDE = 1_000_000
"""Line width in characters at which nothing is wrapped."""
TEXT_COLUMNS = frozenset({"prompt", "method", "gates", "metrics", "value"})
"""Columns aligned to the left, like the first column; others are aligned to the right."""
FLEXIBLE = frozenset({"prompt", "gates", "metrics", "value"})
"""Columns that become narrower first if the terminal is too narrow for all columns."""


def show(*what: RenderableType) -> None:
    """Print. In a pipe or a file a table has one line per row with complete cells; on a terminal it has its width.

    Text is never broken into lines here, so that an address that the terminal wraps is copied as one line.
    """
    if sys.stdout.isatty():
        _print(Console(highlight=False, markup=False, emoji=False), what)
    else:
        print(unwrapped(*what))


def unwrapped(*what: RenderableType) -> str:
    """The same as plain text without line wrapping and without trailing spaces."""
    console = Console(file=io.StringIO(), width=WIDE, highlight=False, markup=False, emoji=False, color_system=None)
    with console.capture() as captured:
        _print(console, what)
    return "\n".join(line.rstrip() for line in captured.get().splitlines())


def _print(console: Console, what: Sequence[RenderableType]) -> None:
    """Print one after another, with an empty line before each table except the first item."""
    for number, each in enumerate(what):
        if number and isinstance(each, Group):
            console.print()
        console.print(each, soft_wrap=True)


def grid(title: str, columns: Sequence[str], rows: Iterable[Sequence[str | Text]]) -> Group:
    """A table below its title. If it is too wide, cells of flexible columns are wrapped, except cells made by cut()."""
    table = Table(box=None, pad_edge=False)
    for number, name in enumerate(columns):
        left = number == 0 or name in TEXT_COLUMNS
        table.add_column(name, justify="left" if left else "right", no_wrap=name not in FLEXIBLE)
    for row in rows:
        table.add_row(*row)
    return Group(Text(title, style="bold"), table)


def cut(text: str) -> Text:
    """Text as one line, which ends in an ellipsis if the terminal is too narrow for it."""
    return Text(one_line(text), no_wrap=True, overflow="ellipsis")


def one_line(text: str) -> str:
    """The text with spaces instead of line breaks."""
    return " ".join(text.splitlines())

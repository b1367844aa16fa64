"""Unwrapped lines in a pipe, tables that fit on a terminal."""

from __future__ import annotations

import pytest
from rich.text import Text

from pipelines.cli.console import cut, grid, show
from tests.terminal import Terminal

PATH = "/data/" + "a long folder/" * 20 + "index.html"
PROMPT = "a person [smiling] :smile:\nwith " + "very " * 100 + "red hair"


def shown() -> None:
    rows = [("red-0a1b2c3d", "17", cut(PROMPT)), ("smile-0a1b2c3d", "3", cut("a smile"))]
    show(Text(f"report: {PATH}"), grid(f"rows in {PATH}", ("edit", "rows", "prompt"), rows))


def test_in_a_pipe_nothing_is_broken_or_cut(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    shown()
    report, empty, title, heading, red, smile = capsys.readouterr().out.splitlines()
    assert (report, empty, title) == (f"report: {PATH}", "", f"rows in {PATH}")
    assert heading.split() == ["edit", "rows", "prompt"]
    assert red.split(maxsplit=2) == ["red-0a1b2c3d", "17", " ".join(PROMPT.splitlines())]
    assert smile.split(maxsplit=2) == ["smile-0a1b2c3d", "3", "a smile"]


def test_on_a_terminal_a_row_is_one_line_and_its_prompt_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal.of(monkeypatch, width=60)
    shown()
    report, _, title, heading, red, smile = terminal.lines
    assert (report, title) == (f"report: {PATH}", f"rows in {PATH}")  # the terminal wraps them, and copies one line
    assert max(map(len, (heading, red, smile))) <= 60
    assert red.split()[:2] == ["red-0a1b2c3d", "17"] and red.rstrip().endswith("\N{HORIZONTAL ELLIPSIS}")
    assert "a person [smiling] :smile: with" in red

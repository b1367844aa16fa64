"""Standard output that reports to be a terminal."""

from __future__ import annotations

import io
import re
import sys

import pytest


class Terminal(io.StringIO):
    """Records what is printed."""

    @classmethod
    def of(cls, monkeypatch: pytest.MonkeyPatch, width: int) -> Terminal:
        """In place of standard output, `width` characters wide."""
        terminal = cls()
        monkeypatch.setattr(sys, "stdout", terminal)
        monkeypatch.setenv("COLUMNS", str(width))
        monkeypatch.setenv("TERM", "xterm")
        return terminal

    @property
    def lines(self) -> list[str]:
        """What was printed, without colours."""
        return re.sub(r"\x1b\[[0-9;]*m", "", self.getvalue()).splitlines()

    def isatty(self) -> bool:
        return True

from __future__ import annotations

from pathlib import Path

import pytest

from tasks.publish import publish
from tests.sequences import Sequence, check


def test_whatever_happens_every_reader_sees_the_same_rows_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(publish, "SMALL_FILES", 2)
    sequences = []
    for seed in range(1000, 1003):
        (tmp_path / str(seed)).mkdir()
        sequences.append(Sequence(tmp_path / str(seed), seed).run())
    check(sequences)

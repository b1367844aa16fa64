"""The stored samples of a bank."""

from __future__ import annotations

import torch

from coral_core.bundle.models import Models
from coral_core.editors.transport.bank import LEVELS, StoredRows, draw_samples


def test_stored_rows_differ_by_half_a_level_at_most() -> None:
    rows_NC = torch.randn(300, 5, generator=torch.Generator().manual_seed(0)) * torch.tensor([1, 10, 0.1, 1, 0])
    stored = StoredRows(300, 5)
    stored.store(rows_NC)
    most_C = (rows_NC.amax(0) - rows_NC.amin(0)) / LEVELS / 2
    assert ((stored() - rows_NC).abs() <= most_C * 1.01 + 1e-6).all()
    assert stored.levels_NC.dtype == torch.uint8


def test_more_samples_continue_the_same_sequence(models: Models) -> None:
    few, more = (draw_samples(models, count, 3, 1.0, "float32", lambda done: None) for count in (40, 72))
    for part, whole in zip(few, more, strict=True):
        assert torch.allclose(part, whole[:40], atol=1e-5)
    assert [len(part) for part in more] == [72, 72]


def test_progress_counts_the_samples(models: Models) -> None:
    seen: list[int] = []
    draw_samples(models, 70, 0, 1.0, "float32", seen.append)
    assert seen == [32, 64, 70]

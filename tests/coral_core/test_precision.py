"""Precision: bfloat16 only when it is requested and the hardware has kernels for it."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest
import torch

from coral_core import precision as module
from coral_core.precision import Precision, autocast

CPU = torch.device("cpu")


@pytest.fixture(params=[False, True], ids=["no kernels", "kernels"])
def kernels(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[bool]:
    monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda: request.param)
    module._has_bfloat16.cache_clear()
    yield request.param
    module._has_bfloat16.cache_clear()


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_networks_compute_in_bfloat16_only_where_there_are_kernels(precision: Precision, kernels: bool) -> None:
    one = torch.ones(2, 2)
    with autocast(CPU, precision):
        found = (one @ one).dtype
    assert found == (torch.bfloat16 if kernels and precision == "bfloat16" else torch.float32)


def test_a_cpu_without_kernels_gives_one_warning(kernels: bool, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "coral.precision"):
        for _ in range(2):
            autocast(CPU, "bfloat16")
            autocast(CPU, "float32")
    assert len(caplog.records) == (0 if kernels else 1)

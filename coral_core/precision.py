"""The precision of networks during fits and searches: float32, or bfloat16 where the hardware has it."""

from __future__ import annotations

import logging
from functools import cache
from typing import Literal

import torch

Precision = Literal["float32", "bfloat16"]

log = logging.getLogger("coral.precision")


def autocast(device: torch.device, precision: Precision) -> torch.autocast:
    """The context in which networks run: bfloat16 autocast, or float32.

    On a CPU without bfloat16 kernels both precisions run in float32, with one warning per process: PyTorch's fallback
    there is a plain loop (a 3x3 convolution of 64 channels at 64 px, batch 8, one thread of an AVX2 CPU: 7.5 s in
    bfloat16, 0.07 s in float32). The result then differs by rounding, as it does between kinds of hardware.
    """
    wanted = precision == "bfloat16"
    return torch.autocast(device.type, torch.bfloat16, enabled=wanted and _has_bfloat16(device.type))


@cache
def _has_bfloat16(device_type: str) -> bool:
    """Whether the device has bfloat16 kernels for convolutions and matrix products; GPUs do, some by emulation."""
    found = device_type != "cpu" or bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
    if not found:
        log.warning(
            "this CPU has no bfloat16 kernels (%s): computing in float32", torch.backends.cpu.get_cpu_capability()
        )
    return found

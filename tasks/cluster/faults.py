"""Who is to blame for an error that a worker's code raised: the request, the machine, or the device."""

from __future__ import annotations

import re

import torch

from manifests.stores.store import CommitUnknown
from tasks.cluster.workers import Cause

DEVICE_MESSAGES = re.compile(
    r"CUDA (error|driver)|NVIDIA driver|No CUDA GPUs are available|cudaGetDeviceCount|cuDNN error|cuBLAS|CUBLAS_STATUS|"
    r"NVML|device-side assert|an illegal memory access",
)
"""What PyTorch writes into a plain RuntimeError when a device or its driver fails."""


def cause_of(error: BaseException) -> Cause:
    """The cause of an error of the worker's code. An error of the device is one of its memory too."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError | torch.AcceleratorError):
        return Cause.DEVICE
    if isinstance(error, RuntimeError) and DEVICE_MESSAGES.search(str(error)):
        return Cause.DEVICE
    return Cause.MACHINE if isinstance(error, OSError | CommitUnknown) else Cause.REQUEST


def one_line(error: BaseException) -> str:
    """Kind and first line of an error; of one in a constructor the last line, which is the message."""
    cause = getattr(error, "cause", None) or error
    lines = str(cause).strip().splitlines() or [""]
    line = lines[-1] if "creation task" in lines[0] else lines[0]
    return f"{type(cause).__name__}: {line}"

"""Who is to blame for an error of a worker's code."""

from __future__ import annotations

import pytest
import torch

from manifests.stores.store import CommitUnknown, StoreUnavailable
from tasks.cluster.faults import cause_of, one_line
from tasks.cluster.workers import Cause


@pytest.mark.parametrize(
    ("error", "cause"),
    [
        (torch.AcceleratorError("an illegal memory access was encountered"), Cause.DEVICE),
        (torch.OutOfMemoryError("CUDA out of memory"), Cause.DEVICE),
        (MemoryError(), Cause.DEVICE),
        (RuntimeError("Found no NVIDIA driver on your system. Please check that you have an NVIDIA GPU"), Cause.DEVICE),
        (RuntimeError("No CUDA GPUs are available"), Cause.DEVICE),
        (RuntimeError("Unexpected error from cudaGetDeviceCount(). Did you run some cuda functions"), Cause.DEVICE),
        (RuntimeError("cuDNN error: CUDNN_STATUS_INTERNAL_ERROR"), Cause.DEVICE),
        (RuntimeError("CUDA error: unspecified launch failure"), Cause.DEVICE),
        (RuntimeError("The size of tensor a (3) must match the size of tensor b (4)"), Cause.REQUEST),
        (ValueError("CUDA error"), Cause.REQUEST),
        (KeyError("edit"), Cause.REQUEST),
        (OSError("disk full"), Cause.MACHINE),
        (StoreUnavailable("no answer"), Cause.MACHINE),
        (CommitUnknown("lost"), Cause.MACHINE),
    ],
)
def test_errors_blame_the_device_the_machine_or_the_request(error: BaseException, cause: Cause) -> None:
    assert cause_of(error) is cause


def test_an_error_is_told_in_one_line() -> None:
    assert one_line(ValueError("first\nsecond")) == "ValueError: first"
    assert one_line(MemoryError()) == "MemoryError: "

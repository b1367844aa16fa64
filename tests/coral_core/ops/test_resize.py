from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from coral_core.ops.resize import resize


@pytest.mark.parametrize("size", [5, 16, 37, 64])
def test_values_and_gradients_are_those_of_the_interpolation(size: int) -> None:
    x = torch.randn(2, 3, 20, 16, generator=torch.Generator().manual_seed(0), requires_grad=True)
    reference = F.interpolate(x, (size, size), mode="bilinear", align_corners=False, antialias=True)
    weight = torch.randn(reference.shape, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(resize(x, size), reference, rtol=1e-5, atol=1e-5)
    (wanted,) = torch.autograd.grad((reference * weight).sum(), x)
    (found,) = torch.autograd.grad((resize(x, size) * weight).sum(), x)
    torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-5)


def test_an_image_is_resized_in_full_precision_under_autocast() -> None:
    x = torch.rand(1, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    with torch.autocast("cpu", torch.bfloat16):
        inside = resize(x, 16)
    assert torch.equal(inside, resize(x, 16))

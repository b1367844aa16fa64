from __future__ import annotations

import numpy as np
import torch

from tasks.images.decode import pixels_of
from tasks.images.tensors import tensor_of, to_levels, to_pixels
from tests.tars import image_bytes


def test_tensors_and_pixels_are_inverse() -> None:
    pixels = [pixels_of(image_bytes(seed)) for seed in (1, 2)]
    tensor = tensor_of(pixels)
    assert tensor.shape == (2, 3, 64, 64) and tensor.min() >= -1 and tensor.max() <= 1
    assert np.array_equal(to_pixels(tensor), np.stack(pixels))


def test_masks_are_levels() -> None:
    assert to_levels(torch.tensor([0.0, 0.0019, 0.002, 0.5, 1.0]).view(5, 1, 1, 1)).ravel().tolist() == [
        *(0, 0, 1, 128, 255)
    ]

from __future__ import annotations

import numpy as np
import pytest

from tasks.images.decode import pixels_of
from tasks.images.encode import encode
from tests.tars import image_bytes


def test_png_loses_nothing() -> None:
    pixels = pixels_of(image_bytes(3))
    assert np.array_equal(pixels_of(encode(pixels, "png")), pixels)
    assert pixels_of(encode(pixels[:, :, 0], "png")).shape == (64, 64)


@pytest.mark.parametrize("form", ["jpeg", "webp"])
def test_lossy_formats_stay_close(form: str) -> None:
    pixels = pixels_of(image_bytes(3)).astype(int)
    assert np.abs(pixels_of(encode(pixels.astype(np.uint8), form)).astype(int) - pixels).mean() < 3  # type: ignore[arg-type]

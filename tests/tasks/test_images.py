from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from PIL import Image
from tars import image_bytes

from tasks import images
from tasks.geometry import Geometry
from tasks.images import UnusableError, decode, encode, pixels_of, tensor_of, to_levels, to_pixels


def test_an_image_of_the_right_size_keeps_every_pixel() -> None:
    data = image_bytes(1)
    assert np.array_equal(decode(data, Geometry(), 64).pixels_HWC, pixels_of(data))


@pytest.mark.parametrize("fit", ["crop", "pad", "resize"])
def test_every_geometry_gives_the_generators_square(fit: str) -> None:
    picture = decode(image_bytes(1, (50, 90)), Geometry(fit=fit), 64)  # type: ignore[arg-type]
    assert picture.pixels_HWC.shape == (64, 64, 3)
    assert (picture.width, picture.height) == (50, 90)


def test_padding_repeats_the_border() -> None:
    picture = decode(image_bytes(1, (32, 64)), Geometry(fit="pad"), 64)
    assert np.array_equal(picture.pixels_HWC[:, 0], picture.pixels_HWC[:, 16])


def test_an_image_is_turned_upright() -> None:
    buffer = io.BytesIO()
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by 90 degrees
    Image.new("RGB", (20, 10)).save(buffer, "JPEG", exif=exif)
    assert (decode(buffer.getvalue(), Geometry(), 64).width, decode(buffer.getvalue(), Geometry(), 64).height) == (
        10,
        20,
    )


@pytest.mark.parametrize(
    ("data", "status"),
    [(b"", "undecodable"), (b"no image", "undecodable"), (image_bytes(1)[:200], "undecodable")],
)
def test_what_is_no_image_has_a_status_and_a_reason(data: bytes, status: str) -> None:
    with pytest.raises(UnusableError) as raised:
        decode(data, Geometry(), 64)
    assert raised.value.status == status and raised.value.reason


def test_too_many_pixels_are_refused_before_they_are_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images, "MAX_PIXELS", 64 * 63)
    with pytest.raises(UnusableError) as raised:
        decode(image_bytes(1), Geometry(), 64)
    assert raised.value.status == "too_large"


def test_refused_geometry_is_not_aligned() -> None:
    with pytest.raises(UnusableError) as raised:
        decode(image_bytes(1, (65, 64)), Geometry(fit="refuse"), 64)
    assert raised.value.status == "not_aligned"


def test_tensors_and_pixels_are_inverse() -> None:
    pixels = [pixels_of(image_bytes(seed)) for seed in (1, 2)]
    tensor = tensor_of(pixels)
    assert tensor.shape == (2, 3, 64, 64) and tensor.min() >= -1 and tensor.max() <= 1
    assert np.array_equal(to_pixels(tensor), np.stack(pixels))


def test_masks_are_levels() -> None:
    assert to_levels(torch.tensor([0.0, 0.5, 1.0]).view(3, 1, 1, 1)).ravel().tolist() == [0, 128, 255]


def test_png_loses_nothing() -> None:
    pixels = pixels_of(image_bytes(3))
    assert np.array_equal(pixels_of(encode(pixels, "png")), pixels)
    assert pixels_of(encode(pixels[:, :, 0], "png")).shape == (64, 64)


@pytest.mark.parametrize("form", ["jpeg", "webp"])
def test_lossy_formats_stay_close(form: str) -> None:
    pixels = pixels_of(image_bytes(3)).astype(int)
    assert np.abs(pixels_of(encode(pixels.astype(np.uint8), form)).astype(int) - pixels).mean() < 3  # type: ignore[arg-type]

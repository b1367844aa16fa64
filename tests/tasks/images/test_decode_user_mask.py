from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from tasks.images.decode import UnusableError, decode_user_mask
from tests import pictures
from tests.tars import image_bytes, mask_bytes
from tests.tasks.images.decoded import SHAPES, decoded


def levels_of(mask: bytes, size: tuple[int, int] = (64, 64), fit: str = "resize") -> np.ndarray:
    """The levels of a mask at the generator's size, for an image of size `size`."""
    return decode_user_mask(mask, decoded(image_bytes(1, size), fit)).levels_HW


def half_white(mode: str, form: str = "PNG") -> bytes:
    """A mask whose left half is white, in a mode of Pillow."""
    mask = Image.new("L", (64, 64))
    mask.paste(255, (0, 0, 32, 64))
    return pictures.encoded(mask.convert(mode), form)


def test_the_levels_of_a_mask_do_not_depend_on_its_format() -> None:
    wanted = np.zeros((64, 64), np.uint8)
    wanted[:, :32] = 255
    sixteen = pictures.encoded(Image.fromarray(wanted.astype(np.uint16) * 257))
    clear = Image.merge("LA", (Image.fromarray(wanted), Image.new("L", (64, 64), 0)))  # alpha does not count
    masks = [half_white(mode) for mode in ("L", "1", "P", "RGB", "RGBA", "LA")]
    for mask in (*masks, sixteen, pictures.encoded(clear), half_white("L", "TIFF"), half_white("L", "BMP")):
        assert np.array_equal(levels_of(mask), wanted)
    grey = np.arange(4096, dtype=np.uint8).reshape(64, 64)
    assert np.array_equal(levels_of(pictures.encoded(Image.fromarray(grey))), grey)


def test_a_mask_is_turned_upright_like_its_image() -> None:
    mask = Image.new("L", (48, 32))
    mask.paste(255, (0, 0, 24, 32))
    exif = Image.Exif()
    exif[0x0112] = 6
    stored = pictures.encoded(mask.transpose(Image.Transpose.ROTATE_90), exif=exif)
    assert np.array_equal(levels_of(stored, (48, 32)), levels_of(pictures.encoded(mask), (48, 32)))


@pytest.mark.parametrize(("fit", "size"), [*SHAPES, ("crop", (20, 11)), ("resize", (20, 31)), ("refuse", (64, 64))])
def test_a_mask_is_fitted_like_its_image(fit: str, size: tuple[int, int]) -> None:
    """A white mask of the image's size: it is white in the region of the image and black in the padding."""
    width, height = size
    picture = decoded(image_bytes(5, size), fit)
    left, top, right, bottom = picture.placement.square
    inside = np.zeros((64, 64), bool)
    inside[top:bottom, left:right] = True
    assert np.array_equal(levels_of(mask_bytes((0, 0, *size), size), size, fit), 255 * inside)
    assert not levels_of(mask_bytes((0, 0, 0, 0), size), size, fit).any()
    half = decode_user_mask(mask_bytes((0, 0, width // 2, height), size), picture)
    (a, _, c, *_), columns = picture.placement.inverse, np.arange(64)
    touched = inside & (a * columns + c < width // 2)
    assert not half.levels_HW[~touched].any()  # a pixel that covers nothing white is black
    whole_inside = inside & (a * (columns + 1) + c <= width // 2)
    assert (half.levels_HW[whole_inside] == 255).all()
    assert half.whole is not None and half.whole.size == size


@pytest.mark.parametrize("scale", [0.25, 0.5, 3])
def test_a_mask_of_another_size_and_the_same_shape_is_scaled(scale: float) -> None:
    size = (200, 133)
    other = (round(200 * scale), round(133 * scale))
    mask = mask_bytes((0, 0, other[0] // 2, other[1]), other)
    user_mask = decode_user_mask(mask, decoded(image_bytes(1, size)))
    whole_HW = np.asarray(user_mask.whole)
    assert whole_HW.shape == size[::-1]
    assert (whole_HW[:, :98] == 255).all() and not whole_HW[:, 102:].any()
    assert (user_mask.levels_HW[:, :31] == 255).all() and not user_mask.levels_HW[:, 33:].any()


@pytest.mark.parametrize("other", [(133, 200), (200, 200), (200, 120)])
def test_a_mask_of_another_shape_is_refused(other: tuple[int, int]) -> None:
    with pytest.raises(
        UnusableError, match=rf"{other[0]} x {other[1]} pixels is of another shape than 200 x 133"
    ) as no:
        levels_of(mask_bytes((0, 0, 9, 9), other), (200, 133))
    assert no.value.status == "not_aligned"


@pytest.mark.parametrize(
    ("data", "status"), [(b"", "undecodable"), (b"no image", "undecodable"), (pictures.bomb(), "too_large")]
)
def test_bytes_that_are_no_mask_get_a_status(data: bytes, status: str) -> None:
    with pytest.raises(UnusableError) as raised:
        levels_of(data)
    assert raised.value.status == status and raised.value.reason

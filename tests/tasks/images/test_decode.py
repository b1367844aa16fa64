from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tasks.images import decode as decode_module
from tasks.images.decode import Picture, UnusableError, decode, decode_user_mask, pixel_count, pixels_of
from tasks.images.encode import encode
from tasks.images.paste_back import PASTE_BACK
from tasks.images.tensors import tensor_of, to_levels, to_pixels
from tasks.spec.geometry import Geometry, OutputSize
from tests import pictures
from tests.pictures import BLUE, GREEN, RED, WHITE, Color
from tests.tars import image_bytes, mask_bytes

ROOT = Path(__file__).parents[3]


def decoded(data: bytes, fit: str = "resize", size: int = 64) -> Picture:
    return decode(data, Geometry(fit=fit), size)  # type: ignore[arg-type]


def whole(data: bytes) -> np.ndarray:
    return np.asarray(decoded(data).whole)


def given_back(output: OutputSize, picture: Picture, *edited: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    image, mask = PASTE_BACK[output](picture, *edited, None)
    return np.asarray(image), np.asarray(mask)


def refusal(data: bytes) -> UnusableError:
    with pytest.raises(UnusableError) as raised:
        decoded(data)
    assert raised.value.reason
    return raised.value


def shows(data: bytes, left: Color, right: Color, within: int = 2) -> bool:
    """Whether the left half of the picture has one colour and the right half another."""
    pixels = whole(data).astype(int)
    return bool(np.abs(pixels[2, 2] - left).max() <= within and np.abs(pixels[-3, -3] - right).max() <= within)


def test_an_image_of_the_right_size_keeps_every_pixel() -> None:
    data = image_bytes(1)
    assert np.array_equal(decoded(data).pixels_HWC, pixels_of(data))


@pytest.mark.parametrize("fit", ["crop", "pad", "resize"])
def test_every_geometry_gives_the_generators_square(fit: str) -> None:
    picture = decoded(image_bytes(1, (50, 90)), fit)
    assert picture.pixels_HWC.shape == (64, 64, 3)
    assert (picture.width, picture.height) == (50, 90)


def test_padding_repeats_the_border() -> None:
    picture = decoded(image_bytes(1, (32, 64)), "pad")
    assert np.array_equal(picture.pixels_HWC[:, 0], picture.pixels_HWC[:, 16])


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_an_image_is_turned_upright(orientation: int, form: str) -> None:
    pixels = whole(pictures.turned(orientation, form)).astype(int)
    assert pixels.shape == (32, 48, 3)
    found = [pixels[y, x] for y, x in ((4, 4), (4, -5), (-5, 4), (-5, -5))]
    assert np.abs(np.array(found) - [RED, GREEN, BLUE, WHITE]).max() < 40


def test_broken_exif_costs_no_image() -> None:
    assert shows(pictures.broken_exif(), RED, RED)


@pytest.mark.parametrize("form", ["GIF", "WEBP", "PNG", "TIFF"])
def test_of_an_animation_the_first_frame_is_taken(form: str) -> None:
    assert shows(pictures.animated(form), RED, RED)


@pytest.mark.parametrize(
    "data",
    [
        pictures.half_transparent(),
        pictures.half_transparent(form="WEBP"),
        pictures.half_transparent(form="GIF"),
        pictures.palette(transparent=True),
    ],
    ids=["RGBA", "WEBP", "GIF", "palette"],
)
def test_what_is_transparent_is_white_whatever_colour_lies_below(data: bytes) -> None:
    assert shows(data, RED, WHITE)


def test_a_palette_without_transparency_has_its_own_colours() -> None:
    assert shows(pictures.palette(), RED, BLUE)


def test_sixteen_bits_are_scaled() -> None:
    for level, expected in ((65535, 255), (40_000, 156), (128, 0), (129, 1)):
        assert shows(pictures.sixteen_bit_grey(level), (expected,) * 3, (expected,) * 3, within=0)
    assert shows(pictures.sixteen_bit_rgb((65535, 32896, 0)), (255, 128, 0), (255, 128, 0), within=0)


def test_a_profile_says_what_the_colours_mean() -> None:
    assert shows(pictures.with_profile("grb"), GREEN, GREEN)
    assert shows(pictures.with_profile("rgb", (120, 60, 200)), (120, 60, 200), (120, 60, 200), within=4)


@pytest.mark.parametrize("profile", [b"rubbish", pictures.profile("grb")[:200]])
def test_a_broken_profile_costs_no_image(profile: bytes) -> None:
    assert shows(pictures.encoded(pictures.plain(RED), icc_profile=profile), RED, RED)


def test_the_profile_of_srgb_changes_no_pixel() -> None:
    from PIL import ImageCms

    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    data = pictures.encoded(pictures.corners(), icc_profile=profile)
    assert np.array_equal(whole(data), np.asarray(pictures.corners()))


@pytest.mark.parametrize("data", [pictures.in_mode("CMYK", "JPEG"), pictures.in_mode("CMYK", "TIFF")])
def test_inks_are_seen_as_colours(data: bytes) -> None:
    assert np.abs(whole(data).astype(int) - pixels_of(image_bytes(7))).mean() < 4


@pytest.mark.parametrize(("mode", "form"), [("L", "PNG"), ("LA", "PNG"), ("1", "PNG"), ("L", "JPEG"), ("1", "TIFF")])
def test_greys_have_three_equal_channels(mode: str, form: str) -> None:
    pixels = whole(pictures.in_mode(mode, form))
    assert np.array_equal(pixels[..., 0], pixels[..., 1]) and np.array_equal(pixels[..., 1], pixels[..., 2])
    assert pixels.min() < 100 < pixels.max()


@pytest.mark.parametrize("size", [(1, 1), (30_000, 40), (3, 30_000)])
@pytest.mark.parametrize("fit", ["crop", "pad", "resize"])
def test_no_shape_is_too_odd(size: tuple[int, int], fit: str) -> None:
    assert decoded(pictures.encoded(pictures.plain(RED, size)), fit).pixels_HWC.tolist() == [[[255, 0, 0]] * 64] * 64


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty: 0 bytes"),
        (b"no image", "no image in a format that is read: PNG, JPEG"),
        (b"\0\0\0\x18ftypheic" + bytes(100), "no image in a format that is read"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "no image in a format that is read"),
        (image_bytes(1)[:200], "OSError"),
        (image_bytes(1, form="JPEG")[:-40], "truncated"),
        (pictures.float_tiff(), "no white is defined"),
    ],
    ids=["empty", "text", "heic", "postscript", "png", "jpeg", "float"],
)
def test_what_is_no_image_has_a_status_and_a_reason(data: bytes, reason: str) -> None:
    assert refusal(data).status == "undecodable" and reason in refusal(data).reason


def test_pixels_are_counted_by_the_header_and_only_of_what_is_read() -> None:
    assert (
        pixel_count(image_bytes(1, (50, 90))) == pixel_count(pictures.encoded(pictures.plain(size=(45, 100)))) == 4500
    )
    assert pixel_count(image_bytes(1)[:-100]) == 64 * 64
    assert pixel_count(b"") == pixel_count(b"no image") == pixel_count(pictures.bomb()) == 0


@pytest.mark.parametrize(
    "data",
    [
        *(image_bytes(5, (90, 70), form) for form in ("PNG", "JPEG", "WEBP", "TIFF", "BMP", "GIF", "PPM")),
        *(pictures.in_mode(mode) for mode in ("L", "LA", "1", "P", "RGBA")),
        pictures.in_mode("CMYK", "TIFF"),
        pictures.half_transparent(),
        pictures.half_transparent("WEBP"),
        pictures.palette(transparent=True),
        pictures.sixteen_bit_grey(),
        pictures.with_profile("grb", (120, 60, 200)),
        pictures.turned(6),
    ],
)
def test_pixels_do_not_depend_on_how_many_are_converted_at_once(data: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    at_once = whole(data)
    monkeypatch.setattr(decode_module, "STRIP_PIXELS", 1)
    assert np.array_equal(whole(data), at_once)


def test_a_large_image_is_in_memory_twice_at_most(tmp_path: Path) -> None:
    """In a process of its own, because memory that was freed before would be used again."""
    size = (2000, 2000)
    path = tmp_path / "a.png"
    path.write_bytes(pictures.encoded(pictures.plain(size=size).convert("RGBA")))
    code = f"""if True:
        from pathlib import Path
        from tasks.spec.geometry import Geometry
        from tasks.images.decode import decode
        def memory(key):
            return 1024 * int(Path("/proc/self/status").read_text().partition(key)[2].split()[0])
        data = Path({str(path)!r}).read_bytes()
        before = memory("VmRSS:")
        decode(data, Geometry(), 64)
        print(memory("VmHWM:") - before)"""
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, cwd=ROOT)
    assert int(found.stdout) < 2.6 * 4 * size[0] * size[1] + 2**23


def test_too_many_pixels_are_refused_before_they_are_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decode_module, "MAX_PIXELS", 64 * 63)
    assert refusal(image_bytes(1)).status == "too_large"


@pytest.mark.parametrize("data", [pictures.bomb(), pictures.png(9_000, 9_000, 1, 0, b"")], ids=["bomb", "large"])
def test_a_bomb_does_not_go_off(data: bytes) -> None:
    assert refusal(data).status == "too_large" and "pixels" in refusal(data).reason


def test_the_machine_is_not_mistaken_for_a_bad_image(monkeypatch: pytest.MonkeyPatch) -> None:
    def exhausted(image: object) -> None:
        raise MemoryError

    monkeypatch.setattr(decode_module, "_upright", exhausted)
    with pytest.raises(MemoryError):
        decoded(image_bytes(1))


def test_refused_geometry_is_not_aligned() -> None:
    with pytest.raises(UnusableError) as raised:
        decoded(image_bytes(1, (65, 64)), "refuse")
    assert raised.value.status == "not_aligned"


SHAPES = [("resize", (150, 41)), ("crop", (151, 90)), ("crop", (90, 151)), ("pad", (150, 40)), ("pad", (30, 200))]


@pytest.mark.parametrize(("fit", "size"), [*SHAPES, ("refuse", (64, 64)), ("crop", (20, 11)), ("pad", (1, 1))])
def test_laid_back_only_the_mask_changes_the_source(fit: str, size: tuple[int, int]) -> None:
    data = image_bytes(5, size)
    picture = decoded(data, fit)
    levels_HW = np.zeros((64, 64), np.uint8)
    levels_HW[20:40, 20:50] = np.linspace(0, 255, 30).astype(np.uint8)
    image, mask = given_back("source", picture, 255 - picture.pixels_HWC, levels_HW)
    source = pixels_of(data)
    assert image.shape == source.shape and mask.shape == source.shape[:2]
    assert np.array_equal(image[mask == 0], source[mask == 0])
    if max(size) > 64:
        assert (image[mask > 0] != source[mask > 0]).any()


@pytest.mark.parametrize(("fit", "size"), SHAPES)
def test_laid_back_the_square_falls_where_it_was_cut_from(fit: str, size: tuple[int, int]) -> None:
    data = image_bytes(5, size)
    picture = decoded(data, fit)
    image, mask = given_back("source", picture, picture.pixels_HWC, np.full((64, 64), 255, np.uint8))
    left, top, right, bottom = picture.placement.region
    assert mask[top:bottom, left:right].min() == 255 and mask.sum() == 255 * (right - left) * (bottom - top)
    assert np.abs(image.astype(int) - pixels_of(data)).mean() < 3


def test_a_point_of_the_square_is_laid_back_where_the_inverse_says() -> None:
    picture = decoded(image_bytes(5, (160, 90)), "pad")
    levels_HW = np.zeros((64, 64), np.uint8)
    levels_HW[31:33, 40:42] = 255  # around the point (41, 32)
    _, mask = given_back("source", picture, picture.pixels_HWC, levels_HW)
    a, _, c, _, e, f = picture.placement.inverse
    rows, columns = np.nonzero(mask > 128)
    assert (columns.mean() + 0.5, rows.mean() + 0.5) == pytest.approx((a * 41 + c, e * 32 + f), abs=0.5)


def test_at_the_generators_size_nothing_is_resampled() -> None:
    picture, levels_HW = decoded(image_bytes(5, (150, 41))), np.full((64, 64), 7, np.uint8)
    image, mask = given_back("generator", picture, picture.pixels_HWC, levels_HW)
    assert np.array_equal(image, picture.pixels_HWC) and np.array_equal(mask, levels_HW)


def test_tensors_and_pixels_are_inverse() -> None:
    pixels = [pixels_of(image_bytes(seed)) for seed in (1, 2)]
    tensor = tensor_of(pixels)
    assert tensor.shape == (2, 3, 64, 64) and tensor.min() >= -1 and tensor.max() <= 1
    assert np.array_equal(to_pixels(tensor), np.stack(pixels))


def test_masks_are_levels() -> None:
    assert to_levels(torch.tensor([0.0, 0.0019, 0.002, 0.5, 1.0]).view(5, 1, 1, 1)).ravel().tolist() == [
        *(0, 0, 1, 128, 255)
    ]


def test_png_loses_nothing() -> None:
    pixels = pixels_of(image_bytes(3))
    assert np.array_equal(pixels_of(encode(pixels, "png")), pixels)
    assert pixels_of(encode(pixels[:, :, 0], "png")).shape == (64, 64)


@pytest.mark.parametrize("form", ["jpeg", "webp"])
def test_lossy_formats_stay_close(form: str) -> None:
    pixels = pixels_of(image_bytes(3)).astype(int)
    assert np.abs(pixels_of(encode(pixels.astype(np.uint8), form)).astype(int) - pixels).mean() < 3  # type: ignore[arg-type]


def levels_of(mask: bytes, size: tuple[int, int] = (64, 64), fit: str = "resize") -> np.ndarray:
    """A mask where the generator sees an image of so many pixels."""
    return decode_user_mask(mask, decoded(image_bytes(1, size), fit)).levels_HW


def half_white(mode: str, form: str = "PNG") -> bytes:
    """A mask that lets the left half through, in a mode of Pillow."""
    mask = Image.new("L", (64, 64))
    mask.paste(255, (0, 0, 32, 64))
    return pictures.encoded(mask.convert(mode), form)


def test_a_mask_is_what_its_levels_say_however_it_is_stored() -> None:
    wanted = np.zeros((64, 64), np.uint8)
    wanted[:, :32] = 255
    sixteen = pictures.encoded(Image.fromarray(wanted.astype(np.uint16) * 257))
    clear = Image.merge("LA", (Image.fromarray(wanted), Image.new("L", (64, 64), 0)))  # alpha does not count
    masks = [half_white(mode) for mode in ("L", "1", "P", "RGB", "RGBA", "LA")]
    for mask in (*masks, sixteen, pictures.encoded(clear), half_white("L", "TIFF"), half_white("L", "BMP")):
        assert np.array_equal(levels_of(mask), wanted)
    grey = np.arange(4096, dtype=np.uint8).reshape(64, 64)
    assert np.array_equal(levels_of(pictures.encoded(Image.fromarray(grey))), grey)


def test_a_mask_is_upright_as_its_image_is() -> None:
    mask = Image.new("L", (48, 32))
    mask.paste(255, (0, 0, 24, 32))
    exif = Image.Exif()
    exif[0x0112] = 6
    stored = pictures.encoded(mask.transpose(Image.Transpose.ROTATE_90), exif=exif)
    assert np.array_equal(levels_of(stored, (48, 32)), levels_of(pictures.encoded(mask), (48, 32)))


@pytest.mark.parametrize(("fit", "size"), [*SHAPES, ("crop", (20, 11)), ("resize", (20, 31)), ("refuse", (64, 64))])
def test_a_mask_goes_where_its_image_goes(fit: str, size: tuple[int, int]) -> None:
    """A mask that is white where the image is: the generator sees it white, and padding black."""
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
def test_a_mask_that_is_none_says_so(data: bytes, status: str) -> None:
    with pytest.raises(UnusableError) as raised:
        levels_of(data)
    assert raised.value.status == status and raised.value.reason


@pytest.mark.parametrize(("fit", "size"), [*SHAPES, ("crop", (20, 11))])
def test_laid_back_the_mask_is_nowhere_above_the_users(fit: str, size: tuple[int, int]) -> None:
    """At the source's size, whose pixels are finer than those of the generator's square."""
    data, box = image_bytes(5, size), (1, 3, size[0] // 2 + 1, size[1] - 2)
    picture = decoded(data, fit)
    user_mask = decode_user_mask(mask_bytes(box, size), picture)
    image, mask = PASTE_BACK["source"](picture, 255 - picture.pixels_HWC, user_mask.levels_HW, user_mask)
    user_HW, source = pixels_of(mask_bytes(box, size)), pixels_of(data)
    assert (np.asarray(mask) <= user_HW).all() and np.asarray(mask).any()
    assert np.array_equal(np.asarray(image)[user_HW == 0], source[user_HW == 0])
    left, top, right, bottom = picture.placement.region
    inside = (slice(top, bottom), slice(left, right))
    everywhere = np.full((64, 64), 255, np.uint8)
    _, mask = PASTE_BACK["source"](picture, picture.pixels_HWC, everywhere, user_mask)
    assert np.array_equal(np.asarray(mask)[inside], user_HW[inside])

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tasks.images import decode as decode_module
from tasks.images.decode import UnusableError, pixel_count, pixels_of
from tests import pictures
from tests.pictures import BLUE, GREEN, RED, WHITE, Color
from tests.tars import image_bytes
from tests.tasks.images.decoded import decoded

ROOT = Path(__file__).parents[3]


def whole(data: bytes) -> np.ndarray:
    return np.asarray(decoded(data).whole)


def refusal(data: bytes) -> UnusableError:
    with pytest.raises(UnusableError) as raised:
        decoded(data)
    assert raised.value.reason
    return raised.value


def shows(data: bytes, left: Color, right: Color, within: int = 2) -> bool:
    """Whether the left and the right half of the picture have these colours."""
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


def test_an_image_with_broken_exif_is_read() -> None:
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
def test_transparent_pixels_are_white_whatever_their_colour(data: bytes) -> None:
    assert shows(data, RED, WHITE)


def test_a_palette_without_transparency_has_its_own_colours() -> None:
    assert shows(pictures.palette(), RED, BLUE)


def test_sixteen_bits_are_scaled() -> None:
    for level, expected in ((65535, 255), (40_000, 156), (128, 0), (129, 1)):
        assert shows(pictures.sixteen_bit_grey(level), (expected,) * 3, (expected,) * 3, within=0)
    assert shows(pictures.sixteen_bit_rgb((65535, 32896, 0)), (255, 128, 0), (255, 128, 0), within=0)


def test_colours_are_converted_by_the_profile() -> None:
    assert shows(pictures.with_profile("grb"), GREEN, GREEN)
    assert shows(pictures.with_profile("rgb", (120, 60, 200)), (120, 60, 200), (120, 60, 200), within=4)


@pytest.mark.parametrize("profile", [b"rubbish", pictures.profile("grb")[:200]])
def test_an_image_with_a_broken_profile_is_read(profile: bytes) -> None:
    assert shows(pictures.encoded(pictures.plain(RED), icc_profile=profile), RED, RED)


def test_the_profile_of_srgb_changes_no_pixel() -> None:
    from PIL import ImageCms

    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    data = pictures.encoded(pictures.corners(), icc_profile=profile)
    assert np.array_equal(whole(data), np.asarray(pictures.corners()))


@pytest.mark.parametrize("data", [pictures.in_mode("CMYK", "JPEG"), pictures.in_mode("CMYK", "TIFF")])
def test_cmyk_images_are_converted_to_rgb(data: bytes) -> None:
    assert np.abs(whole(data).astype(int) - pixels_of(image_bytes(7))).mean() < 4


@pytest.mark.parametrize(("mode", "form"), [("L", "PNG"), ("LA", "PNG"), ("1", "PNG"), ("L", "JPEG"), ("1", "TIFF")])
def test_greys_have_three_equal_channels(mode: str, form: str) -> None:
    pixels = whole(pictures.in_mode(mode, form))
    assert np.array_equal(pixels[..., 0], pixels[..., 1]) and np.array_equal(pixels[..., 1], pixels[..., 2])
    assert pixels.min() < 100 < pixels.max()


@pytest.mark.parametrize("size", [(1, 1), (30_000, 40), (3, 30_000)])
@pytest.mark.parametrize("fit", ["crop", "pad", "resize"])
def test_images_of_every_aspect_ratio_are_decoded(size: tuple[int, int], fit: str) -> None:
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
def test_bytes_that_are_no_image_get_a_status_and_a_reason(data: bytes, reason: str) -> None:
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
    """In a separate process, because memory freed earlier would be reused."""
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
def test_a_decompression_bomb_is_refused(data: bytes) -> None:
    assert refusal(data).status == "too_large" and "pixels" in refusal(data).reason


def test_a_lack_of_memory_is_not_reported_as_a_bad_image(monkeypatch: pytest.MonkeyPatch) -> None:
    def exhausted(image: object) -> None:
        raise MemoryError

    monkeypatch.setattr(decode_module, "_upright", exhausted)
    with pytest.raises(MemoryError):
        decoded(image_bytes(1))


def test_refused_geometry_is_not_aligned() -> None:
    with pytest.raises(UnusableError) as raised:
        decoded(image_bytes(1, (65, 64)), "refuse")
    assert raised.value.status == "not_aligned"

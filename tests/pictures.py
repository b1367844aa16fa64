"""Unusual images, as users have them: each function gives the bytes of one file."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any

import numpy as np
from PIL import Image

from tests.tars import image_bytes

Color = tuple[int, int, int]
RED, GREEN, BLUE, WHITE = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)
SRGB_COLORANTS = {"r": (0.4360, 0.2225, 0.0139), "g": (0.3851, 0.7169, 0.0971), "b": (0.1431, 0.0606, 0.7141)}
"""XYZ of the primaries under D50."""


def encoded(image: Image.Image, form: str = "PNG", **options: Any) -> bytes:
    """The image in a format."""
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


def plain(color: Color = RED, size: tuple[int, int] = (48, 32)) -> Image.Image:
    """One colour."""
    return Image.new("RGB", size, color)


def corners(width: int = 48, height: int = 32) -> Image.Image:
    """Red at the top left, green at the top right, blue at the bottom left, white at the bottom right."""
    image = plain(WHITE, (width, height))
    for color, (left, top) in {RED: (0, 0), GREEN: (width // 2, 0), BLUE: (0, height // 2)}.items():
        image.paste(color, (left, top, left + width // 2, top + height // 2))
    return image


def in_mode(mode: str, form: str = "PNG", **options: Any) -> bytes:
    """A soft picture in another mode of Pillow."""
    return encoded(Image.open(io.BytesIO(image_bytes(7))).convert(mode), form, **options)


def turned(orientation: int, form: str = "JPEG") -> bytes:
    """corners() stored in such a way that it is upright only after its EXIF orientation was applied."""
    undo = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }.get(orientation)
    stored = corners() if undo is None else corners().transpose(undo)
    exif = Image.Exif()
    exif[0x0112] = orientation
    return encoded(stored, form, exif=exif)


def broken_exif() -> bytes:
    """A good JPEG whose EXIF block is invalid."""
    return encoded(plain(), "JPEG", exif=b"Exif\0\0MM\0*\0\0\xff\xff" + b"\xff" * 40)


def sixteen_bit_grey(level: int = 40_000) -> bytes:
    """One level of 65536."""
    return encoded(Image.fromarray(np.full((32, 48), level, np.uint16)))


def sixteen_bit_rgb(levels: Color = (65535, 32896, 0)) -> bytes:
    """A PNG of 16 bits per channel, which Pillow reads and does not write."""
    width, height = 48, 32
    row = b"\0" + struct.pack(">3H", *levels) * width
    return png(width, height, 16, 2, row * height)


def float_tiff() -> bytes:
    """Levels as 32-bit floating-point numbers."""
    return encoded(Image.fromarray(np.full((32, 48), 0.5, np.float32)), "TIFF")


def bomb() -> bytes:
    """50 KB that would be 1.2 GB of pixels."""
    width = height = 20_000
    return png(width, height, 1, 0, bytes((1 + width // 8) * height))


def png(width: int, height: int, depth: int, color_type: int, raw: bytes) -> bytes:
    """A PNG of unfiltered rows, each after a zero."""
    header = struct.pack(">IIBBBBB", width, height, depth, color_type, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(raw, 9)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data)) for name, data in chunks
    )


def half_transparent(form: str = "PNG") -> bytes:
    """Red on the left; on the right fully transparent blue."""
    image = plain(RED).convert("RGBA")
    image.paste((*BLUE, 0), (24, 0, 48, 32))
    return encoded(image, form, **({"lossless": True, "exact": True} if form == "WEBP" else {}))


def palette(transparent: bool = False) -> bytes:
    """Red and blue by palette index; the blue is transparent if `transparent`."""
    image = Image.new("P", (48, 32), 0)
    image.putpalette([*RED, *BLUE])
    image.paste(1, (24, 0, 48, 32))
    return encoded(image, **({"transparency": 1} if transparent else {}))


def animated(form: str) -> bytes:
    """A red frame, then a green and a blue one."""
    frames = [plain(GREEN), plain(BLUE)]
    lossless = {"lossless": True} if form == "WEBP" else {}
    return encoded(plain(RED), form, save_all=True, append_images=frames, duration=100, **lossless)


def with_profile(colorants: str = "grb", color: Color = RED) -> bytes:
    """One colour and a profile; "grb" means that the red of the file is what sRGB calls green."""
    return encoded(plain(color), icc_profile=profile(colorants))


def profile(colorants: str) -> bytes:
    """A matrix profile of gamma 2.2 whose red, green and blue are these primaries of sRGB."""
    curve = b"curv" + bytes(4) + struct.pack(">IHxx", 1, round(2.2 * 256))
    tags = {b"desc": b"desc" + bytes(4) + struct.pack(">I", 5) + b"test\0" + bytes(79)}
    tags |= {b"wtpt": _xyz((0.9642, 1.0, 0.8249)), b"cprt": b"text" + bytes(4) + b"none\0\0\0\0"}
    for name, colorant in zip("rgb", colorants, strict=True):
        tags |= {f"{name}XYZ".encode(): _xyz(SRGB_COLORANTS[colorant]), f"{name}TRC".encode(): curve}
    table, body, start = b"", b"", 128 + 4 + 12 * len(tags)
    for name, data in tags.items():
        data += bytes(-len(data) % 4)
        table += name + struct.pack(">II", start + len(body), len(data))
        body += data
    size = start + len(body)
    header = struct.pack(">I4xI4s4s4s12x4s28x", size, 0x02100000, b"mntr", b"RGB ", b"XYZ ", b"acsp")
    header += _number(0.9642, 1.0, 0.8249)
    return header.ljust(128, b"\0") + struct.pack(">I", len(tags)) + table + body


def _xyz(values: tuple[float, float, float]) -> bytes:
    return b"XYZ " + bytes(4) + _number(*values)


def _number(*values: float) -> bytes:
    return b"".join(struct.pack(">i", round(value * 65536)) for value in values)

"""Sidecars (text members of an image) as metadata. The image is used also if one is invalid; the metadata says so."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping

MAX_BYTES = 2**20
"""Limited because the metadata is in every row of every edit."""
MAX_DEPTH = 64
INT64 = range(-(2**63), 2**63)
LONGEST_INTEGER = len(str(-(2**63)))
"""Most characters of a 64-bit integer; JSON has no leading zeros."""
ERROR_KEY = "sidecar_error"
"""The metadata key for the sidecars that could not be read, and why."""


def parse_json(data: bytes) -> dict[str, object]:
    """An object unchanged, any other value under the key json. ValueError for invalid or too deeply nested JSON."""
    try:
        found = json.loads(data, parse_float=_float, parse_int=_integer, parse_constant=str)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"not valid JSON: {error}") from None
    if _is_deeper(found, MAX_DEPTH):
        raise ValueError(f"nested in more than {MAX_DEPTH} levels")
    return found if isinstance(found, dict) else {"json": found}


def parse_caption(data: bytes) -> dict[str, object]:
    """The text under the key caption; bytes that are not UTF-8 become U+FFFD."""
    return {"caption": data.decode("utf-8", "replace").strip()}


SIDECARS: Mapping[str, Callable[[bytes], dict[str, object]]] = {"json": parse_json, "txt": parse_caption}
"""Suffix -> parser; on equal keys a later one has priority."""


def to_text(metadata: Mapping[str, object]) -> str:
    """JSON that every reader accepts: no NaN, and no invalid Unicode, such as half a surrogate pair."""
    return json.dumps(metadata, ensure_ascii=False, allow_nan=False).encode("utf-8", "replace").decode()


def _float(text: str) -> float | str:
    """Numbers too large for a float stay text: JSON has no infinity."""
    value = float(text)
    return value if math.isfinite(value) else text


def _integer(text: str) -> int | str:
    """Integers beyond 64 bits, signed, stay text: Arrow and most other readers have no larger type."""
    value = int(text) if len(text) <= LONGEST_INTEGER else None
    return value if value is not None and value in INT64 else text


def _is_deeper(value: object, levels: int) -> bool:
    if not isinstance(value, dict | list):
        return False
    inner = value.values() if isinstance(value, dict) else value
    return levels == 0 or any(_is_deeper(each, levels - 1) for each in inner)

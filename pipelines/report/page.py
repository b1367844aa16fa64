"""Renders HTML pages that contain their styles and script and load nothing.

All texts from jobs and data are escaped. In addition a content security policy forbids network access and all scripts
except the page's own, whose digest it contains, so that a prompt or a key that was not escaped could do no harm.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from pipelines.report.wishes import combined_wishes
from tasks.images.thumbnails import Tile

TEMPLATES = "templates"


def render(template: str, **content: Any) -> str:
    """The HTML of a template, filled with `content`."""
    style, script = (Markup(_read(name)) for name in ("page.css", "page.js"))
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return _environment().get_template(template).render(content | {"style": style, "script": script, "digest": digest})


def save(path: Path, page: str) -> Path:
    """Write the page as a local file, atomically. Returns `path`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.partial")
    partial.write_text(page, encoding="utf-8")
    return partial.replace(path)


def data_uri(tile: Tile) -> str:
    """A data: address that contains the picture."""
    return f"data:image/{tile.form};base64,{base64.b64encode(tile.data).decode()}"


def count(number: int) -> str:
    """The number with thin spaces between thousands."""
    return f"{number:,}".replace(",", "\u2009")


def duration(seconds: float) -> str:
    """Seconds, minutes or hours with a unit."""
    if seconds < 100:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes / 60:.1f} h"


FILTERS: Mapping[str, Any] = {"data_uri": data_uri, "count": count, "duration": duration, "wishes": combined_wishes}


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("pipelines.report", TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(FILTERS)
    return environment


def _read(name: str) -> str:
    return (files("pipelines.report") / TEMPLATES / name).read_text(encoding="utf-8")

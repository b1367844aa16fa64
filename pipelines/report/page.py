"""A page of HTML: styles and script inside, everything from outside escaped, nothing fetched.

The page forbids itself the network and every script but its own (a content security policy with the script's digest),
so that a prompt or a key could do no harm even if it were not escaped.
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

from tasks.images.thumbnails import Tile

TEMPLATES = "templates"


def render(template: str, **content: Any) -> str:
    """The page of a template with its content."""
    style, script = (Markup(_read(name)) for name in ("page.css", "page.js"))
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return _environment().get_template(template).render(content | {"style": style, "script": script, "digest": digest})


def save(path: Path, page: str) -> Path:
    """The page as a local file, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.partial")
    partial.write_text(page, encoding="utf-8")
    return partial.replace(path)


def data_uri(tile: Tile) -> str:
    """The picture inside the address."""
    return f"data:image/{tile.form};base64,{base64.b64encode(tile.data).decode()}"


def count(number: int) -> str:
    """With thin spaces between thousands."""
    return f"{number:,}".replace(",", "\u2009")


def duration(seconds: float) -> str:
    """As people say it."""
    if seconds < 100:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes / 60:.1f} h"


FILTERS: Mapping[str, Any] = {"data_uri": data_uri, "count": count, "duration": duration}


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

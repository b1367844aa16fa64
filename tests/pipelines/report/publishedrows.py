"""The published run that the tests of pages use."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from manifests.stores.store import Store
from tasks.plan.plan import Plan

HOSTILE = "</script><script>document.title='owned'</script>\"'><img src=x onerror=\"document.title='owned'\">"
BROKEN = "broken<img src=x onerror=alert(1)>"
GOOD = 12
"""Number of images in the published run, which also has one sample that is no image."""


@dataclass(frozen=True)
class Published:
    """A finished run."""

    store: Store
    plan: Plan


def row(number: int, edit: str = "e-1", **changes: Any) -> dict[str, Any]:
    """A manifest row with status ok; its direction is number / 1000."""
    return {
        "key": f"{number:05d}",
        "source_uri": "file:///in.tar",
        "status": "ok",
        "edit": edit,
        "direction": number / 1000,
        "identity": 0.9,
        "outside": 0.01,
        "area": 0.2,
        "inversion_error": 0.1,
        "layer_areas": [0.0, 0.5, 1.0],
        "request_id": "r",
        "image_uri": f"data/edit={edit}/x.parquet",
        "row_group": number // 100,
        "row": number % 100,
        **changes,
    }

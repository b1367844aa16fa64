"""Which method another one builds upon."""

from __future__ import annotations

import pytest

from coral_core.bundle.models import Models
from coral_core.editors import EDITORS, spec
from coral_core.types import Prompt
from tests.coral_core.editors.small_editors import RED, build

STARTED = [name for name, row in EDITORS.items() if hasattr(row.config, "start")]
"""Methods whose search can start at transport."""


def options(start: str) -> dict[str, object]:
    """Options with which every one of them starts there."""
    return {"start": start} if start == "transport" else {"start": start, "embedding": 0.0}


@pytest.mark.parametrize("method", STARTED)
def test_a_method_has_a_base_where_its_fit_starts_at_one(method: str) -> None:
    row = spec(method)
    bases = {start: row.base_of(row.resolve(options(start))) for start in ("transport", "regression", "none")}
    assert bases == {"transport": "transport", "regression": "", "none": ""}
    assert row.base_of(row.resolve({})) == ("" if "direction" in method else "transport")


def test_all_latent_edits_of_a_prompt_can_start_at_transport() -> None:
    kinds = ("direction-attention", "mapper-attention", "direction-segments", "mapper-segments", "mapper-clusters")
    assert [*(f"coral-{kind}" for kind in kinds), "styleclip-mapper", "styleclip-optimization"] == STARTED


@pytest.mark.parametrize("method", [name for name in EDITORS if name not in STARTED])
def test_other_methods_have_the_base_of_their_row(method: str) -> None:
    assert spec(method).base_of(spec(method).resolve({})) == spec(method).base


def test_a_base_that_is_missing_or_not_needed_is_refused(models: Models) -> None:
    row, transport = spec("styleclip-mapper"), build("transport", models)
    with pytest.raises(ValueError, match="styleclip-mapper builds upon a fitted transport; give it"):
        row.build(row.resolve({"start": "transport"}), RED, models)
    with pytest.raises(ValueError, match="styleclip-mapper builds upon no other method with these options"):
        row.build(row.resolve(options("none")), RED, models, transport)


@pytest.mark.parametrize("method", STARTED)
def test_clip_reads_the_wishes_that_transport_reads(method: str) -> None:
    several = Prompt("a person with red hair and a hat", "a person")
    row, wish = spec(method), "a person with a hat"
    assert wish in row.texts(row.resolve({"start": "transport"}), several)
    assert wish not in row.texts(row.resolve(options("regression")), several)

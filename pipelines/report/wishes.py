"""The wishes of an edit as pages and tables show them."""

from __future__ import annotations

from coral_core.editors import spec
from coral_core.editors.wishes import wishes_of
from tasks.spec.requests import EditSpec


def combined_wishes(edit: EditSpec) -> tuple[str, ...]:
    """The wishes that an edit combines, sorted; none if its method does not, or edits by the target alone."""
    wishes = tuple(sorted(wishes_of(edit.prompt))) if spec(edit.method).combines(edit.options) else ()
    return () if wishes == (edit.target,) else wishes

"""The fits and the edit of one line of the benchmark, as in a job with default options and strength 1."""

from __future__ import annotations

from collections.abc import Sequence

from coral_core.bundle.catalog import Bundle
from coral_core.editors import spec
from pipelines.bench.oracles import REFERENCES
from pipelines.bench.prompts import BenchPrompt
from tasks.artifacts.fit_requests import fits_of
from tasks.spec.requests import EditSpec, FitRequest


def fits_behind(bundle: Bundle, method: str, prompt: BenchPrompt) -> tuple[FitRequest, ...]:
    """The fits that a method needs for a prompt, bases first; the method's own fit is the last one."""
    if method in REFERENCES:
        return ()
    return fits_of(spec(method), spec(method).resolve({}), prompt.prompt, bundle)


def edit_spec(method: str, prompt: BenchPrompt, fits: Sequence[FitRequest]) -> EditSpec:
    """The edit of a prompt by a method."""
    return EditSpec(
        slug=prompt.id,
        target=prompt.target,
        source=prompt.source,
        method=method,
        options=spec(method).resolve({}),
        fit_id=fits[-1].id if fits else "",
        strength=1.0,
        onto="source",
        image_format="png",
        seed=0,
        batch_size=1,
        digests={},
    )

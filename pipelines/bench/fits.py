"""The fit and the edit behind a line of the benchmark, as a job would ask for them: default options, strength 1."""

from __future__ import annotations

from coral_core.editors import EditorSpec, FitScope, spec
from coral_core.zoo.catalog import Bundle
from pipelines.bench.outcome import BASELINES
from pipelines.bench.prompts import BenchPrompt
from tasks.requests import EditSpec, FitRequest


def fit_request(bundle: Bundle, method: str, prompt: BenchPrompt) -> FitRequest | None:
    """The fit behind a method's edits of a prompt, with the method's default options; None without one."""
    if method in BASELINES or spec(method).scope is FitScope.IMAGE:
        return None
    row: EditorSpec = spec(method)
    of_prompt = row.scope is FitScope.PROMPT
    return FitRequest(
        method=method,
        options=row.fit_options(row.resolve({})),
        target=prompt.target if of_prompt else "",
        source=prompt.source if of_prompt else "",
        digests={part: bundle.digests[part] for part in sorted(set(row.fit_reads))},
    )


def edit_spec(method: str, prompt: BenchPrompt, fit: FitRequest | None) -> EditSpec:
    """What a job would ask for."""
    return EditSpec(
        slug=prompt.id,
        target=prompt.target,
        source=prompt.source,
        method=method,
        options=spec(method).resolve({}),
        fit_id="" if fit is None else fit.id,
        strength=1.0,
        onto="source",
        image_format="png",
        seed=0,
        batch_size=1,
        digests={},
    )

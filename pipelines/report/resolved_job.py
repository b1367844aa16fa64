"""A job with all settings resolved: also those that the user did not write, with the values they had."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from pipelines.jobfile.yaml_text import write_yaml
from tasks.plan.plan import Plan
from tasks.spec.requests import EditSpec


def resolved_yaml(plan: Plan, settings: Mapping[str, object]) -> str:
    """The settings of a plan, and sections that no plan contains (`settings`), as YAML with the keys of a job file."""
    job = {**resolved_job(plan), **settings}
    return write_yaml(job)


def resolved_job(plan: Plan) -> dict[str, Any]:
    """The settings that a plan contains, with the keys of a job file."""
    asked: Mapping[str, Any] = plan.job
    return {
        "name": asked.get("name"),
        "input": list(asked.get("inputs", ())),
        "output": plan.output,
        "bundle": plan.bundle,
        "geometry": asdict(plan.invert.geometry),
        "batch_size": plan.invert.batch_size,
        "fit_source": {"samples": asked.get("fit_samples"), "captions": list(asked.get("fit_captions", ()))},
        "max_failure_rate": plan.max_failure_rate,
        "limit_samples": plan.limit_samples,
        "s3": asdict(plan.s3),
        "edits": [_edit(plan, edit) for edit in plan.edits],
    }


def _edit(plan: Plan, edit: EditSpec) -> dict[str, Any]:
    rules = plan.rules_of(edit)
    return {
        "id": edit.slug,
        "target": edit.target,
        "source": edit.source,
        "all_of": list(edit.all_of),
        "reference": None if edit.reference is None else edit.reference.uri,
        "method": edit.method,
        "options": _plain(edit.options),
        "strength": edit.strength,
        "composite": edit.onto,
        "format": edit.image_format,
        "seed": edit.seed,
        "regions": {**_plain(asdict(edit.limits)), "mask": edit.mask or None},
        "gates": asdict(rules.gates),
        "labels": _plain(rules.labels),
        "fit_id": edit.fit_id or None,
    }


def _plain(value: Any) -> Any:
    """Dicts with sorted keys, lists and scalars, so that a plan gives the same YAML after it was stored and read."""
    if isinstance(value, Mapping):
        return {name: _plain(value[name]) for name in sorted(value)}
    return [_plain(each) for each in value] if isinstance(value, tuple | list) else value

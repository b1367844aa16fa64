"""The fits that edits by a method need. A fit that another fit uses as its base comes before it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from coral_core.bundle.catalog import Bundle
from coral_core.editors import EditorSpec, FitScope, spec
from coral_core.types import Prompt
from tasks.artifacts.bundled import shipped
from tasks.spec.requests import FitRequest, Shard


def fits_of(
    method: EditorSpec,
    options: Mapping[str, object],
    prompt: Prompt,
    bundle: Bundle,
    captions: tuple[Shard, ...] = (),
) -> tuple[FitRequest, ...]:
    """The fits that edits by a method with these resolved options need; the last one is the method's own, if any.

    A fit whose artifact ships with the bundle names it.

    Errors: ValueError for a method that learns from captions, if there are none and the bundle ships no such artifact.
    """
    below = method.base_of(options)
    base = spec(below) if below else None
    before = () if base is None else fits_of(base, base.resolve({}), prompt, bundle, captions)
    if not method.is_fitted:
        return before
    own = fit_request(method, options, prompt, bundle, captions, before[-1].id if before else "")
    if not own.captions and (digest := shipped(bundle.path, own)):
        return (*before, replace(own, shipped=digest))
    if method.captioned and not captions:
        raise ValueError(
            f"{method.name} learns from captioned images, and bundle {bundle.name} ships none for these options"
            f"{f' and its {below}' if below else ''}: "
            "give tars of images, each with its <key>.txt, as fit_source: captions, or leave the fit's options alone"
        )
    return (*before, own)


def fit_request(
    method: EditorSpec,
    options: Mapping[str, object],
    prompt: Prompt,
    bundle: Bundle,
    captions: tuple[Shard, ...] = (),
    base: str = "",
) -> FitRequest:
    """The fit of the method itself; `base` is the id of the fit it builds upon, if any."""
    one_prompt = method.scope is FitScope.PROMPT
    return FitRequest(
        method=method.name,
        options=method.fit_options(options),
        target=prompt.target if one_prompt else "",
        source=prompt.source if one_prompt else "",
        wishes=prompt.wishes if one_prompt else (),
        digests=digests_of(bundle, method.fit_reads),
        captions=captions if method.captioned else (),
        base=base,
    )


def base_levels(requests: Sequence[FitRequest]) -> list[list[FitRequest]]:
    """Fits, each after its base, as groups that can be done one after the other: fits without a base first.

    `requests` has a base before the fits that build upon it; a base that is not among them counts as done.
    """
    levels: list[list[FitRequest]] = []
    level_of: dict[str, int] = {}
    for request in requests:
        level_of[request.id] = level = level_of.get(request.base, -1) + 1
        levels += [[]] if level == len(levels) else []
        levels[level].append(request)
    return levels


def digests_of(bundle: Bundle, parts: Sequence[str]) -> dict[str, str]:
    """SHA-256 of the weight files of these parts of a bundle, by part."""
    return {part: bundle.digests[part] for part in sorted(set(parts))}

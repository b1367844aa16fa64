"""Resolving an edit of a job: the fits it needs, and the edit with every option."""

from __future__ import annotations

from collections.abc import Mapping

from coral_core.bundle.catalog import Bundle
from coral_core.bundle.weights import read_header
from coral_core.clip import check_length
from coral_core.editors import EDITORS, EditorSpec, spec
from coral_core.editors.base import check_prompts
from coral_core.scoring import SCORE_READS
from coral_core.types import Prompt
from tasks.artifacts.fit_requests import digests_of, fits_of
from tasks.inputs.archive import MAX_IMAGE_BYTES
from tasks.inputs.find import find_shards
from tasks.inputs.grouping import IMAGE_SUFFIXES
from tasks.spec.job import EditEntry, JobSpec
from tasks.spec.requests import EditSpec, FitRequest, InvertSpec, Shard

RESTORE_READS = ("generator", "segmenter")
"""Bundle parts that are read to restore a stored inversion."""


def resolve_edit(
    job: JobSpec, entry: EditEntry, bundle: Bundle, invert: InvertSpec, captions: tuple[Shard, ...]
) -> tuple[tuple[FitRequest, ...], EditSpec]:
    """The fits that an edit needs, a base before the fit that builds upon it, and the edit.

    Errors: ValueError that names the edit.
    """
    try:
        method = spec(entry.method)
        options = method.resolve({**entry.options, "fit": _fit_options(job, entry, method)})
        _check_output(job, entry)
        _check_combines(entry, method, options)
        prompt = Prompt(entry.target, entry.source, wishes=tuple(sorted(entry.all_of)))
        check_prompts([prompt], 1, combines_wishes=True)
        check_length(method.texts(options, prompt), read_header(bundle.path / "clip.safetensors").config)
        entry.limits.check(bundle.conv_sizes)
        fits = fits_of(method, options, prompt, bundle, captions)
    except ValueError as error:
        raise ValueError(f"edit {entry.id!r}: {error}") from error
    edit = EditSpec(
        slug=entry.id,
        target=entry.target,
        source=entry.source,
        method=entry.method,
        options=options,
        fit_id=fits[-1].id if fits else "",
        strength=entry.strength,
        onto=entry.onto,
        image_format=entry.image_format,
        seed=job.seed,
        batch_size=job.batch_size,
        digests=digests_of(bundle, (*method.edit_reads, *RESTORE_READS, *SCORE_READS)),
        output=job.geometry.output,
        invert_id=invert.invert_id,
        limits=entry.limits,
        mask=entry.mask,
        reference=_reference(job, entry, method),
        all_of=prompt.wishes,
    )
    return fits, edit


def _reference(job: JobSpec, entry: EditEntry, method: EditorSpec) -> Shard | None:
    """The image that an edit should resemble, with its present digest; None if the edit names none."""
    if not entry.reference:
        return None
    if not method.takes_reference:
        able = ", ".join(name for name, each in EDITORS.items() if each.takes_reference)
        raise ValueError(f"edit {entry.id!r}: {method.name} cannot follow a reference image; {able} can")
    where = f"edit {entry.id!r}: reference {entry.reference}"
    try:
        found = find_shards([entry.reference], {}, job.s3)
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from None
    if len(found) != 1:
        raise ValueError(f"{where} names {len(found)} files; give one image")
    if found[0].uri.rpartition(".")[2].lower() not in IMAGE_SUFFIXES or found[0].size > MAX_IMAGE_BYTES:
        raise ValueError(f"{where} is no image of at most {MAX_IMAGE_BYTES >> 20} MiB by its name and size")
    return found[0]


def _check_combines(entry: EditEntry, method: EditorSpec, options: Mapping[str, object]) -> None:
    if not entry.all_of or method.combines(options):
        return
    if method.combines_wishes:
        raise ValueError(f"{method.name} can combine the wishes of all_of only with start: {method.base}")
    able = ", ".join(name for name, each in EDITORS.items() if each.combines_wishes)
    raise ValueError(f"{method.name} cannot combine the wishes of all_of; {able} can")


def _check_output(job: JobSpec, entry: EditEntry) -> None:
    if (job.geometry.output, entry.onto) == ("source", "reconstruction"):
        raise ValueError(
            "composite: reconstruction cannot be pasted back into the source, which geometry.output: source asks for; "
            "choose composite: source, or output: generator"
        )


def _fit_options(job: JobSpec, entry: EditEntry, method: EditorSpec) -> Mapping[str, object]:
    """The job's fit settings, overridden by the edit's own.

    The job's settings are about generator samples in memory, so that they do not apply to a method that learns from
    captions or draws its samples itself.
    If the edit's `fit` is no mapping, it is returned as it is; the method reports the error.
    """
    own = entry.options.get("fit", {})
    if not method.is_fitted or method.captioned or method.sourceless:
        return own  # type: ignore[return-value]
    common = {"source_samples": job.fit_samples, "source_seed": job.seed, "seed": job.seed}
    return {**common, **own} if isinstance(own, Mapping) else own  # type: ignore[return-value]

"""Outputs with painted instead of computed edits: the real plan, commit protocol and publish, without networks."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from manifests.commit import committed
from manifests.parquet.schema import inversion_schema
from manifests.stores.open import open_store
from manifests.stores.store import Store
from tasks.images.encode import encode
from tasks.inputs.archive import Sample, read_samples
from tasks.inputs.local_copy import local_copy
from tasks.plan.plan import Plan, make_plan, record_plan
from tasks.publish.publish import publish_edits
from tasks.shards.output import open_inversion, open_outputs
from tasks.spec.requests import EditRequest, InvertRequest

Paint = Callable[[EditRequest, Sample], np.ndarray]
Row = dict[str, object]
SIDE = 16


def tinted(request: EditRequest, sample: Sample) -> np.ndarray:
    """Noise with more red or blue if the prompt asks for it, so that the edit is visible."""
    rng = np.random.default_rng(int(sample.sha256[:8], 16))
    pixels = rng.integers(0, 128, (SIDE, SIDE, 3), dtype=np.uint8)
    for channel, colour in enumerate(("red", "green", "blue")):
        if colour in request.spec.target:
            pixels[..., channel] += 64
    return pixels


def publish_painted(job: Any, paint: Paint = tinted) -> tuple[Plan, Store]:
    """Plan a job, commit painted edits of every shard, and publish them."""
    plan = make_plan(job)
    store = open_store(plan.output, plan.s3)
    record_plan(store, plan)
    for inversion in plan.invert_requests():
        with local_copy(inversion.shard) as path:
            samples = list(read_samples(path, inversion.shard.limit))
        commit_inversion(store, inversion, samples)
        for edit in plan.edits:
            commit_painted(store, EditRequest(inversion=inversion, spec=edit), samples, paint)
    publish_edits(store, plan, frozenset(committed(store)))
    return plan, store


def commit_inversion(store: Store, request: InvertRequest, samples: list[Sample]) -> None:
    """Latents of zeros."""
    with open_inversion(request, inversion_schema(1, 1)) as output:
        output.write([{**_source(request, sample), "ws": [0.0], "inversion_error": 0.1} for sample in samples])
        output.commit(store, {"name": "painted", "shard": request.shard.content}, len(samples), 1.0)


def commit_painted(store: Store, request: EditRequest, samples: list[Sample], paint: Paint) -> None:
    """One edit of one shard; direction counts the samples from 0 to 1, which tests select by."""
    rows = [
        {**_source(request.inversion, sample), **_edit(request), **_result(request, sample, paint, index, len(samples))}
        for index, sample in enumerate(samples)
    ]
    info = {"name": "painted", "shard": request.shard.content, "edit": request.spec.edit_id}
    with open_outputs([request]) as outputs:
        outputs[request.id].write(rows)
        outputs[request.id].commit(store, {**info, "inversion": request.inversion.id}, len(samples), 1.0)


def contents(folder: Path) -> dict[str, bytes]:
    """Every visible file below a folder."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file() and ".staging" not in path.parts)
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def _source(request: InvertRequest, sample: Sample) -> Row:
    return {
        "key": sample.key,
        "source_uri": request.shard.uri,
        "source_member": sample.member,
        "source_sha256": sample.sha256,
        "metadata": sample.metadata,
        "status": sample.status,
        "reason": sample.reason,
    }


def _edit(request: EditRequest) -> Row:
    edit = request.spec
    return {
        "prompt": edit.target,
        "source_prompt": edit.source,
        "edit": edit.edit_id,
        "method": edit.method,
        "strength": edit.strength,
        "seed": edit.seed,
        "models_digest": edit.models_digest,
        "editor_digest": "painted",
    }


def _result(request: EditRequest, sample: Sample, paint: Paint, index: int, count: int) -> Row:
    if sample.status != "ok":
        return {}
    image_format = request.spec.image_format
    pixels = paint(request, sample)
    mask = np.full(pixels.shape[:2], 255, np.uint8)
    return {
        "direction": index / count,
        "identity": 1.0,
        "image": {"bytes": encode(pixels, image_format), "path": f"{sample.key}.{image_format}"},
        "mask": {"bytes": encode(mask, "png"), "path": f"{sample.key}.mask.png"},
    }

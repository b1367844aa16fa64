"""Committed edits without networks: real commits of a small plan whose scores are drawn at random."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from manifests.parquet.schema import inversion_schema
from manifests.stores.open import open_store
from manifests.stores.store import Store
from tasks.plan.plan import Plan
from tasks.shards.commits import commit_info
from tasks.shards.output import open_inversion, open_outputs
from tasks.spec.gates import GATED_SCORES
from tasks.spec.geometry import Geometry
from tasks.spec.publish_rules import PublishRules
from tasks.spec.requests import EditRequest, EditSpec, InvertSpec, Shard

Metadata = Callable[[int], str | None]


def labels_of(index: int) -> str:
    """The metadata of a sample, as its tar has it."""
    return json.dumps({"hair": {"color": "brown"}, "number": index, "caption": f"picture {index}"})


def small_plan(
    folder: Path,
    shards: int = 2,
    edits: tuple[str, ...] = ("red", "smile"),
    rules: Mapping[str, PublishRules] | None = None,
    uri: str = "file:///data/in-{:03d}.tar",
) -> Plan:
    """A plan for tars that do not exist, published by `rules` (id of an edit -> rules)."""
    return Plan(
        run_id="run",
        code_version="0",
        output=str(folder / "out"),
        bundle="none",
        digests={},
        shards=tuple(Shard(uri=uri.format(index), size=1, sha256=f"{index}") for index in range(shards)),
        invert=InvertSpec(geometry=Geometry(), batch_size=4, digests={"generator": "g"}),
        fits=(),
        edits=tuple(_edit(slug) for slug in edits),
        max_failure_rate=1.0,
        limit_samples=None,
        publish=rules or {},
    )


def commit_all(
    plan: Plan, samples: int = 20, metadata: Metadata = labels_of, seed: int = 0, store: Store | None = None
) -> frozenset[str]:
    """Commit every request of the plan; the ids of the edits. Some scores are NaN, some rows are no images at all."""
    store, rng = store or open_store(plan.output), np.random.default_rng(seed)
    for requests in plan.edit_requests():
        _commit_inversion(store, requests[0], samples)
        with open_outputs(requests) as outputs:
            for request in requests:
                outputs[request.id].write([_row(request, index, rng, metadata) for index in range(samples)])
                outputs[request.id].commit(store, commit_info(request), samples, 1.0)
    return frozenset(request.id for requests in plan.edit_requests() for request in requests)


def _commit_inversion(store: Any, request: EditRequest, samples: int) -> None:
    with open_inversion(request.inversion, inversion_schema(1, 1)) as output:
        output.write([{"key": str(index), "status": "ok", "ws": [0.0]} for index in range(samples)])
        output.commit(store, {"name": request.shard.uri}, samples, 1.0)


def _row(request: EditRequest, index: int, rng: np.random.Generator, metadata: Metadata) -> dict[str, object]:
    row: dict[str, object] = {
        "key": f"{index:04d}",
        "source_uri": request.shard.uri,
        "metadata": metadata(index),
        "edit": request.spec.edit_id,
        "status": "ok",
        "reason": "",
    }
    if index % 7 == 6:
        return {**row, "status": "failed", "reason": "the edit gave pixels that are not finite"}
    scores = {name: float(rng.uniform()) for name in GATED_SCORES}
    if index % 5 == 4:
        scores[str(rng.choice(GATED_SCORES))] = float("nan")
    return {**row, **scores, "image": {"bytes": b"image", "path": None}}


def _edit(slug: str) -> EditSpec:
    return EditSpec(
        slug=slug,
        target=slug,
        source="a person",
        method="method",
        options={},
        fit_id="",
        strength=1.0,
        onto="source",
        image_format="png",
        seed=0,
        batch_size=4,
        digests={"clip": "c"},
    )

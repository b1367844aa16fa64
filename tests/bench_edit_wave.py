"""The overhead of the pipeline: the edit wave with a warm actor against the bare model loop over the same tensors.

    python -m tests.bench_edit_wave [--bundle portraits] [--shards 4] [--samples 64] [--batch-size 32]

The wave reads tars, decodes, joins and restores inversions, edits, composites, scores, encodes, writes Parquet and
commits, with one actor of one CPU. The loop only edits, composites and scores, on one thread. The contract is 1.5.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

os.environ |= {"OMP_NUM_THREADS": "1", "RAY_USAGE_STATS_ENABLED": "0", "RAY_worker_niceness": "0"}

import torch

from coral_core.bundle.models import load_models
from coral_core.composite import composite
from coral_core.inversion import restore
from coral_core.scoring import score
from coral_core.types import Inversion, Prompt
from coral_core.zoo.random_bundle import write_random_bundle
from tasks.artifacts.loaded import Editors
from tasks.plan.plan import Plan, make_plan
from tasks.run import waves
from tasks.run.run import Run
from tasks.shards.reading import open_inverted
from tasks.spec.geometry import Geometry
from tasks.spec.job import EditEntry, JobSpec
from tasks.spec.resources import Resources
from tests.tars import write_shards

CONTRACT = 1.5


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; returns 1 if the ratio is above the contract."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bundle", default="portraits", help="a bundle's name or folder, or random")
    parser.add_argument("--shards", type=int, default=4)
    parser.add_argument("--samples", type=int, default=64, help="in each shard")
    parser.add_argument("--batch-size", type=int, default=32)
    given = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        bundle = str(write_random_bundle(place / "bundle")) if given.bundle == "random" else given.bundle
        write_shards(place, given.shards + 1, given.samples)
        plan = make_plan(job(place, bundle, given.batch_size))
        wave, loop = measure(plan)
    images = given.shards * given.samples * len(plan.edits)
    print(f"wave {wave:.2f} s ({images / wave:.0f} img/s), loop {loop:.2f} s ({images / loop:.0f} img/s)")
    print(f"ratio {wave / loop:.2f}, contract {CONTRACT}")
    return int(wave > CONTRACT * loop)


def job(place: Path, bundle: str, batch_size: int) -> JobSpec:
    """Three edits, fitted for one step: what a fit learned does not change how long an edit takes."""
    methods = ("coral-direction-attention", "coral-mapper-attention", "styleclip-mapper")
    return JobSpec(
        name="bench",
        inputs=(str(place / "in-*.tar"),),
        output=str(place / "out"),
        bundle=bundle,
        seed=0,
        batch_size=batch_size,
        geometry=Geometry(),
        edits=tuple(
            EditEntry(
                id=f"edit-{number}",
                target=f"a person with hair number {number}",
                source="a person",
                method=method,
                options={"start": "regression", "embedding": 0, "fit": {"steps": 1, "batch_size": 2}},
                strength=1.0,
                onto="source",
                image_format="png",
            )
            for number, method in enumerate(methods)
        ),
        fit_samples=4,
        max_failure_rate=0.0,
    )


def measure(plan: Plan) -> tuple[float, float]:
    """Seconds of the wave and of the loop over all shards but the first, which warms the actor up."""
    warm_up, measured = replace(plan, shards=plan.shards[:1]), replace(plan, shards=plan.shards[1:])
    torch.set_num_threads(1)
    with Run(plan, Resources(actors=1, num_cpus=1)) as run:
        assert not (waves.invert(run).failures or waves.fit(run).failures)
        run.plan = warm_up
        waves.edit(run)
        before = loop_seconds(measured, run)
        run.plan = measured
        wave = waves.edit(run)
        assert not wave.failures and set(wave.counts) == {"ok"}, wave
        return wave.seconds, (before + loop_seconds(measured, run)) / 2


@torch.no_grad()
def loop_seconds(plan: Plan, run: Run) -> float:
    """Edit, composite and score everything the wave does, with all tensors in memory."""
    models = load_models(plan.bundle)
    editors = Editors(run.store, models)
    batches: list[Inversion] = []
    for request in plan.invert_requests():
        with open_inverted(run.store, request, models.image_size) as shard:
            for batch in shard.batches:
                images, latents = batch.images(models.device), batch.latents(models.device)
                batches.append(restore(models, batch.keys, images, latents))
    for edit in plan.edits:  # warm
        editors[edit].editor.edit(batches[0], [Prompt(edit.target, edit.source)] * len(batches[0].keys))
    started = time.perf_counter()
    for source in batches:
        for edit in plan.edits:
            prompts = [Prompt(edit.target, edit.source)] * len(source.keys)
            edited = editors[edit].editor.edit(source, prompts, strength=edit.strength, seed=edit.seed)
            score(composite(edited, source, edit.onto), source, prompts, models)
    return time.perf_counter() - started


if __name__ == "__main__":
    sys.exit(main())

"""`coral bench edits`: the time of edits when many prompts share one pass of the encoder.

Two times are measured in one process, alternating after every batch, so that other load on the machine affects both
equally: one pass of the encoder and one pass of the generator per prompt, which is the lower bound for edits through a
generator; and the edits themselves, encoder included. Then StyleCLIP's optimisation, which searches every edit of every
image, is timed on a few images.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch

from coral_core.editors import EDITORS, FitScope, spec
from coral_core.editors.base import Editor
from coral_core.inversion import generator_samples, take
from coral_core.types import Inversion, Prompt
from pipelines.bench.fits import edit_spec, fits_behind
from pipelines.bench.method_quality import Bench
from pipelines.bench.outcome import synchronise
from pipelines.bench.prompts import BenchPrompt
from pipelines.bench.workers import Done, OnDone
from tasks.artifacts.loaded import load_editor
from tasks.worker.fit import fit_editor

SLOW = "styleclip-optimization"
BATCH = 16
"""Images per batch."""
SEARCHED = 16
"""Images of the optimisation, with one prompt."""


@dataclass(frozen=True)
class EditCost:
    """Measured seconds, for all images and prompts together unless noted."""

    method: str
    images: int
    prompts: int
    passes_seconds: float  # one encoder pass per image and one generator pass per edit
    edit_seconds: float
    search_seconds: float  # of the optimisation for one edit of one image

    @property
    def ratio(self) -> float:
        """Time of the edits over the time of the passes."""
        return self.edit_seconds / self.passes_seconds

    @property
    def gain(self) -> float:
        """Number of edits in the time of one edit by the optimisation."""
        return self.search_seconds * self.images * self.prompts / self.edit_seconds


def check_method(name: str) -> str:
    """The name of a method whose artifact, or that of its base, serves all prompts. ValueError for other methods."""
    able = [row.name for row in EDITORS.values() if row.scope in (FitScope.DOMAIN, FitScope.BASE)]
    if spec(name).name not in able:
        raise ValueError(f"{name} is fitted per prompt or image; choose one of {', '.join(able)}")
    return name


@torch.no_grad()
def measure_edits(
    bench: Bench, method: str, prompts: Sequence[BenchPrompt], images: int, count: int, on_done: OnDone
) -> EditCost:
    """Time `images` generator samples, each edited with `count` prompts; the given prompts are repeated."""
    editor = _editor(bench, method, prompts[0])
    wanted = [prompts[index % len(prompts)].prompt for index in range(count)]
    started, passes, edits = time.monotonic(), 0.0, 0.0
    for first in range(0, images, BATCH):
        batch = generator_samples(bench.models, BATCH, seed=first)
        if first == 0:  # warm up, and let methods compute what they compute once per prompt
            _passes(bench, batch, wanted)
            _edits(bench, editor, batch, wanted)
        passes += _seconds(bench, _passes, bench, batch, wanted)
        edits += _seconds(bench, _edits, bench, editor, batch, wanted)
        on_done(Done(f"{method}: {count} prompts", min(first + BATCH, images), images, time.monotonic() - started))
    search = _editor(bench, SLOW, prompts[0])
    few = generator_samples(bench.models, SEARCHED, seed=0)
    search.edit(take(few, slice(0, 1)), [wanted[0]])
    searching = _seconds(bench, search.edit, few, [wanted[0]] * SEARCHED) / SEARCHED
    done = -(-images // BATCH) * BATCH
    return EditCost(method, done, count, passes, edits, searching)


def _editor(bench: Bench, method: str, prompt: BenchPrompt) -> Editor:
    fits = fits_behind(bench.bundle, method, prompt)
    for fit in fits:
        fit_editor(fit, bench.models, bench.store)
    return load_editor(bench.store, edit_spec(method, prompt, fits), bench.models).editor


def _passes(bench: Bench, batch: Inversion, prompts: Sequence[Prompt]) -> None:
    models = bench.models
    ws_BLD, _ = models.encoder(batch.image_BCHW)
    for _ in prompts:
        models.generator.render(models.generator.styles(ws_BLD))


def _edits(bench: Bench, editor: Editor, batch: Inversion, prompts: Sequence[Prompt]) -> None:
    ws_BLD, taps = bench.models.encoder(batch.image_BCHW)
    source = replace(batch, ws_BLD=ws_BLD, taps=taps)
    for prompt in prompts:
        editor.edit(source, [prompt] * len(batch.keys))


def _seconds(bench: Bench, work: Callable[..., Any], *arguments: Any) -> float:
    synchronise(bench.models.device)
    started = time.perf_counter()
    work(*arguments)
    synchronise(bench.models.device)
    return time.perf_counter() - started

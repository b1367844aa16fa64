"""`coral bench edits`: what an edit costs when many prompts share one pass of the encoder.

Two clocks in one process, batch by batch in turn, so that other work on the machine disturbs both alike: the encoder
once and the generator once per prompt, which is the least that edits through a generator take; and the edits
themselves, encoder included. Then StyleCLIP's optimisation, whose every image searches its edit, on a few.
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
SEARCHED = 16
"""Images whose edits are searched, for one prompt."""


@dataclass(frozen=True)
class EditCost:
    """Seconds for all images and prompts, unless they say otherwise."""

    method: str
    images: int
    prompts: int
    passes_seconds: float  # the encoder once per image, the generator once per edit
    edit_seconds: float
    search_seconds: float  # for one edit of one image by the optimisation

    @property
    def ratio(self) -> float:
        """Edits against bare passes."""
        return self.edit_seconds / self.passes_seconds

    @property
    def gain(self) -> float:
        """How many edits are made while the optimisation makes one."""
        return self.search_seconds * self.images * self.prompts / self.edit_seconds


def check_method(name: str) -> str:
    """A method that serves any prompt with one artifact. ValueError names those that do."""
    able = [row.name for row in EDITORS.values() if row.scope is FitScope.DOMAIN]
    if spec(name).name not in able:
        raise ValueError(f"{name} is fitted per prompt or image; choose of {', '.join(able)}")
    return name


@torch.no_grad()
def measure_edits(
    bench: Bench, method: str, prompts: Sequence[BenchPrompt], images: int, count: int, on_done: OnDone
) -> EditCost:
    """`images` generator samples, each edited to `count` prompts, the given ones again and again."""
    editor = _editor(bench, method, prompts[0])
    wanted = [prompts[index % len(prompts)].prompt for index in range(count)]
    started, passes, edits = time.monotonic(), 0.0, 0.0
    for first in range(0, images, BATCH):
        batch = generator_samples(bench.models, BATCH, seed=first)
        if first == 0:  # warm up, and let methods choose what they choose once per prompt
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

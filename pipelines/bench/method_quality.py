"""`coral bench quality`: every method compared with the exact answers.

Two waves of independent works, fits and records. Both are stored under ids that contain everything that changes them,
so a benchmark that was killed continues where it stopped, and a fit is used for all selections of scenes.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from pathlib import Path

import numpy as np
import torch

from coral_core.bundle.catalog import Bundle, read_bundle
from coral_core.bundle.models import Models, load_models
from coral_core.editors import EDITORS, spec
from coral_core.types import Inversion
from coral_core.zoo.portraits.domain import Scene
from manifests.stores.open import open_store
from manifests.stores.store import Store
from pipelines.bench.cases import Cases, SceneSelection, cases_of, select_scenes
from pipelines.bench.fits import edit_spec, fits_behind
from pipelines.bench.judges import Judges, load_judges
from pipelines.bench.oracles import PAIRED, REFERENCES, Oracles
from pipelines.bench.outcome import BASELINES, Outcome, edit_cases, figures_of, outcome_of
from pipelines.bench.prompts import BenchPrompt
from pipelines.bench.records import FIGURES, Record
from pipelines.bench.workers import OnDone, Work, run_all
from tasks.artifacts.fit_requests import base_levels
from tasks.artifacts.loaded import load_editor
from tasks.artifacts.stored import read_artifact
from tasks.images.tensors import to_pixels
from tasks.spec.requests import EDIT_VERSION, FitRequest, content_id
from tasks.worker.fit import fit_editor

RECORD_VERSION = 3
"""Increase it when the code changes figures."""
SHOWN = 6
"""Scenes whose pictures are stored."""


@dataclass(frozen=True, kw_only=True)
class QualityConfig:
    """Bundle, device, folder and scenes of a benchmark; the same in every worker."""

    bundle: str = "portraits"
    device: str = "cpu"
    folder: Path = Path("runs/bench")  # fits, records and reports
    selection: SceneSelection = field(default_factory=SceneSelection)


@dataclass(frozen=True)
class Bench:
    """The loaded networks, judges and scenes of one process."""

    config: QualityConfig
    bundle: Bundle
    models: Models
    judges: Judges
    store: Store
    scenes: tuple[Scene, ...]
    inversion: Inversion  # of the scenes
    oracles: Oracles

    @cached_property
    def images_digest(self) -> str:
        """sha256 of the pixels, so that another renderer or image encoder gives other records."""
        return hashlib.sha256(to_pixels(self.inversion.image_BCHW).tobytes()).hexdigest()

    def record(self, method: str, prompt: BenchPrompt) -> Record:
        """The stored record; it is measured and stored first if there is none."""
        content = self._content(method, prompt)
        key = f"records/{content_id(content)}"
        if self.store.head(f"{key}.json") is None:
            with torch.no_grad():
                self._measure(method, prompt, key)
        stored = json.loads(self.store.read(f"{key}.json"))
        return Record(method, prompt.id, prompt.kind, stored["n"], stored["figures"], stored["pictures"])

    def _content(self, method: str, prompt: BenchPrompt) -> dict[str, object]:
        """Everything that changes a record; hashed into its id."""
        fits = fits_behind(self.bundle, method, prompt)
        return {
            "version": [RECORD_VERSION, EDIT_VERSION],
            "method": method,
            "options": {} if method in REFERENCES else dict(spec(method).resolve({})),
            "fit": fits[-1].id if fits else None,
            "prompt": prompt.model_dump(exclude={"id", "kind"}),
            "photos": self.images_digest,
            "digests": {"bundle": self.bundle.digest, **self.judges.digests},
        }

    def _measure(self, method: str, prompt: BenchPrompt, key: str) -> None:
        """Store the pictures, then the record that names them."""
        cases = cases_of(self.scenes, self.inversion, prompt.wants)
        if cases is None:
            self._save(key, 0, dict.fromkeys(FIGURES), "")
            return
        outcome, fit_seconds = self._outcome(method, prompt, cases)
        self.store.put_new(f"{key}.npz", pictures(outcome, cases))
        self._save(key, len(cases.scenes), figures_of(outcome, cases, self.judges, fit_seconds), f"{key}.npz")

    def _outcome(self, method: str, prompt: BenchPrompt, cases: Cases) -> tuple[Outcome, float | None]:
        if method in REFERENCES:
            raw = BASELINES[method](cases) if method in BASELINES else self.oracles.edit(method, cases)
            return outcome_of(raw, cases, prompt.prompt, self.models), None
        fits = fits_behind(self.bundle, method, prompt)
        editor = load_editor(self.store, edit_spec(method, prompt, fits), self.models).editor
        artifact = read_artifact(self.store, fits[-1].id) if fits else None
        outcome = edit_cases(editor, spec(method), cases, prompt.prompt, self.models)
        return outcome, None if artifact is None else artifact.seconds

    def _save(self, key: str, n: int, figures: Mapping[str, float | None], stored: str) -> None:
        content = {"n": n, "figures": figures, "pictures": stored}
        self.store.put_new(f"{key}.json", json.dumps(content, indent=1).encode())


@lru_cache(maxsize=1)
def open_bench(config: QualityConfig) -> Bench:
    """Load networks, judges and scenes; once per process."""
    bundle = read_bundle(config.bundle)
    models = load_models(config.bundle, config.device)
    judges = load_judges(bundle.path, models.device)
    scenes, inversion = select_scenes(models, config.selection)
    return Bench(config, bundle, models, judges, open_store(str(config.folder)), scenes, inversion, Oracles(models))


def measure_quality(
    config: QualityConfig,
    methods: Sequence[str],
    prompts: Sequence[BenchPrompt],
    workers: int,
    on_done: OnDone,
) -> list[Record]:
    """One record per (method, prompt): first the inversion, then the methods, the oracles and the exact answer."""
    bundle, store = read_bundle(config.bundle), open_store(str(config.folder))
    chains = [fits_behind(bundle, method, prompt) for method in methods for prompt in prompts]
    for fits in base_levels(list({fit.id: fit for chain in chains for fit in chain}.values())):
        missing = [fit for fit in fits if read_artifact(store, fit.id) is None]
        run_all([Work(f"fit {fit.method}: {fit.target}", _fit, (config, fit)) for fit in missing], workers, on_done)
    rows = [("inversion",), *((method,) for method in methods), PAIRED, ("oracle",), ("answer",)]
    works = [
        Work(f"measure {' and '.join(row)}: {prompt.id}", _records, (config, row, prompt))
        for row in rows
        for prompt in prompts
    ]
    return [record for records in run_all(works, workers, on_done) for record in records]


def check_methods(names: Sequence[str]) -> tuple[str, ...]:
    """The given methods, all methods if none is given. ValueError for an unknown one."""
    return tuple(spec(name).name for name in dict.fromkeys(names)) or tuple(EDITORS)


def pictures(outcome: Outcome, cases: Cases) -> bytes:
    """The first SHOWN scenes as an npz file: photo, answer, output, uint8 [n,H,W,3], and mask, uint8 [n,H,W]."""
    buffer = io.BytesIO()
    np.savez_compressed(
        buffer,
        photo=to_pixels(cases.inversion.image_BCHW[:SHOWN]),
        answer=cases.answers_NHWC[:SHOWN],
        output=outcome.output_NHWC[:SHOWN],
        mask=outcome.mask_NHW[:SHOWN],
    )
    return buffer.getvalue()


def _fit(config: QualityConfig, request: FitRequest) -> None:
    bench = open_bench(config)
    fit_editor(request, bench.models, bench.store)


def _records(config: QualityConfig, methods: Sequence[str], prompt: BenchPrompt) -> list[Record]:
    """In one process, because oracles share what they compute for a prompt."""
    return [open_bench(config).record(method, prompt) for method in methods]

"""The Ray actor: models loaded once, then shards and fits until the run is over."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import ray
import torch

from coral_core.bundle.models import Models, load_models
from coral_core.inversion import generator_samples
from manifests.stores.open import open_store
from manifests.stores.s3_options import S3Options
from tasks.artifacts.loaded import Editors
from tasks.artifacts.stored import Artifact
from tasks.cluster.workers import WorkerInfo
from tasks.shards.commits import why_quarantined
from tasks.shards.output import ShardReport
from tasks.spec.requests import EditRequest, FitRequest, InvertRequest
from tasks.spec.resources import Resources
from tasks.worker.edit import edit_shard
from tasks.worker.fit import fit_editor
from tasks.worker.invert import invert_shard
from tasks.worker.pulse import NOTHING, OnPulse, Pulse
from tasks.worker.quarantine import quarantine_edits, quarantine_inversion

NODE_LABEL = "ray.io/node-id"
"""A label that Ray gives every node."""


@dataclass(frozen=True, kw_only=True)
class WorkerConfig:
    """What an actor must know besides the requests."""

    output: str
    s3: S3Options  # how its bucket is reached, if it lies in one
    bundle: str
    digests: Mapping[str, str]  # of the bundle's parts, as planned
    device: str
    threads: int
    max_failure_rate: float


class Worker:
    """Everything one actor does. Loads nothing before ready(), so that an error of loading is an answer."""

    def __init__(self, config: WorkerConfig) -> None:
        self.config = config
        self.store = open_store(config.output, config.s3)
        self.latest = NOTHING
        torch.set_num_threads(config.threads)

    @cached_property
    def models(self) -> Models:
        """The bundle on the job's device; ValueError if it is not the planned one, or there is no such device."""
        if self.config.device == "cuda" and not torch.cuda.is_available():
            raise ValueError(
                f"resources.num_gpus is above 0, but torch {torch.__version__} sees no CUDA device there: install "
                "a build of torch with CUDA and NVIDIA's driver, or set num_gpus: 0 to compute on the CPU"
            )
        models = load_models(self.config.bundle, self.config.device)
        if dict(models.digests) != dict(self.config.digests):
            raise ValueError(f"the bundle {self.config.bundle!r} on this machine is not the planned one; run again")
        return models

    @cached_property
    def editors(self) -> Editors:
        """Fitted editors, each read from the store once."""
        return Editors(self.store, self.models)

    def where(self) -> WorkerInfo:
        """Where the actor runs."""
        context = ray.get_runtime_context()
        gpus = tuple(context.get_accelerator_ids().get("GPU", ()))
        return WorkerInfo(socket.gethostname(), context.get_node_id(), gpus, os.getpid())

    def ready(self) -> None:
        """Load the networks. ValueError if they cannot be loaded, with the host's name."""
        try:
            assert self.models
        except ValueError as error:
            raise ValueError(f"on host {socket.gethostname()}: {error}") from error

    @ray.method(concurrency_group="life")
    def live(self) -> None:
        """Never return: who waits for this call learns that the process has ended."""
        threading.Event().wait()

    def self_test(self) -> None:
        """Generate and invert one image. RuntimeError where the device computes what is no number."""
        sample = generator_samples(self.models, 1, seed=0)
        if not sample.recon_BCHW.isfinite().all():
            raise RuntimeError(f"on host {socket.gethostname()}: the networks compute values that are not finite")

    def invert(self, request: InvertRequest) -> list[ShardReport]:
        """tasks.worker.invert.invert_shard."""
        with self._watched() as watch:
            return [invert_shard(request, self.models, self.store, self.config.max_failure_rate, watch)]

    def fit(self, request: FitRequest) -> Artifact:
        """tasks.worker.fit.fit_editor."""
        with self._watched() as watch:
            return fit_editor(request, self.models, self.store, watch)

    def edit(self, requests: Sequence[EditRequest]) -> list[ShardReport]:
        """tasks.worker.edit.edit_shard; a shard that was given up in the invert wave stays given up."""
        reason = why_quarantined(self.store, requests)
        if reason:
            return self.quarantine_edits(requests, reason)
        with self._watched() as watch:
            return edit_shard(requests, self.editors, self.models, self.store, self.config.max_failure_rate, watch)

    def quarantine_inversion(self, request: InvertRequest, reason: str) -> list[ShardReport]:
        """tasks.worker.quarantine.quarantine_inversion."""
        with self._watched() as watch:
            return [quarantine_inversion(request, self.store, reason, watch)]

    def quarantine_edits(self, requests: Sequence[EditRequest], reason: str) -> list[ShardReport]:
        """tasks.worker.quarantine.quarantine_edits."""
        with self._watched() as watch:
            return quarantine_edits(requests, self.store, reason, watch)

    @ray.method(concurrency_group="pulse")  # answered by a thread of its own while the others work
    def pulse(self) -> Pulse:
        """How far the work at hand is."""
        return self.latest

    @contextmanager
    def _watched(self) -> Iterator[OnPulse]:
        """Pulses of one piece of work; none of it is left for the next."""

        def watch(pulse: Pulse) -> None:
            self.latest = pulse

        try:
            yield watch
        finally:
            self.latest = NOTHING


def start_actor(config: WorkerConfig, resources: Resources, avoid: Collection[str] = ()) -> Any:
    """Start one actor on a node of the cluster that is not in `avoid` (ids); returns its handle at once."""
    threads = str(resources.threads)
    environment = {"OMP_NUM_THREADS": threads, "MKL_NUM_THREADS": threads, "WDS_SECURE": "1"}
    return (
        ray.remote(concurrency_groups={"pulse": 1, "life": 1})(Worker)
        .options(
            num_cpus=resources.num_cpus,
            num_gpus=resources.num_gpus,
            memory=resources.memory,
            max_restarts=0,
            max_task_retries=0,
            runtime_env={"env_vars": environment},
            label_selector={NODE_LABEL: f"!in({','.join(sorted(avoid))})"} if avoid else None,
        )
        .remote(config)
    )

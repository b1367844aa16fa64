"""What a plan will read and write, from listings, some tar headers and some commits.

Samples are counted where that is fast: in the commits of inverted shards and in the headers of local tars, for at most
MAX_COUNTED shards. The samples of all other shards are estimated from the bytes per sample of the counted ones.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import islice
from typing import TypeVar

from coral_core.bundle.catalog import Bundle, read_bundle
from manifests.commit import CommitRecord, committed, read_commit
from manifests.stores.store import Store
from tasks.artifacts.stored import fitted_ids
from tasks.inputs.archive import count_samples
from tasks.inputs.local_copy import local_copy
from tasks.plan.plan import Plan
from tasks.shards.refusals import read_refusals
from tasks.spec.requests import EditRequest, EditSpec, FitRequest, ImageFormat, InvertRequest, Shard

MAX_COUNTED = 32
"""Largest number of shards whose samples are counted, and of commits whose sizes are read."""
MAX_COUNTED_BYTES = 4 << 30
"""Largest total size of the local tars whose headers are read."""
SAMPLE_BYTES = 100_000
"""Assumed bytes of a sample if no sample could be counted."""
PIXEL_BYTES: Mapping[ImageFormat, float] = {"png": 2.0, "jpeg": 0.7, "webp": 0.5}
"""Approximate bytes per pixel of an edited image, used until edited images are stored."""
SOURCE_SHARE: Mapping[ImageFormat, float] = {"png": 4.0, "jpeg": 1.5, "webp": 1.0}
"""Approximate bytes of an edited image at the source's size per byte of the source, which usually is a JPEG."""
MASK_PIXEL_BYTES = 0.2
ROW_BYTES = 1024

Request = TypeVar("Request", InvertRequest, EditRequest)


@dataclass(frozen=True)
class SampleCounts:
    """Numbers of samples of the shards of a plan."""

    shards: tuple[Shard, ...]
    known: Mapping[str, int]  # shard id -> counted samples, also those beyond its limit

    def of(self, shard: Shard) -> int:
        """Samples of one shard; an estimate is at least 1."""
        samples = self.known.get(shard.id, max(1, round(shard.size / self.sample_bytes)))
        return samples if shard.limit is None else min(samples, shard.limit)

    def with_counts(self, counted: Mapping[str, int]) -> SampleCounts:
        """A copy that knows more counts, by shard id."""
        return replace(self, known={**self.known, **counted})

    @cached_property
    def total(self) -> int:
        """Samples of all shards."""
        return sum(map(self.of, self.shards))

    @cached_property
    def sample_bytes(self) -> float:
        """Mean bytes of a sample, over the shards that were counted as a whole."""
        size, samples = self._measured
        return size / samples if samples else SAMPLE_BYTES

    @property
    def basis(self) -> str:
        """A text for the user: how the number of samples is known."""
        if len(self.known) == len(self.shards):
            return "counted"
        _, samples = self._measured
        known = f"{len(self.known)} of {len(self.shards)} shards counted"
        return f"estimated: {known if samples else f'{SAMPLE_BYTES / 1000:g} kB each assumed'}"

    @cached_property
    def _measured(self) -> tuple[int, int]:
        """Bytes and samples of the shards that were counted as a whole."""
        whole = [shard for shard in self.shards if shard.id in self.known and shard.limit is None]
        return sum(shard.size for shard in whole), sum(self.known[shard.id] for shard in whole)


@dataclass(frozen=True)
class PendingWork:
    """The requests of a plan that are not done."""

    inversions: tuple[InvertRequest, ...]
    fits: tuple[FitRequest, ...]
    edits: tuple[tuple[EditRequest, ...], ...]  # by shard; shards without pending edits are left out

    @property
    def is_empty(self) -> bool:
        return not (self.inversions or self.fits or self.edits)


@dataclass(frozen=True)
class Load:
    """The work of one wave."""

    images: int = 0  # in the edit wave: times its edits
    read: int = 0  # bytes
    written: int = 0


@dataclass(frozen=True)
class Estimate:
    """The work of a run."""

    samples: int  # of all shards
    samples_basis: str  # how their number is known
    image_basis: str  # how the bytes of an edited image are known
    invert: Load = field(default_factory=Load)
    edit: Load = field(default_factory=Load)


def pending_work(store: Store, plan: Plan) -> PendingWork:
    """The requests without a commit and the fits without an artifact, from a few listings.

    What too many samples of failed is not tried again by itself, and so is not pending.
    """
    done, artifacts = committed(store) | read_refusals(store, plan.max_failure_rate).keys(), fitted_ids(store)
    pending = (tuple(each for each in requests if each.id not in done) for requests in plan.edit_requests())
    return PendingWork(
        inversions=tuple(each for each in plan.invert_requests() if each.id not in done),
        fits=tuple(fit for fit in plan.fits if fit.id not in artifacts),
        edits=tuple(requests for requests in pending if requests),
    )


def estimate(store: Store, plan: Plan, pending: PendingWork, counts: SampleCounts) -> Estimate:
    """Images and bytes of the pending work."""
    bundle = read_bundle(plan.bundle)
    latents = bundle.num_ws * bundle.w_dim * 4 + ROW_BYTES
    image_bytes, basis = stored_image_bytes(store, plan), "from stored images"
    if image_bytes is None:
        image_bytes, basis = assumed_image_bytes(plan, bundle, counts), "from assumed bytes per pixel"
    inverted = [(request.shard, counts.of(request.shard)) for request in pending.inversions]
    edited = [(requests[0].shard, counts.of(requests[0].shard), requests) for requests in pending.edits]
    return Estimate(
        samples=counts.total,
        samples_basis=counts.basis,
        image_basis=basis,
        invert=Load(
            images=sum(samples for _, samples in inverted),
            read=sum(shard.size for shard, _ in inverted),
            written=sum(samples * latents for _, samples in inverted),
        ),
        edit=Load(
            images=sum(samples * len(requests) for _, samples, requests in edited),
            read=sum(shard.size + samples * latents for shard, samples, _ in edited),
            written=sum(
                round(samples * image_bytes[request.spec.slug])
                for _, samples, requests in edited
                for request in requests
            ),
        ),
    )


def count_plan(store: Store, plan: Plan) -> SampleCounts:
    """The samples of the plan's shards, some of them counted."""
    counted = _cheap_counts(store, _evenly_spaced(plan.invert_requests()), committed(store))
    return SampleCounts(plan.shards, {request.shard.id: count for request, count in counted})


def stored_image_bytes(store: Store, plan: Plan) -> dict[str, float] | None:
    """Mean bytes per stored image of each of the plan's edits, by slug; None if no image is stored yet.

    An edit without stored images gets the mean of the others.
    """
    done = committed(store)
    finished = [each for requests in plan.edit_requests() for each in requests if each.id in done]
    sizes: dict[str, list[float]] = {}
    for request in _evenly_spaced(finished):
        record = read_commit(store, request.id)
        if record is not None and record.counts.get("ok"):
            sizes.setdefault(request.spec.slug, []).append(_bytes_of(record) / record.counts["ok"])
    if not sizes:
        return None
    means = {slug: sum(each) / len(each) for slug, each in sizes.items()}
    common = sum(means.values()) / len(means)
    return {edit.slug: means.get(edit.slug, common) for edit in plan.edits}


def assumed_image_bytes(plan: Plan, bundle: Bundle, counts: SampleCounts) -> dict[str, float]:
    """Approximate bytes per image by slug, from the sizes of images and the constants above."""

    def assumed(edit: EditSpec) -> float:
        if edit.output == "source":
            return counts.sample_bytes * SOURCE_SHARE[edit.image_format] + ROW_BYTES
        return bundle.image_size**2 * (PIXEL_BYTES[edit.image_format] + MASK_PIXEL_BYTES) + ROW_BYTES

    return {edit.slug: assumed(edit) for edit in plan.edits}


def _cheap_counts(
    store: Store, requests: Sequence[InvertRequest], done: Collection[str]
) -> Iterator[tuple[InvertRequest, int]]:
    """The requests whose samples can be counted fast, each with its number of samples."""
    budget = MAX_COUNTED_BYTES
    for request in requests:
        shard = request.shard
        record = read_commit(store, request.id) if request.id in done else None
        if record is not None:
            yield request, sum(record.counts.values())
        elif not shard.etag and shard.size <= budget:
            budget -= shard.size
            with local_copy(shard) as path:
                yield request, count_samples(path)


def _evenly_spaced(requests: Sequence[Request]) -> list[Request]:
    """At most MAX_COUNTED of the requests, at equal distances."""
    step = max(1, -(-len(requests) // MAX_COUNTED))
    return list(islice(requests, 0, None, step))


def _bytes_of(record: CommitRecord) -> int:
    return sum(ref.size for ref in record.objects)

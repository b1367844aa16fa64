"""A few samples with every edit of a job at several strengths, before the job is run."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from coral_core.bundle.models import Models
from coral_core.inversion import invert
from coral_core.types import Inversion
from tasks.artifacts.loaded import Fitted
from tasks.images.decode import Picture
from tasks.images.tensors import to_pixels
from tasks.images.thumbnails import SIDE, Tile, difference, shrunk, tile_of
from tasks.inputs.archive import Sample, read_archive
from tasks.inputs.find import expand
from tasks.inputs.local_copy import local_copy
from tasks.shards.batch import Batch, Item, decoded
from tasks.shards.rows import EditedPixels
from tasks.spec.gates import Gates
from tasks.spec.job import JobSpec
from tasks.spec.requests import EditSpec
from tasks.worker.edit import edit_batch, with_user_masks

RANDOM_SHARDS = 4
"""Number of shards that random samples are taken from; it is small because each may have to be downloaded."""


@dataclass(frozen=True)
class Cell:
    """One sample at one strength."""

    edit: Tile
    mask: Tile
    difference: Tile  # between source and edit
    scores: Mapping[str, float]  # manifest column -> value
    gate: str  # the first gate that rejects it; empty if it passes all gates


@dataclass(frozen=True)
class SweptSample:
    """One sample of one edit."""

    key: str
    source: Tile
    inversion: Tile
    inversion_error: float
    cells: tuple[Cell, ...]  # one per strength


def read_items(job: JobSpec, count: int, size: int, seed: int | None) -> list[Item]:
    """The first `count` samples of the input, or random ones of RANDOM_SHARDS shards if there is a seed.

    Images are decoded at `size` px. Samples that cannot be used are included, with status and reason. ValueError for
    an input that does not exist.
    """
    masks = {entry.mask for entry in job.edits if entry.mask}
    shards = [shard for pattern in job.inputs for shard in expand(pattern, job.s3)]
    rng = None if seed is None else random.Random(seed)
    if rng is not None:
        shards = rng.sample(shards, min(len(shards), RANDOM_SHARDS))
    found: list[Item] = []
    for number, shard in enumerate(shards):
        wanted = count - len(found) if rng is None else -(-(count - len(found)) // (len(shards) - number))
        if wanted > 0:
            with local_copy(shard) as path:
                archive = read_archive(path)
                total = archive.count
                chosen = set(range(wanted) if rng is None else rng.sample(range(total), min(wanted, total)))
                samples = enumerate(archive.samples(max(chosen, default=-1) + 1, masks))
                found += [_decoded(sample, job, size) for index, sample in samples if index in chosen]
    return found


def sweep(
    edit: EditSpec, fitted: Fitted, items: Sequence[Item], strengths: Sequence[float], gates: Gates, models: Models
) -> Iterator[SweptSample]:
    """Every usable item edited at every strength, composited at the generator's size."""
    usable = [item for item in items if item.with_user_mask(edit.mask).sample.status == "ok"]
    specs = [replace(edit, strength=strength, output="generator") for strength in strengths]
    for start in range(0, len(usable), edit.batch_size):
        batch = Batch(tuple(usable[start : start + edit.batch_size]), edit.batch_size)
        source = invert(models, batch.keys, batch.images(models.device))
        ours = with_user_masks(edit, batch, source)
        edits = [edit_batch(spec, fitted, ours, len(batch.usable), models) for spec in specs]
        yield from _swept_batch(batch, source, [each for each in edits if each is not None], gates)


def _swept_batch(batch: Batch, source: Inversion, edits: Sequence[EditedPixels], gates: Gates) -> Iterator[SweptSample]:
    error_B = (source.recon_BCHW - source.image_BCHW).abs().mean((1, 2, 3)).tolist()
    recon_BHWC = to_pixels(source.recon_BCHW)
    for index, item in enumerate(batch.usable):
        assert item.picture is not None
        yield SweptSample(
            key=item.sample.key,
            source=tile_of(item.picture.pixels_HWC),
            inversion=tile_of(recon_BHWC[index]),
            inversion_error=error_B[index],
            cells=tuple(_cell(item.picture, edit, index, error_B[index], gates) for edit in edits),
        )


def _cell(source: Picture, edit: EditedPixels, index: int, inversion_error: float, gates: Gates) -> Cell:
    scores = {name: float(values[index]) for name, values in edit.scores.items()}
    scores["inversion_error"] = inversion_error
    before_HWC, after_HWC = (shrunk(pixels, SIDE) for pixels in (source.pixels_HWC, edit.pixels_BHWC[index]))
    return Cell(
        edit=tile_of(after_HWC),
        mask=tile_of(edit.levels_BHW[index]),
        difference=tile_of(difference(before_HWC, after_HWC)),
        scores=scores,
        gate=gates.verdict(scores),
    )


def _decoded(sample: Sample, job: JobSpec, size: int) -> Item:
    item = Item(sample)
    if sample.status != "ok":
        return item
    return decoded(item, job.geometry, size, "generator")  # without the source at its full size

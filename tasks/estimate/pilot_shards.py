"""Parts of one shard that a pilot works on, and what their times say about whole shards."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from tasks.estimate.forecast import ShardTimes
from tasks.inputs.archive import count_samples, read_archive
from tasks.inputs.local_copy import local_copy
from tasks.inputs.tar_headers import BLOCK, END_OF_ARCHIVE
from tasks.spec.requests import Shard

CHUNK = 2**20
"""Bytes copied at once."""


@dataclass(frozen=True, kw_only=True)
class PilotShards:
    """Parts of one shard, which represent all shards.

    The excerpt, its first samples, is a tar of its own: works on the excerpt differ only in their number of images,
    however large the shard is. The same images read from the whole tar show the time to fetch it and read its headers.

    A shard with fewer samples than two batches cannot be divided: then `baseline_samples` is 0, the whole shard is
    timed once, and all of its time is attributed to its images.
    """

    warm_up: Shard  # one sample of the excerpt
    baseline: Shard  # `baseline_samples` of the excerpt
    more_images: Shard  # `more_samples` of the excerpt
    whole_tar: Shard  # `baseline_samples` of the whole tar
    baseline_samples: int
    more_samples: int
    total_samples: int  # of the whole shard

    @classmethod
    def of(cls, shard: Shard, batch: int, samples: int, put: Callable[[Path], Shard]) -> PilotShards:
        """One batch of a shard, and at least `samples` more in whole batches.

        `put` stores a local tar where all actors can read it.
        """
        whole = replace(shard, limit=None)
        with local_copy(whole) as path:
            total = count_samples(path)
            baseline, more = _sample_counts(total, batch, samples)
            excerpt = _excerpt(path, more, put) if baseline else whole
        return cls(
            warm_up=replace(excerpt, limit=1),
            baseline=replace(excerpt, limit=baseline),
            more_images=replace(excerpt, limit=max(2, more)),  # a limit of 1 has the id of the warm-up
            whole_tar=replace(whole, limit=baseline),
            baseline_samples=baseline,
            more_samples=more,
            total_samples=total,
        )

    def all(self) -> tuple[Shard, ...]:
        """In the order in which they must be done."""
        if not self.baseline_samples:
            return (self.warm_up, self.more_images)
        return (self.warm_up, self.baseline, self.more_images, self.whole_tar)

    def times(self, seconds: Mapping[str, float], min_image: float) -> ShardTimes:
        """From the measured seconds by shard id. An image takes at least `min_image` seconds, whatever the noise."""
        parts = (self.baseline, self.more_images, self.whole_tar)
        baseline, more_images, whole_tar = (seconds.get(part.id, 0.0) for part in parts)
        per_image = max(min_image, (more_images - baseline) / (self.more_samples - self.baseline_samples))
        return ShardTimes(
            per_image=per_image,
            per_shard=max(0.0, baseline - per_image * self.baseline_samples),
            per_byte=max(0.0, whole_tar - baseline) / max(1, self.whole_tar.size),
        )


def _sample_counts(total: int, batch: int, samples: int) -> tuple[int, int]:
    """Samples of the baseline and of the longer work on a shard of `total` samples, both in whole batches.

    (0, total) for a shard with fewer than two batches.
    """
    baseline = max(2, batch)  # a limit of 1 has the id of the warm-up
    batches = min(-(-samples // batch), (total - baseline) // batch)
    return (baseline, baseline + batches * batch) if batches > 0 else (0, max(1, total))


def _excerpt(path: Path, samples: int, put: Callable[[Path], Shard]) -> Shard:
    """The first samples of a tar as a tar of their own: its bytes up to the end of the last of these samples."""
    groups = read_archive(path).groups[:samples]
    end = max(member.offset + member.size for group in groups for member in group.members.values())
    end += -end % BLOCK
    with tempfile.NamedTemporaryFile(suffix=".tar") as target, path.open("rb") as source:
        while chunk := source.read(min(CHUNK, end - source.tell())):
            target.write(chunk)
        target.write(END_OF_ARCHIVE)
        target.flush()
        return put(Path(target.name))

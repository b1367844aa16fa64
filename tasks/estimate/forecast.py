"""The hours and the money of a run, from the seconds that a pilot measured."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from tasks.estimate.workload import PendingWork, SampleCounts
from tasks.spec.requests import Shard
from tasks.spec.resources import Price


@dataclass(frozen=True, kw_only=True)
class ShardTimes:
    """Seconds that one actor needs for a shard."""

    per_image: float
    per_shard: float  # to begin and to commit, whatever its size
    per_byte: float  # of its tar: to fetch it and to read its headers

    def total(self, shard: Shard, images: int) -> float:
        """Seconds of a shard with this number of images."""
        return self.per_image * images + self.per_shard + self.per_byte * shard.size


@dataclass(frozen=True, kw_only=True)
class ActorTimes:
    """Seconds that one actor needs, measured by a pilot."""

    samples: int  # that the pilot inverted and edited
    size: int  # bytes of the shard they come from
    start: float  # until an actor is ready
    invert: ShardTimes
    fits: Mapping[str, float]  # fit id -> whole fit, extrapolated from its first steps
    restore: ShardTimes  # of a shard in the edit wave, without the edits themselves
    edits: Mapping[str, float]  # slug -> per image


@dataclass(frozen=True)
class Forecast:
    """The time and the money that a run will need."""

    waves: Mapping[str, float]  # wave -> hours
    actors: int
    actor_hours: float  # of all actors, from the first work to the last
    money: str  # amount and currency; empty without a price

    @property
    def hours(self) -> float:
        """Hours of the whole run."""
        return sum(self.waves.values())


def forecast(pending: PendingWork, counts: SampleCounts, times: ActorTimes, actors: int, price: Price) -> Forecast:
    """The forecast for the pending work, done by `actors` actors like that of the pilot."""
    works = {
        "invert": [times.invert.total(request.shard, counts.of(request.shard)) for request in pending.inversions],
        "fit": [times.fits[fit.id] for fit in pending.fits],
        "edit": list(_edits(pending, counts, times)),
    }
    busy = min(actors, max(map(len, works.values())))  # a run starts no more actors than it has works
    seconds = {wave: makespan(durations, busy) for wave, durations in works.items()}
    first = next((wave for wave, each in seconds.items() if each), None)
    hours = {wave: (each + times.start * (wave == first)) / 3600 for wave, each in seconds.items()}
    actor_hours = busy * sum(hours.values())
    return Forecast(hours, busy, actor_hours, price.of(actor_hours))


def makespan(durations: Iterable[float], actors: int) -> float:
    """Seconds until all works are done, if each free actor takes the next work from a queue; 0 without works."""
    free = [0.0] * actors
    for duration in durations:
        heapq.heapreplace(free, free[0] + duration)
    return max(free, default=0.0)


def _edits(pending: PendingWork, counts: SampleCounts, times: ActorTimes) -> Iterator[float]:
    """Seconds of each shard with pending edits."""
    for requests in pending.edits:
        shard, images = requests[0].shard, counts.of(requests[0].shard)
        yield times.restore.total(shard, images) + images * sum(times.edits[request.spec.slug] for request in requests)

"""From the seconds of a pilot to the hours and the money of a run."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from tasks.estimate.workload import Left, SampleCounts
from tasks.spec.requests import Shard
from tasks.spec.resources import Price


@dataclass(frozen=True, kw_only=True)
class ShardPace:
    """What the work on one shard takes, in seconds."""

    image: float  # per image
    shard: float  # whatever its size: to begin and to commit
    byte: float  # per byte of its tar: to fetch it and to read its headers

    def of(self, shard: Shard, images: int) -> float:
        """Seconds of a shard of so many images."""
        return self.image * images + self.shard + self.byte * shard.size


@dataclass(frozen=True, kw_only=True)
class Pace:
    """What one actor takes, in seconds, as a pilot has measured it."""

    samples: int  # that the pilot inverted and edited
    size: int  # bytes of the shard they are from
    start: float  # until an actor is ready
    invert: ShardPace
    fits: Mapping[str, float]  # fit id -> whole fit, extrapolated from its first steps
    restore: ShardPace  # of a shard that is edited, whatever the edits
    edits: Mapping[str, float]  # slug -> per image


@dataclass(frozen=True)
class Forecast:
    """How long a run will take."""

    waves: Mapping[str, float]  # wave -> hours
    actors: int
    actor_hours: float  # all actors, from the first work to the last
    money: str  # empty without a price

    @property
    def hours(self) -> float:
        """Of the whole run."""
        return sum(self.waves.values())


def forecast(left: Left, counts: SampleCounts, pace: Pace, actors: int, price: Price) -> Forecast:
    """What is left to do, done by so many actors like the pilot's."""
    works = {
        "invert": [pace.invert.of(request.shard, counts.of(request.shard)) for request in left.inversions],
        "fit": [pace.fits[fit.id] for fit in left.fits],
        "edit": list(_edits(left, counts, pace)),
    }
    busy = min(actors, max(map(len, works.values())))  # no more actors are started than there are works
    seconds = {wave: makespan(durations, busy) for wave, durations in works.items()}
    first = next((wave for wave, each in seconds.items() if each), None)
    hours = {wave: (each + pace.start * (wave == first)) / 3600 for wave, each in seconds.items()}
    actor_hours = busy * sum(hours.values())
    return Forecast(hours, busy, actor_hours, price.of(actor_hours))


def makespan(durations: Iterable[float], actors: int) -> float:
    """When the last of the works is done that the actors take from a queue one after the other; 0 without works."""
    free = [0.0] * actors
    for duration in durations:
        heapq.heapreplace(free, free[0] + duration)
    return max(free, default=0.0)


def _edits(left: Left, counts: SampleCounts, pace: Pace) -> Iterator[float]:
    """Seconds of each shard that has edits to be done."""
    for requests in left.edits:
        shard, images = requests[0].shard, counts.of(requests[0].shard)
        yield pace.restore.of(shard, images) + images * sum(pace.edits[request.spec.slug] for request in requests)

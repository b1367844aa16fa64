"""Our own pool of Ray actors: no shard is ever lost, whatever dies.

A call that fails because of the machine (a dead or stuck actor, a full disk or memory, a lost answer) is tried again,
as often as each piece of work allows, after a few others had their turn; an error of the code or of the caller is an
outcome, with its traceback. ray.util.ActorPool is not used because it drops queued work when its actors die. Actors are
replaced by us (max_restarts=0): a fresh one is asked for work only when it is ready, so one that waits for resources
holds nothing up, and a death before that is never blamed on a shard.
"""

from __future__ import annotations

import enum
import logging
from collections import defaultdict, deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

import ray
import torch
from ray.exceptions import RayActorError, RayError, RayTaskError

from manifests.stores.store import CommitUnknown
from tasks.cluster.pooled_actor import PooledActor, Work
from tasks.cluster.signals import answered_later
from tasks.cluster.time_limit import UNLIMITED, TimeLimit
from tasks.spec.resources import PATIENCE, Deadlines

LOSSES_IN_A_ROW = 6
TICK_SECONDS = 0.25
MEMORY_ERRORS = (MemoryError, torch.OutOfMemoryError)
MACHINE_ERRORS = (OSError, CommitUnknown, *MEMORY_ERRORS)
"""Errors of a worker's code that blame the machine and not the request."""
FATAL_ERRORS = (torch.AcceleratorError, *MEMORY_ERRORS)
"""Errors after which only a fresh process is good for anything: the device is gone, or memory is full of remains."""

log = logging.getLogger("coral.pool")


class Blame(enum.Enum):
    """Whose fault it is that an attempt failed."""

    WORK = enum.auto()  # the worker died of it, or stood still over it
    MACHINE = enum.auto()
    NOBODY = enum.auto()  # it was no attempt


@dataclass(frozen=True)
class Outcome:
    """How a piece of work ended."""

    work: Work
    result: Any = None
    error: str = ""  # one line; empty on success
    traceback: str = ""  # of an error of the code
    attempts: int = 1
    deadly: bool = False  # every attempt killed its worker, or brought it to a standstill


@dataclass
class Backlog:
    """The work of one run() that nobody is doing, and how its attempts so far have ended."""

    waiting: deque[Work]
    tries: defaultdict[str, list[Blame]] = field(default_factory=lambda: defaultdict(list))

    def again(self, work: Work, reason: str, blame: Blame, turns: int) -> Outcome | None:
        """Put a work that failed back, behind `turns` others; after the last attempt its outcome instead."""
        if blame is Blame.NOBODY:
            self.waiting.appendleft(work)
            return None
        tries = self.tries[work.key]
        tries.append(blame)
        log.warning("%s: attempt %d failed: %s", work.name, len(tries), reason)
        if len(tries) >= work.attempts:
            error = f"given up after {len(tries)} attempts: {reason}"
            return Outcome(work, error=error, attempts=len(tries), deadly=set(tries) == {Blame.WORK})
        self.waiting.insert(turns, work)
        return None


@dataclass
class Pool:
    """`size` actors at most, made by `hire`; they are kept from one run() to the next."""

    start_actor: Callable[[], Any]
    size: int
    deadlines: Deadlines = PATIENCE
    limit: TimeLimit = UNLIMITED
    actors: list[PooledActor] = field(default_factory=list)
    _spent: float = 0.0  # seconds that members who are gone had been ready
    _deadly: set[str] = field(default_factory=set)  # works whose workers were lost since something was last finished
    _idle_losses: int = 0  # workers who were lost without work since one was last given some

    def __enter__(self) -> Pool:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def run(self, works: Sequence[Work], watch: Callable[[list[Any]], None]) -> Iterator[Outcome]:
        """Outcomes in the order they come; `watch` gets the latest pulses of what is running, several times a second.

        Works that the time limit leaves no time for have no outcome.
        Errors: ValueError when a worker says that it cannot work; ChildProcessError when workers die again and again
        without finishing anything.
        """
        backlog = Backlog(deque(works))
        while backlog.waiting or any(actor.work for actor in self.actors):
            if self.limit.used_up:
                backlog.waiting.clear()
            if self.limit.over:
                return self.close()
            with answered_later():
                outcomes = self._round(backlog)
            yield from outcomes
            watch([actor.latest for actor in self.actors if actor.work and actor.latest])

    def close(self) -> None:
        """Let every actor go, at once."""
        for actor in list(self.actors):
            self._dismiss(actor)

    @property
    def actor_seconds(self) -> float:
        """How long actors have been ready, in all."""
        return self._spent + sum(actor.seconds for actor in self.actors)

    def _round(self, backlog: Backlog) -> list[Outcome]:
        """Hand out work, wait a moment, and take what has ended."""
        self._staff(len(backlog.waiting))
        self._assign(backlog.waiting)
        outcomes = [self._settle(actor, backlog) for actor in self._finished()]
        outcomes += [self._replace(actor, reason, backlog, blame) for actor, reason, blame in self._overdue()]
        return [outcome for outcome in outcomes if outcome is not None]

    def _staff(self, waiting: int) -> None:
        idle = sum(actor.work is None for actor in self.actors)
        for _ in range(min(self.size - len(self.actors), waiting - idle)):
            self.actors.append(PooledActor(self.start_actor()))

    def _assign(self, waiting: deque[Work]) -> None:
        for actor in list(self.actors):
            try:
                if actor.poll_ready() and actor.work is None and waiting:
                    actor.begin(waiting[0])
                    waiting.popleft()
                    self._idle_losses = 0
            except RayError as error:
                self._reject(actor, error)

    def _finished(self) -> list[PooledActor]:
        """Who has ended a work, after waiting a moment for somebody to."""
        calls = {actor.call: actor for actor in self.actors if actor.work}
        ready_refs = [actor.ready_ref for actor in self.actors if actor.info is None]
        ready, _ = ray.wait([*calls, *ready_refs], timeout=TICK_SECONDS) if calls or ready_refs else ([], [])
        return [calls[reference] for reference in ready if reference in calls]

    def _overdue(self) -> list[tuple[PooledActor, str, Blame]]:
        """Whom to give up waiting for, and why. Who has died without work is let go, and costs no work an attempt."""
        for actor in [actor for actor in self.actors if actor.info is not None]:
            try:
                actor.listen()
            except RayError as error:
                self._dismiss(actor)
                self._count_loss(actor, _one_line(error))
        return [
            (actor, reason, Blame.WORK if actor.stuck(self.deadlines) else Blame.MACHINE)
            for actor in self.actors
            if (reason := actor.overdue(self.deadlines))
        ]

    def _settle(self, actor: PooledActor, backlog: Backlog) -> Outcome | None:
        """The outcome of a call that ended, or None if the work is to be done again."""
        work = actor.work
        assert work is not None
        try:
            result = ray.get(actor.call)
        except RayError as error:
            if not isinstance(error, RayTaskError) or isinstance(error, FATAL_ERRORS):
                return self._replace(actor, _one_line(error), backlog, _blame(error))
            actor.end()
            attempt = len(backlog.tries[work.key]) + 1
            if isinstance(error, MACHINE_ERRORS):
                return backlog.again(work, _one_line(error), Blame.MACHINE, turns=len(self.actors))
            return Outcome(work, error=_one_line(error), traceback=str(error), attempts=attempt)
        actor.end()
        self._deadly.clear()
        return Outcome(work, result, attempts=len(backlog.tries[work.key]) + 1)

    def _replace(self, actor: PooledActor, reason: str, backlog: Backlog, blame: Blame) -> Outcome | None:
        """Let a dead or stuck actor go; the next round hires another. What becomes of its work."""
        self._dismiss(actor)
        if blame is not Blame.NOBODY:
            self._count_loss(actor, reason)
        return backlog.again(actor.work, reason, blame, turns=len(self.actors)) if actor.work else None

    def _reject(self, actor: PooledActor, error: RayError) -> None:
        """Let an actor go that did not become ready. ValueError when that was no accident."""
        self._dismiss(actor)
        answered = isinstance(error, RayTaskError) or getattr(error, "actor_init_failed", False)
        if answered and not isinstance(error, MACHINE_ERRORS + FATAL_ERRORS):
            raise ValueError(f"a worker cannot begin: {_one_line(error)}") from error
        self._count_loss(actor, _one_line(error))

    def _dismiss(self, actor: PooledActor) -> None:
        self.actors.remove(actor)
        ray.kill(actor.handle)
        self._spent += actor.seconds

    def _count_loss(self, actor: PooledActor, reason: str) -> None:
        """The circuit breaker. One work that dies again counts once, so that a few bad shards do not stop a run.

        Who is lost without work (it may only have waited for a free place) counts if nobody else is at work.
        """
        if actor.work:
            self._deadly.add(actor.work.key)
        elif any(other.work for other in self.actors):
            log.warning("a worker was lost while others are at work: %s", reason)
        else:
            self._idle_losses += 1
        losses = len(self._deadly) + self._idle_losses
        if losses >= max(LOSSES_IN_A_ROW, 2 * self.size):
            raise ChildProcessError(
                f"{losses} workers or shards died in a row and nothing was finished in between; the last one: "
                f"{reason}. What is finished is kept; look for free places in the cluster, at the machines' memory and "
                "at Ray's logs, then run again"
            )


def _blame(error: RayError) -> Blame:
    """Whose fault it is that a worker can do nothing more. That the cluster took its node away is nobody's."""
    if isinstance(error, RayActorError) and error.preempted:
        return Blame.NOBODY
    return Blame.MACHINE if isinstance(error, MACHINE_ERRORS) else Blame.WORK


def _one_line(error: Exception) -> str:
    cause = getattr(error, "cause", None) or error
    lines = str(cause).strip().splitlines() or [""]
    line = lines[-1] if "creation task" in lines[0] else lines[0]  # what __init__ raised comes last
    return f"{type(cause).__name__}: {line}"

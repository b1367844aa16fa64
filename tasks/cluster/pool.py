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
from tasks.cluster.pooled_actor import Member, Work
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

    hire: Callable[[], Any]
    size: int
    deadlines: Deadlines = PATIENCE
    limit: TimeLimit = UNLIMITED
    members: list[Member] = field(default_factory=list)
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
        while backlog.waiting or any(member.work for member in self.members):
            if self.limit.used_up:
                backlog.waiting.clear()
            if self.limit.over:
                return self.close()
            with answered_later():
                outcomes = self._round(backlog)
            yield from outcomes
            watch([member.latest for member in self.members if member.work and member.latest])

    def close(self) -> None:
        """Let every actor go, at once."""
        for member in list(self.members):
            self._dismiss(member)

    @property
    def actor_seconds(self) -> float:
        """How long actors have been ready, in all."""
        return self._spent + sum(member.seconds for member in self.members)

    def _round(self, backlog: Backlog) -> list[Outcome]:
        """Hand out work, wait a moment, and take what has ended."""
        self._staff(len(backlog.waiting))
        self._assign(backlog.waiting)
        outcomes = [self._settle(member, backlog) for member in self._finished()]
        outcomes += [self._replace(member, reason, backlog, blame) for member, reason, blame in self._overdue()]
        return [outcome for outcome in outcomes if outcome is not None]

    def _staff(self, waiting: int) -> None:
        idle = sum(member.work is None for member in self.members)
        for _ in range(min(self.size - len(self.members), waiting - idle)):
            self.members.append(Member(self.hire()))

    def _assign(self, waiting: deque[Work]) -> None:
        for member in list(self.members):
            try:
                if member.greeted() and member.work is None and waiting:
                    member.begin(waiting[0])
                    waiting.popleft()
                    self._idle_losses = 0
            except RayError as error:
                self._reject(member, error)

    def _finished(self) -> list[Member]:
        """Who has ended a work, after waiting a moment for somebody to."""
        calls = {member.call: member for member in self.members if member.work}
        greetings = [member.greeting for member in self.members if member.place is None]
        ready, _ = ray.wait([*calls, *greetings], timeout=TICK_SECONDS) if calls or greetings else ([], [])
        return [calls[reference] for reference in ready if reference in calls]

    def _overdue(self) -> list[tuple[Member, str, Blame]]:
        """Whom to give up waiting for, and why. Who has died without work is let go, and costs no work an attempt."""
        for member in [member for member in self.members if member.place is not None]:
            try:
                member.listen()
            except RayError as error:
                self._dismiss(member)
                self._count_loss(member, _one_line(error))
        return [
            (member, reason, Blame.WORK if member.stuck(self.deadlines) else Blame.MACHINE)
            for member in self.members
            if (reason := member.overdue(self.deadlines))
        ]

    def _settle(self, member: Member, backlog: Backlog) -> Outcome | None:
        """The outcome of a call that ended, or None if the work is to be done again."""
        work = member.work
        assert work is not None
        try:
            result = ray.get(member.call)
        except RayError as error:
            if not isinstance(error, RayTaskError) or isinstance(error, FATAL_ERRORS):
                return self._replace(member, _one_line(error), backlog, _blame(error))
            member.end()
            attempt = len(backlog.tries[work.key]) + 1
            if isinstance(error, MACHINE_ERRORS):
                return backlog.again(work, _one_line(error), Blame.MACHINE, turns=len(self.members))
            return Outcome(work, error=_one_line(error), traceback=str(error), attempts=attempt)
        member.end()
        self._deadly.clear()
        return Outcome(work, result, attempts=len(backlog.tries[work.key]) + 1)

    def _replace(self, member: Member, reason: str, backlog: Backlog, blame: Blame) -> Outcome | None:
        """Let a dead or stuck actor go; the next round hires another. What becomes of its work."""
        self._dismiss(member)
        if blame is not Blame.NOBODY:
            self._count_loss(member, reason)
        return backlog.again(member.work, reason, blame, turns=len(self.members)) if member.work else None

    def _reject(self, member: Member, error: RayError) -> None:
        """Let an actor go that did not become ready. ValueError when that was no accident."""
        self._dismiss(member)
        answered = isinstance(error, RayTaskError) or getattr(error, "actor_init_failed", False)
        if answered and not isinstance(error, MACHINE_ERRORS + FATAL_ERRORS):
            raise ValueError(f"a worker cannot begin: {_one_line(error)}") from error
        self._count_loss(member, _one_line(error))

    def _dismiss(self, member: Member) -> None:
        self.members.remove(member)
        ray.kill(member.handle)
        self._spent += member.seconds

    def _count_loss(self, member: Member, reason: str) -> None:
        """The circuit breaker. One work that dies again counts once, so that a few bad shards do not stop a run.

        Who is lost without work (it may only have waited for a free place) counts if nobody else is at work.
        """
        if member.work:
            self._deadly.add(member.work.key)
        elif any(other.work for other in self.members):
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

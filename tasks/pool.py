"""Our own pool of Ray actors: no shard is ever lost, whatever dies.

A call that fails because of the machine (a dead or stuck actor, a full disk, a lost answer) is tried again, at most
ATTEMPTS times counted per piece of work, after a few others had their turn; an error of the code or of the caller is
an outcome, with its traceback. ray.util.ActorPool is not used because it drops queued work when its actors die. Actors
are replaced by us (max_restarts=0): a fresh one is asked for work only when it is ready, so one that waits for
resources holds nothing up, and a death before that is never blamed on a shard.
"""

from __future__ import annotations

import logging
from collections import defaultdict, deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

import ray
import torch
from ray.exceptions import RayActorError, RayError, RayTaskError

from manifests.store import CommitUnknown
from tasks.member import PATIENCE, Deadlines, Member, Work
from tasks.signals import answered_later
from tasks.timelimit import UNLIMITED, TimeLimit

ATTEMPTS = 3
LOSSES_IN_A_ROW = 6
TICK_SECONDS = 0.25
MACHINE_ERRORS = (OSError, CommitUnknown)
"""Errors of a worker's code that blame the machine and not the request."""
FATAL_ERRORS = (torch.AcceleratorError,)
"""Errors after which the worker's device answers nothing any more: the same as its death."""

log = logging.getLogger("coral.pool")


@dataclass(frozen=True)
class Outcome:
    """How a piece of work ended."""

    work: Work
    result: Any = None
    error: str = ""  # one line; empty on success
    traceback: str = ""  # of an error of the code
    attempts: int = 1
    deadly: bool = False  # every attempt ended its worker


@dataclass
class Backlog:
    """The work of one run() that nobody is doing, and how its attempts so far have ended."""

    waiting: deque[Work]
    tries: defaultdict[str, list[bool]] = field(default_factory=lambda: defaultdict(list))  # whether the worker died

    def again(self, work: Work, reason: str, died: bool, turns: int) -> Outcome | None:
        """Put a work that failed back, behind `turns` others; after the last attempt its outcome instead."""
        tries = self.tries[work.key]
        tries.append(died)
        log.warning("%s: attempt %d failed: %s", work.name, len(tries), reason)
        if len(tries) >= ATTEMPTS:
            error = f"given up after {len(tries)} attempts: {reason}"
            return Outcome(work, error=error, attempts=len(tries), deadly=all(tries))
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
    _lost: set[str] = field(default_factory=set)  # what died or killed its worker since something was last finished

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
        outcomes += [self._replace(member, reason, backlog) for member, reason in self._overdue()]
        return [outcome for outcome in outcomes if outcome is not None]

    def _staff(self, waiting: int) -> None:
        idle = sum(member.work is None for member in self.members)
        for _ in range(min(self.size - len(self.members), waiting - idle)):
            self.members.append(Member(self.hire()))

    def _assign(self, waiting: deque[Work]) -> None:
        for member in list(self.members):
            try:
                if member.greeted() and member.work is None and waiting:
                    member.begin(waiting.popleft())
            except RayError as error:
                self._reject(member, error)

    def _finished(self) -> list[Member]:
        """Who has ended a work, after waiting a moment for somebody to."""
        calls = {member.call: member for member in self.members if member.work}
        greetings = [member.greeting for member in self.members if member.place is None]
        ready, _ = ray.wait([*calls, *greetings], timeout=TICK_SECONDS) if calls or greetings else ([], [])
        return [calls[reference] for reference in ready if reference in calls]

    def _overdue(self) -> list[tuple[Member, str]]:
        """Whom to give up waiting for, and why. Who has died without work is let go, and costs no work an attempt."""
        for member in [member for member in self.members if member.place is not None]:
            try:
                member.listen()
            except RayError as error:
                self._dismiss(member)
                self._count_loss(str(member.handle), _one_line(error))
        return [(member, reason) for member in self.members if (reason := member.overdue(self.deadlines))]

    def _settle(self, member: Member, backlog: Backlog) -> Outcome | None:
        """The outcome of a call that ended, or None if the work is to be done again."""
        work = member.work
        assert work is not None
        try:
            result = ray.get(member.call)
        except RayError as error:
            if not isinstance(error, RayTaskError) or isinstance(error, FATAL_ERRORS):
                return self._replace(member, _one_line(error), backlog, _is_preempted(error))
            member.end()
            attempt = len(backlog.tries[work.key]) + 1
            if isinstance(error, MACHINE_ERRORS):
                return backlog.again(work, _one_line(error), died=False, turns=len(self.members))
            return Outcome(work, error=_one_line(error), traceback=str(error), attempts=attempt)
        member.end()
        self._lost.clear()
        return Outcome(work, result, attempts=len(backlog.tries[work.key]) + 1)

    def _replace(self, member: Member, reason: str, backlog: Backlog, blameless: bool = False) -> Outcome | None:
        """Let a dead or stuck actor go; the next round hires another. What becomes of its work."""
        self._dismiss(member)
        work = member.work
        if blameless and work:
            backlog.waiting.appendleft(work)
            return None
        self._count_loss(work.key if work else str(member.handle), reason)
        return backlog.again(work, reason, died=True, turns=len(self.members)) if work else None

    def _reject(self, member: Member, error: RayError) -> None:
        """Let an actor go that did not become ready. ValueError when that was no accident."""
        self._dismiss(member)
        answered = isinstance(error, RayTaskError) or getattr(error, "actor_init_failed", False)
        if answered and not isinstance(error, MACHINE_ERRORS):
            raise ValueError(f"a worker cannot begin: {_one_line(error)}") from error
        self._count_loss(str(member.handle), _one_line(error))

    def _dismiss(self, member: Member) -> None:
        self.members.remove(member)
        ray.kill(member.handle)
        self._spent += member.seconds

    def _count_loss(self, what: str, reason: str) -> None:
        """The circuit breaker. One work that dies again counts once, so that a few bad shards do not stop a run."""
        self._lost.add(what)
        if len(self._lost) >= max(LOSSES_IN_A_ROW, 2 * self.size):
            raise ChildProcessError(
                f"{len(self._lost)} workers or shards died in a row and nothing was finished in between; the last one: "
                f"{reason}. What is finished is kept; look at the machines' memory and at Ray's logs, then run again"
            )


def _is_preempted(error: RayError) -> bool:
    """Whether the cluster took the node away, for which no work is to blame."""
    return isinstance(error, RayActorError) and error.preempted


def _one_line(error: Exception) -> str:
    cause = getattr(error, "cause", None) or error
    lines = str(cause).strip().splitlines() or [""]
    line = lines[-1] if "creation task" in lines[0] else lines[0]  # what __init__ raised comes last
    return f"{type(cause).__name__}: {line}"

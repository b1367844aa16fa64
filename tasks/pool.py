"""Our own pool of Ray actors: no shard is ever lost, whatever dies.

A call that fails because of the machine (a dead actor, a full disk, a lost answer) is tried again on a fresh actor, at
most ATTEMPTS times counted per piece of work; an error of the code or of the caller is an outcome, with its traceback.
ray.util.ActorPool is not used because it drops queued work when its actors die. Actors are replaced by us
(max_restarts=0): a fresh one is asked for work only when it answers, so one that waits for resources holds nothing up.
"""

from __future__ import annotations

import logging
import os
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

import ray
from ray.exceptions import RayError, RayTaskError

from manifests.store import CommitUnknown
from tasks.signals import answered_later

ATTEMPTS = 3
DEATHS_IN_A_ROW = 6
TICK_SECONDS = 0.25
MACHINE_ERRORS = (OSError, CommitUnknown)
"""Errors of a worker's code that blame the machine and not the request."""

log = logging.getLogger("coral.pool")


@dataclass(frozen=True)
class Work:
    """One call of a worker's method."""

    key: str  # unique in its wave
    name: str  # for people
    method: str
    arguments: tuple[Any, ...]


@dataclass(frozen=True)
class Outcome:
    """How a piece of work ended."""

    work: Work
    result: Any = None
    error: str = ""  # one line; empty on success
    traceback: str = ""  # of an error of the code
    attempts: int = 1


@dataclass
class Member:
    """One actor of the pool."""

    handle: Any
    greeting: Any  # the reference whose arrival says that the actor is up
    up: bool = False
    work: Work | None = None
    call: Any = None  # reference of the running call
    pulse: Any = None  # reference of a question how far it is
    latest: Any = None  # the last answer


@dataclass
class Pool:
    """`size` actors at most, made by `hire`; they are kept from one run() to the next."""

    hire: Callable[[], Any]
    size: int
    _members: list[Member] = field(default_factory=list)
    _deaths: int = 0  # since something last succeeded

    def __enter__(self) -> Pool:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def run(self, works: Sequence[Work], watch: Callable[[list[Any]], None]) -> Iterator[Outcome]:
        """Outcomes in the order they come; `watch` gets the latest pulses of what is running, several times a second.

        Errors: RuntimeError when actors die again and again without finishing anything.
        """
        queue, attempts = deque(works), Counter[str]()
        while queue or any(member.work for member in self._members):
            with answered_later():
                outcomes = self._round(queue, attempts)
            yield from outcomes
            watch([member.latest for member in self._members if member.work and member.latest])

    def close(self) -> None:
        """Let every actor go, at once."""
        for member in self._members:
            ray.kill(member.handle)
        self._members.clear()

    def _round(self, queue: deque[Work], attempts: Counter[str]) -> list[Outcome]:
        """Hand out work, wait a moment, and take what has ended."""
        self._staff(len(queue))
        self._assign(queue)
        outcomes = []
        for member in self._finished():
            work = member.work
            assert work is not None
            attempts[work.key] += 1
            outcome = self._settle(member, work, attempts[work.key])
            if outcome is None:
                queue.append(work)
            else:
                outcomes.append(outcome)
        self._listen()
        return outcomes

    def _staff(self, waiting: int) -> None:
        idle = sum(member.work is None for member in self._members)
        for _ in range(min(self.size - len(self._members), waiting - idle)):
            handle = self.hire()
            self._members.append(Member(handle, greeting=handle.pulse.remote()))

    def _assign(self, queue: deque[Work]) -> None:
        for member in self._members:
            member.up = member.up or _is_ready(member.greeting)
            if queue and member.up and member.work is None:
                member.work = queue.popleft()
                member.call = getattr(member.handle, member.work.method).remote(*member.work.arguments)
                member.pulse = member.latest = None

    def _finished(self) -> list[Member]:
        calls = {member.call: member for member in self._members if member.work}
        greetings = [member.greeting for member in self._members if not member.up]
        ready, _ = ray.wait([*calls, *greetings], num_returns=1, timeout=TICK_SECONDS)
        return [calls[reference] for reference in ready if reference in calls]

    def _settle(self, member: Member, work: Work, attempt: int) -> Outcome | None:
        """The outcome of a call that ended, or None if the work is to be done again."""
        try:
            result = ray.get(member.call)
        except RayTaskError as error:
            member.work = member.call = None
            if not isinstance(error, MACHINE_ERRORS):
                return Outcome(work, error=_one_line(error), traceback=str(error), attempts=attempt)
            reason = _one_line(error)
        except RayError as error:
            self._replace(member, error)
            reason = _one_line(error)
        else:
            member.work = member.call = None
            self._deaths = 0
            return Outcome(work, result, attempts=attempt)
        log.warning("%s: attempt %d failed: %s", work.name, attempt, reason)
        return Outcome(work, error=f"given up after {attempt} attempts: {reason}") if attempt >= ATTEMPTS else None

    def _replace(self, member: Member, error: RayError) -> None:
        """Forget a dead actor; the next round hires another."""
        self._members.remove(member)
        ray.kill(member.handle)
        self._deaths += 1
        if self._deaths >= max(DEATHS_IN_A_ROW, 2 * self.size):
            raise RuntimeError(f"{self._deaths} workers died in a row and nothing was finished; {_one_line(error)}")

    def _listen(self) -> None:
        """Ask every busy actor how far it is, and take the answers that are there."""
        for member in self._members:
            if member.work is None:
                continue
            if member.pulse is None:
                member.pulse = member.handle.pulse.remote()
            elif _is_ready(member.pulse):
                try:
                    member.latest, member.pulse = ray.get(member.pulse), None
                except RayError:
                    member.pulse = None  # the call itself will tell


def connect() -> bool:
    """Join the cluster that RAY_ADDRESS names, or start one on this machine; whether it is ours to shut down."""
    if ray.is_initialized():
        return False
    address = os.environ.get("RAY_ADDRESS", "local")
    logging.getLogger("ray").setLevel(logging.ERROR)
    local = {"include_dashboard": False, "object_store_memory": 2**27} if address == "local" else {}
    with answered_later():
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR, configure_logging=False, **local)
    return True


def disconnect() -> None:
    """Leave the cluster; a local one ends."""
    ray.shutdown()


def _is_ready(reference: Any) -> bool:
    return bool(ray.wait([reference], timeout=0)[0])


def _one_line(error: Exception) -> str:
    cause = getattr(error, "cause", None) or error
    lines = str(cause).strip().splitlines() or [""]
    line = lines[-1] if "creation task" in lines[0] else lines[0]  # what __init__ raised comes last
    return f"{type(cause).__name__}: {line}"

"""Workers of the pool as Ray actors."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

import ray
from ray.exceptions import (
    ActorUnavailableError,
    GetTimeoutError,
    LocalRayletDiedError,
    NodeDiedError,
    ObjectLostError,
    OutOfMemoryError,
    RayActorError,
    RayError,
    RayTaskError,
)

from tasks.cluster.faults import cause_of, one_line
from tasks.cluster.workers import Call, Cause, Handle, Reply

NODE_ERRORS = (LocalRayletDiedError, NodeDiedError, ObjectLostError, OutOfMemoryError)
NODE_DEATHS = ("its node has died", "NODE_OUT_OF_MEMORY", "node running low on memory")
"""What Ray writes into an ActorDiedError whose cause was the node; it has no field for it."""
UNAVAILABLE_SECONDS = 10.0
"""How long Ray is given to learn why an actor does not answer."""


@dataclass(eq=False)
class Refused:
    """A call that could not even be sent."""

    reply: Reply


@dataclass
class RayWorkers:
    """`start_actor(avoid)` asks Ray for an actor on none of the nodes in `avoid`; `count(avoid)` says how many fit."""

    start_actor: Callable[[Collection[str]], Any]
    count: Callable[[Collection[str]], int]
    _actors: dict[Call, Handle] = field(default_factory=dict)  # call -> the actor that was called

    def capacity(self, avoid: Collection[str]) -> int:
        """As Workers has it."""
        return self.count(avoid)

    def start(self, avoid: Collection[str]) -> Handle:
        """As Workers has it."""
        return self.start_actor(avoid)

    def submit(self, worker: Handle, method: str, arguments: tuple[Any, ...] = ()) -> Call:
        """As Workers has it."""
        try:
            call = getattr(worker, method).remote(*arguments)
        except RayError as error:
            return Refused(Reply(cause=Cause.NODE, error=one_line(error)))
        self._actors[call] = worker
        return call

    def wait(self, calls: Collection[Call], also: Collection[Call], seconds: float) -> Mapping[Call, Reply]:
        """As Workers has it: one call of ray.wait to sleep, and one to learn of everything that has ended."""
        replies = {call: call.reply for call in (*calls, *also) if isinstance(call, Refused)}
        awaited, others = ([call for call in some if not isinstance(call, Refused)] for some in (calls, also))
        if awaited and not replies:
            ray.wait(awaited, timeout=seconds, fetch_local=False)
        elif not replies:
            time.sleep(seconds)
        everything = awaited + others
        ended = ray.wait(everything, num_returns=len(everything), timeout=0)[0] if everything else []
        return replies | {call: self._reply(call) for call in ended}

    def kill(self, worker: Handle) -> None:
        """As Workers has it."""
        self._actors = {call: actor for call, actor in self._actors.items() if actor is not worker}
        ray.kill(worker)

    def where(self, worker: Handle) -> Call:
        """As Workers has it."""
        return self.submit(worker, "where")

    def _reply(self, call: Call) -> Reply:
        actor = self._actors.pop(call, None)
        try:
            return Reply(ray.get(call))
        except RayTaskError as error:
            return Reply(cause=cause_of(error.cause or error), error=one_line(error), traceback=str(error))
        except ActorUnavailableError as error:
            return _reason(actor, error)
        except RayError as error:
            return Reply(cause=_cause_of_loss(error), error=one_line(error))


def _reason(actor: Handle, error: ActorUnavailableError) -> Reply:
    """Why an actor that cannot be reached is gone, as soon as Ray knows; until then the node is blamed."""
    try:
        ray.get(actor.pulse.remote(), timeout=UNAVAILABLE_SECONDS)
    except ActorUnavailableError:
        pass
    except (GetTimeoutError, RayTaskError):
        pass
    except RayError as known:
        return Reply(cause=_cause_of_loss(known), error=one_line(known))
    return Reply(cause=Cause.NODE, error=one_line(error))


def _cause_of_loss(error: RayError) -> Cause:
    """Why an actor is gone."""
    if not isinstance(error, RayActorError):
        return Cause.NODE if isinstance(error, NODE_ERRORS) else Cause.DEATH
    if error.preempted:
        return Cause.PREEMPTED
    if error.actor_init_failed:
        return Cause.REQUEST
    return Cause.NODE if any(words in str(error) for words in NODE_DEATHS) else Cause.DEATH

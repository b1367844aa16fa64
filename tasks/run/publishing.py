"""Publishing beside and at the end of a run: what is committed is published, whatever becomes of the run."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType

from tasks.cluster.signals import end_postponed
from tasks.publish.publish import publish_edits
from tasks.run.run import Run

log = logging.getLogger("coral.publish")


@contextmanager
def published_at_last(run: Run) -> Iterator[None]:
    """If the block ends with an exception, also that of SIGTERM or Ctrl-C, publish what is committed, then raise it."""
    try:
        yield
    except BaseException as error:
        with end_postponed():
            log.warning("the run ends early (%s); what is committed is published", type(error).__name__)
            _publish(run, frozenset(run.done))
        raise


class RegularPublishing:
    """Publishes in a thread of its own, whenever `minutes` have passed since the last time; one at a time."""

    def __init__(self, run: Run, minutes: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.run, self.seconds, self.clock = run, 60 * minutes, clock
        self._since = clock()
        self._thread: threading.Thread | None = None

    def __enter__(self) -> RegularPublishing:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._thread is not None and kind is None:
            self._thread.join()

    def remind(self) -> None:
        """Begin to publish if it is time; call it after something was committed."""
        if self.clock() - self._since < self.seconds or (self._thread is not None and self._thread.is_alive()):
            return
        self._since = self.clock()
        self._thread = threading.Thread(
            target=_publish, args=(self.run, frozenset(self.run.done)), name="publish", daemon=True
        )
        self._thread.start()


def _publish(run: Run, done: frozenset[str]) -> None:
    """Publish what is committed; an error is logged, because the run has something more important to do or to say."""
    try:
        publication = publish_edits(run.store, run.plan, done)
        log.info("published: version %d with %d rows", publication.version, publication.rows)
    except Exception:
        log.warning("not published; the next run of the job publishes it", exc_info=True)

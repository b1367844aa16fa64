"""The end of a run: all processes that it started end with it, and soon after SIGTERM or Ctrl-C.

No cleanup is needed, because everything visible in the store is complete at any moment. So Prefect and Ray get one
second (to release the actors, and to report the flow's state to a Prefect server that keeps running), a publish of what
is committed gets some more, and then all processes are killed; a second signal kills them at once. By themselves
Prefect and Ray take three to ten seconds to shut down, most of it waiting for each other's servers.
"""

from __future__ import annotations

import atexit
import ctypes
import os
import signal
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

from tasks.cluster.signals import LAST_WORK, STOPPING

GRACE_SECONDS = 1.0
LAST_WORK_SECONDS = 25.0
"""For the publish of what is committed: less than the 30 seconds that Kubernetes and Prefect leave after SIGTERM."""
SHOW_CURSOR = "\x1b[?25h"
PR_SET_CHILD_SUBREAPER = 36
EXITING = 0
"""Written to the signal pipe at a normal exit. When the thread reads it, no signal is waiting in the pipe before it."""


class Stopping:
    """After this, SIGTERM or Ctrl-C ends this process and all that it started, `grace` seconds later.

    A separate thread waits for the signal, because the main thread may be in native code, and because Prefect and Ray
    replace our handlers. Create it once, in the main thread.
    """

    def __init__(self, grace: float = GRACE_SECONDS) -> None:
        self.grace = grace
        self._ending, self._no_signal = threading.Lock(), threading.Event()
        self._signals, self._signal_writer = os.pipe()
        os.set_blocking(self._signal_writer, False)
        adopt_orphans()
        # the default action of SIGTERM would end only this process
        signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
        signal.set_wakeup_fd(self._signal_writer, warn_on_full_buffer=False)
        threading.Thread(target=self._watch, name="stopping", daemon=True).start()
        atexit.register(self._at_exit)

    def end(self, number: int) -> NoReturn:
        """Kill all processes that this one has started, and exit with 128 + the number of the signal."""
        self._ending.acquire()  # never released: a second caller waits until the process ends
        with suppress(OSError, ValueError):  # the reader of the output may have ended
            print("coral: stopped; run the same command again to continue", file=sys.stderr)
            print(end=SHOW_CURSOR if sys.stderr.isatty() else "", file=sys.stderr, flush=True)
            sys.stdout.flush()
        kill_descendants()
        os._exit(128 + number)

    def _watch(self) -> None:
        while (number := os.read(self._signals, 1)[0]) not in STOPPING:
            if number == EXITING:
                self._no_signal.set()
        threading.Thread(target=self._end_soon, args=(number,), name="ending", daemon=True).start()
        while os.read(self._signals, 1)[0] not in STOPPING:  # Prefect repeats the signal when the flow has ended
            continue
        self.end(number)

    def _end_soon(self, number: int) -> None:
        time.sleep(self.grace)
        LAST_WORK.acquire(timeout=LAST_WORK_SECONDS)
        self.end(number)

    def _at_exit(self) -> None:
        """Kill the children at a normal exit; if a signal has arrived, end() does it.

        It is registered first, so it runs last: Prefect and Ray have then ended their own processes.
        """
        os.write(self._signal_writer, bytes([EXITING]))
        self._no_signal.wait()
        kill_descendants()


def adopt_orphans() -> None:
    """Become the parent of processes whose parent, one of our children, dies, so that they are found. Linux only."""
    with suppress(AttributeError, OSError):
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def kill_descendants() -> None:
    """Kill all processes that this one has started, directly or indirectly."""
    for pid in descendants(os.getpid()):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def descendants(pid: int) -> list[int]:
    """The children of a process, their children, and so on.

    Empty where there is no /proc; there only Ray and Prefect themselves end their processes.
    """
    parents: dict[int, int] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # the process has just ended
            parents[int(folder.name)] = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
    found = [child for child, parent in parents.items() if parent == pid]
    for each in found:
        found.extend(child for child, parent in parents.items() if parent == each)
    return found

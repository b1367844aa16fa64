"""The end of a run: nothing that it started outlives it. And soon, whatever the engines do, when it was told to stop.

Nothing has to be put in order: what is visible is true at any moment. So the engines get a second to say good-bye
(the actors are let go, the flow's state reaches a Prefect server that outlives us), and then everything is killed.
Prefect and Ray take three to ten seconds to shut down by themselves, most of it waiting for each other's servers.
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

from tasks.cluster.signals import STOPPING

GRACE_SECONDS = 1.0
SHOW_CURSOR = "\x1b[?25h"
PR_SET_CHILD_SUBREAPER = 36
LEAVING = 0
"""Written where signals are: is there one that was not seen yet?"""


class Stopping:
    """From now on, SIGTERM and Ctrl-C have this process, and all it started, gone `grace` seconds later.

    The signal is noticed by a thread of its own, because the main thread may sit in native code, and because Prefect
    and Ray put their handlers in place of ours. To be made by the main thread, once.
    """

    def __init__(self, grace: float = GRACE_SECONDS) -> None:
        self.grace = grace
        self._ending, self._calm = threading.Lock(), threading.Event()
        self._told, self._tell = os.pipe()
        os.set_blocking(self._tell, False)
        adopt_orphans()
        signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))  # by default it would end us alone
        signal.set_wakeup_fd(self._tell, warn_on_full_buffer=False)
        threading.Thread(target=self._watch, name="stopping", daemon=True).start()
        atexit.register(self._leave)

    def end(self, number: int) -> NoReturn:
        """Kill what this process has started, and leave as one that the signal ended."""
        self._ending.acquire()  # and never released: who comes second waits for the end
        with suppress(OSError, ValueError):  # nobody may be reading any more
            print("coral: stopped; run the same command again to go on from here", file=sys.stderr)
            print(end=SHOW_CURSOR if sys.stderr.isatty() else "", file=sys.stderr, flush=True)
            sys.stdout.flush()
        kill_descendants()
        os._exit(128 + number)

    def _watch(self) -> None:
        while (number := os.read(self._told, 1)[0]) not in STOPPING:
            if number == LEAVING:
                self._calm.set()
        time.sleep(self.grace)
        self.end(number)

    def _leave(self) -> None:
        """Let the process end by itself, unless it was told to stop; in neither case without its children.

        Registered first, this runs last: what the engines end by themselves has ended, and what is left is left over.
        """
        os.write(self._tell, bytes([LEAVING]))
        self._calm.wait()
        kill_descendants()


def adopt_orphans() -> None:
    """Make what our children started ours when they die, so that it is found. Linux only, as /proc is."""
    with suppress(AttributeError, OSError):
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def kill_descendants() -> None:
    """Kill all that this process has started, and all that those have."""
    for pid in descendants(os.getpid()):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def descendants(pid: int) -> list[int]:
    """Children, their children, and so on. None where there is no /proc: Ray's and Prefect's own watchdogs must do."""
    parents: dict[int, int] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it has just ended
            parents[int(folder.name)] = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
    found = [child for child, parent in parents.items() if parent == pid]
    for each in found:
        found.extend(child for child, parent in parents.items() if parent == each)
    return found

"""After SIGTERM or Ctrl-C a process and all that it started end soon, whatever the main thread and children do."""

from __future__ import annotations

import signal
import subprocess
import sys
import time

import pytest

from pipelines.flow.stopping import GRACE_SECONDS, Stopping, descendants
from tests.processes import is_running

STUBBORN = """
import signal, subprocess, sys
signal.signal(signal.SIGTERM, signal.SIG_IGN)
signal.signal(signal.SIGINT, signal.SIG_IGN)
print(subprocess.Popen(["sleep", "600"], start_new_session=True).pid, flush=True)
signal.pause()
"""
"""A child that ignores signals, like a server that waits for its clients, and a grandchild that gets no signal."""
MAIN = """
import ctypes, signal, subprocess, sys, time
from pipelines.flow.stopping import Stopping
from tasks.cluster.signals import end_postponed
stopping = Stopping(grace=0.2)
child = subprocess.Popen([sys.executable, "-c", {stubborn!r}], stdout=subprocess.PIPE, text=True)
print(child.pid, child.stdout.readline().strip(), flush=True)
{then}
"""
THEN = {
    "ignores the signal": "for n in (signal.SIGTERM, signal.SIGINT): signal.signal(n, lambda *given: None)\n"
    "while True: time.sleep(600)",
    "is in native code": "while True: ctypes.CDLL(None).sleep(600)",
    "cleans up slowly": "try: time.sleep(600)\nfinally: time.sleep(600)",
    "ends well": "try: time.sleep(600)\nexcept (SystemExit, KeyboardInterrupt): stopping.end(int(sys.argv[1]))",
    "loses its child first": "try: time.sleep(600)\nfinally: child.kill(); child.wait(); time.sleep(600)",
    "exits": "time.sleep(600)",
}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("what", THEN)
def test_all_descendants_end(what: str, number: signal.Signals) -> None:
    script = MAIN.format(stubborn=STUBBORN, then=THEN[what])
    process = subprocess.Popen(
        [sys.executable, "-c", script, str(int(number))], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    family = [int(pid) for pid in process.stdout.readline().split()]
    assert set(descendants(process.pid)) == set(family) and len(family) == 2
    sent = time.monotonic()
    process.send_signal(number)
    _, said = process.communicate(timeout=60)
    wait_until_gone(family)
    assert time.monotonic() - sent < 3
    assert process.returncode == 128 + number
    assert said.count("coral: stopped; run the same command again") == 1


LAST_WORK = """try: time.sleep(600)
except SystemExit:
    with end_postponed():
        time.sleep(2)
        print("published", flush=True)"""


@pytest.mark.parametrize(("signals", "published"), [(1, True), (2, False)])
def test_the_last_publish_is_waited_for_unless_the_signal_is_repeated(signals: int, published: bool) -> None:
    script = MAIN.format(stubborn=STUBBORN, then=LAST_WORK)
    process = subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    family = [int(pid) for pid in process.stdout.readline().split()]
    for _ in range(signals):
        time.sleep(0.5)  # the first time, until the process has entered its try statement
        process.send_signal(signal.SIGTERM)
    printed, _ = process.communicate(timeout=60)
    wait_until_gone(family)
    assert ("published" in printed) == published and process.returncode == 128 + signal.SIGTERM


def test_the_engines_get_less_than_half_of_the_three_seconds() -> None:
    assert GRACE_SECONDS <= 1.5 and Stopping.__init__.__defaults__ == (GRACE_SECONDS,)


def wait_until_gone(family: list[int]) -> None:
    deadline = time.monotonic() + 30
    while left := [pid for pid in family if is_running(pid)]:
        assert time.monotonic() < deadline, left
        time.sleep(0.02)

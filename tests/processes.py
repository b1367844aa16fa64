"""Real `coral` processes, and the same commands in this process."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from unittest.mock import patch

import pytest

CORAL = Path(sys.executable).with_name("coral")


class Coral:
    """Starts the command line in its own process group and leaves nothing of it behind."""

    def __init__(self, home: Path) -> None:
        quiet = {"PREFECT_HOME": str(home), "OMP_NUM_THREADS": "1"}
        self.environment = {key: value for key, value in os.environ.items() if key != "RAY_ADDRESS"} | quiet
        self.started: list[subprocess.Popen[str]] = []

    def start(self, *arguments: object) -> subprocess.Popen[str]:
        """A running command."""
        process = subprocess.Popen(
            [str(CORAL), *map(str, arguments)],
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self.started.append(process)
        return process

    def run(self, *arguments: object, code: int = 0) -> str:
        """What a command prints; it must end with `code`."""
        process = self.start(*arguments)
        printed, _ = process.communicate(timeout=240)
        assert process.returncode == code, printed
        return printed

    def kill(self, process: subprocess.Popen[str]) -> None:
        """SIGKILL to the process and everything it started, Ray and the Prefect server included."""
        family = [process.pid, *descendants(process.pid)]
        for pid in family:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        process.wait()

    def close(self) -> None:
        for process in self.started:
            if process.poll() is None:
                self.kill(process)


def run_here(*arguments: object, code: int = 0) -> str:
    """What a command prints that starts nothing, from the entry point on but in this process."""
    from pipelines.cli.app import main

    printed = io.StringIO()
    with (
        redirect_stdout(printed),
        redirect_stderr(printed),
        patch.object(sys, "argv", ["coral", *map(str, arguments)]),
        pytest.raises(SystemExit) as ended,
    ):
        main()
    assert (ended.value.code or 0) == code, printed.getvalue()
    return printed.getvalue()


def descendants(pid: int) -> list[int]:
    """Children, their children, and so on."""
    parents: dict[int, list[int]] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        parents.setdefault(int(fields[1]), []).append(int(folder.name))
    found = list(parents.get(pid, []))
    for child in found:
        found.extend(parents.get(child, []))
    return found


def wait_until(true: Callable[[], bool], process: subprocess.Popen[str], seconds: float = 180.0) -> None:
    """Return as soon as it is true, or the process has ended."""
    deadline = time.monotonic() + seconds
    while not true() and process.poll() is None:
        assert time.monotonic() < deadline, "nothing happened in time"
        time.sleep(0.02)


def is_running(pid: int) -> bool:
    """Whether a process has not ended; one that nobody has asked about since has."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False

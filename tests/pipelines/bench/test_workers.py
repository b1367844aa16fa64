from __future__ import annotations

import math
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pipelines.bench.workers import Done, Work, run_all


@pytest.mark.parametrize("workers", [1, 2])
def test_results_come_in_the_order_of_the_work_and_several_workers_are_other_processes(workers: int) -> None:
    seen: list[Done] = []
    work = [Work(f"root of {number}", math.sqrt, (number,)) for number in (9, 4, 1)]
    *roots, pid = run_all([*work, Work("pid", os.getpid, ())], workers, seen.append)
    assert roots == [3.0, 2.0, 1.0]
    assert [done.count for done in seen] == [1, 2, 3, 4]
    assert {done.label for done in seen} == {"root of 9", "root of 4", "root of 1", "pid"}
    assert (pid == os.getpid()) == (workers == 1)


def test_an_error_of_the_work_reaches_the_caller() -> None:
    with pytest.raises(ValueError, match="math domain"):
        run_all([Work("root", math.sqrt, (number,)) for number in (1, -1)], 2, lambda done: None)


SLEEPERS = """
import os
from pipelines.bench.workers import Work, run_all
if __name__ == "__main__":
    run_all([Work("", os.system, ("echo $PPID >> pids; sleep 1",)) for _ in range(60)], 2, lambda done: None)
"""


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks processes up in /proc")
def test_workers_of_a_killed_process_end(tmp_path: Path) -> None:
    (script := tmp_path / "sleepers.py").write_text(SLEEPERS)
    (written := tmp_path / "pids").touch()
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])}
    parent = subprocess.Popen([sys.executable, str(script)], cwd=tmp_path, env=environment)
    pids: set[int] = set()
    until = time.monotonic() + 60
    while len(pids) < 2 and time.monotonic() < until:
        time.sleep(0.2)
        pids = {int(line) for line in written.read_text().split()}
    parent.kill()
    parent.wait()
    assert len(pids) == 2
    until = time.monotonic() + 20
    while any(map(alive, pids)) and time.monotonic() < until:
        time.sleep(0.2)
    assert not any(map(alive, pids))

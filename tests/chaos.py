"""Kill a random worker of the demo job every few seconds, and check that the manifest does not change.

    python -m tests.chaos [--every 10] [--fit-steps 5] [--shards 4] [--samples 64]

Runs the job twice into folders of its own: once left alone, once while a random one of its actor processes gets SIGKILL
every so often. Then the rows are compared: all of them, up to the names of the data objects and the timings. A full fit
takes longer than ten seconds, so that hardly one would be left alone; hence the few steps.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import yaml

from manifests.query import query
from manifests.stores.open import open_store
from pipelines.cli.demo_data import Portraits, write_demo_data
from tests.processes import Coral, descendants

JOB = Path(__file__).parents[1] / "pipelines" / "jobs" / "portraits-demo.yaml"
ACTOR = b"ray::Worker"
"""How the title of an actor's process begins: the class, and while it works a dot and the method."""


class Killer:
    """Kills a random actor below a process every `every` seconds while the block runs, `at_most` times."""

    def __init__(self, process: subprocess.Popen[str], every: float, at_most: int | None = None, seed: int = 0) -> None:
        self.process, self.every, self.at_most = process, every, at_most
        self.killed: list[str] = []  # titles of the processes that were killed
        self._rng = random.Random(seed)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Killer:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._over.wait(self.every) and len(self.killed) != self.at_most:
            actors = {pid: title for pid in descendants(self.process.pid) if (title := title_of(pid)).startswith(ACTOR)}
            if actors:
                victim = self._rng.choice(sorted(actors))
                os.kill(victim, signal.SIGKILL)
                self.killed.append(actors[victim].decode())


def title_of(pid: int) -> bytes:
    """The title of a process; empty if it has ended."""
    try:
        return (Path("/proc") / str(pid) / "cmdline").read_bytes().partition(b"\0")[0].strip()
    except OSError:
        return b""


def rows_of(output: Path) -> list[dict[str, Any]]:
    """The manifest without the names of data objects, which hold the attempt."""
    sql = "SELECT * EXCLUDE (image_uri) FROM manifest ORDER BY edit, source_uri, key"
    return query(open_store(output), sql).to_pylist()


def write_job(folder: Path, output: Path, fit_steps: int) -> Path:
    """The demo job over the tars in folder/data."""
    job = yaml.safe_load(JOB.read_text()) | {"input": str(folder / "data" / "*.tar"), "output": str(output)}
    for edit in job["edits"]:
        edit |= {"method": "coral-mapper-attention", "options": {"fit": {"steps": fit_steps}}}
    path = output.with_suffix(".yaml")
    path.write_text(yaml.safe_dump(job))
    return path


def run(coral: Coral, job: Path, every: float | None) -> tuple[int, list[str]]:
    """Run a job to its end; returns its exit code and the workers that were killed."""
    process = coral.start("run", job)
    reader = threading.Thread(target=lambda: [print(f"    {line}", end="") for line in process.stdout or ()])
    reader.start()
    killed: list[str] = []
    if every is not None:
        with Killer(process, every) as killer:
            process.wait()
        killed = killer.killed
    code = process.wait()
    reader.join()
    return code, killed


def timed(say: str, what: Callable[[], tuple[int, list[str]]]) -> tuple[int, list[str]]:
    """Print what is done, how it ended and how long it took."""
    print(say, flush=True)
    started = time.perf_counter()
    code, killed = what()
    print(f"{say}: exit code {code} after {time.perf_counter() - started:.0f} s, killed {dict(Counter(killed))}")
    return code, killed


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns 1 if the rows differ, or no worker was killed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--every", type=float, default=10.0, help="seconds between two kills")
    parser.add_argument("--fit-steps", type=int, default=5)
    parser.add_argument("--shards", type=int, default=4)
    parser.add_argument("--samples", type=int, default=64, help="in each shard")
    given = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        coral = Coral(folder / "prefect")
        write_demo_data(folder / "data", given.shards, given.samples, "test", Portraits())
        calm, rough = folder / "calm", folder / "rough"
        codes = [timed("undisturbed", lambda: run(coral, write_job(folder, calm, given.fit_steps), None))[0]]
        code, killed = timed("disturbed", lambda: run(coral, write_job(folder, rough, given.fit_steps), given.every))
        expected, found = rows_of(calm), rows_of(rough)
    different = [row["key"] for row, other in zip(expected, found, strict=False) if row != other]
    print(f"{len(killed)} actors killed; {len(found)} of {len(expected)} rows, {len(different)} of them different")
    return int([*codes, code] != [0, 0] or found != expected or not killed)


if __name__ == "__main__":
    sys.exit(main())

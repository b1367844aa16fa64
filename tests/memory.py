"""How much memory one worker takes, whatever it is given; by hand, because it runs for minutes.

    python -m tests.memory [--only big-tar] [--bundle portraits] [--folder DIR]

    big-tar      2 GB of photos of 12 megapixels, inverted and edited once
    pasted-back  the same, each edit pasted back into its photo at full size
    largest      images as large as they may be, with transparency; edits pasted back
    many-edits   a shard of 1,000 small samples with 20 edits

Each case has a process of its own, which does what an actor does and reports its peak after every wave. On Linux only.
"""

from __future__ import annotations

import argparse
import io
import os
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

os.environ |= {"OMP_NUM_THREADS": "1"}

import numpy as np
import torch
from PIL import Image

import tasks.cluster.actor  # noqa: F401  an actor has Ray in memory as well
from coral_core.bundle.models import load_models
from manifests.stores.open import open_store
from tasks.artifacts.loaded import Editors
from tasks.plan.plan import make_plan
from tasks.spec.geometry import Geometry, OutputSize
from tasks.spec.job import EditEntry, JobSpec
from tasks.worker.edit import edit_shard
from tasks.worker.fit import fit_editor
from tasks.worker.invert import invert_shard

STARTED = time.perf_counter()
LIMIT = 3e9
"""Bytes that one worker may take."""


@dataclass(frozen=True, kw_only=True)
class Case:
    """What a worker is given."""

    samples: int
    size: tuple[int, int]  # of each image, px
    distinct: int  # images; the rest are the same under other keys
    edits: int
    output: OutputSize
    channels: int = 3  # 4 with transparency


METHODS = ("coral-direction-attention", "coral-mapper-attention")
PHOTO = (4000, 3000)
LARGEST = (8190, 8190)  # just within MAX_PIXELS, and within MAX_IMAGE_BYTES with four channels
CASES: Mapping[str, Case] = {
    "big-tar": Case(samples=56, size=PHOTO, distinct=4, edits=1, output="generator"),
    "pasted-back": Case(samples=56, size=PHOTO, distinct=4, edits=1, output="source"),
    "largest": Case(samples=7, size=LARGEST, distinct=2, edits=1, output="source", channels=4),
    "many-edits": Case(samples=1000, size=(64, 64), distinct=50, edits=20, output="generator"),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the cases and print; 1 if one of them takes too much."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=sorted(CASES), help="one case")
    parser.add_argument("--bundle", default="portraits", help="a bundle's name or folder")
    parser.add_argument("--folder", type=Path, help="where tars and results lie; a temporary folder without it")
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args(arguments)
    if given.inside:
        return work(given.only, given.bundle, given.folder)
    with tempfile.TemporaryDirectory(dir=given.folder) as folder:
        codes = [run_case(name, given.bundle, Path(folder) / name) for name in CASES if given.only in (None, name)]
    return max(codes)


def run_case(name: str, bundle: str, folder: Path) -> int:
    """Write the tar, and work on it in a process of its own."""
    folder.mkdir(parents=True)
    size = write_tar(folder / "in.tar", CASES[name])
    print(f"{name}: {CASES[name].samples} images in a tar of {size / 1e9:.2f} GB", flush=True)
    command = [sys.executable, "-m", "tests.memory", "--inside", "--only", name, "--bundle", bundle]
    return subprocess.run([*command, "--folder", str(folder)], check=False).returncode


def write_tar(path: Path, case: Case) -> int:
    """The case's samples as a tar; its bytes."""
    files = [photo(number, case.size, case.channels) for number in range(case.distinct)]
    with tarfile.open(path, "w") as tar:
        for number in range(case.samples):
            data = files[number % case.distinct]
            info = tarfile.TarInfo(f"{number:06d}.png")
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return path.stat().st_size


def photo(seed: int, size: tuple[int, int], channels: int) -> bytes:
    """A photo-like image with noise, which compresses badly; stored uncompressed, because that is read fast."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (6, 8, channels), dtype=np.uint8)
    soft = Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC)
    grain = rng.integers(-14, 15, (size[1], size[0], 1), dtype=np.int16)
    pixels = np.clip(np.asarray(soft, np.int16) + grain, 0, 255).astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG", compress_level=0)
    return buffer.getvalue()


def work(name: str, bundle: str, folder: Path) -> int:
    """What an actor does with the only shard; 1 if it takes too much memory."""
    torch.set_num_threads(1)
    plan = make_plan(job(name, bundle, folder))
    store, models = open_store(plan.output), load_models(plan.bundle)
    report("the networks are loaded")
    (requests,) = plan.edit_requests()
    for fit in plan.fits:
        fit_editor(fit, models, store)
    report("fitted")
    invert_shard(requests[0].inversion, models, store)
    report("inverted")
    editors = Editors(store, models)
    reports = edit_shard(requests, editors, models, store)
    assert all(each.counts == {"ok": CASES[name].samples} for each in reports), reports
    return int(report("edited") > LIMIT)


def report(wave: str) -> float:
    """Print and return the peak of this process so far, in bytes; getrusage would give that of its parent if larger."""
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    peak = 1024.0 * int(status["VmHWM"].removesuffix("kB"))
    print(
        f"  {time.perf_counter() - STARTED:7.0f} s  {wave}: peak {peak / 1e9:.2f} GB of {LIMIT / 1e9:.0f}", flush=True
    )
    return peak


def job(name: str, bundle: str, folder: Path) -> JobSpec:
    """The job of a case; its editors are fitted for one step, after which they are as large as after many."""
    case = CASES[name]
    return JobSpec(
        name=name,
        inputs=(str(folder / "in.tar"),),
        output=str(folder / "out"),
        bundle=bundle,
        seed=0,
        batch_size=16,
        geometry=Geometry(fit="crop", output=case.output),
        edits=tuple(entry(number) for number in range(case.edits)),
        fit_samples=4,
        max_failure_rate=0.0,
    )


def entry(number: int) -> EditEntry:
    """One of the edits."""
    return EditEntry(
        id=f"edit-{number}",
        target=f"a person with hair number {number}",
        source="a person",
        method=METHODS[number % len(METHODS)],
        options={"start": "regression", "embedding": 0, "fit": {"steps": 1, "batch_size": 2}},
        strength=1.0,
        onto="source",
        image_format="png",
    )


if __name__ == "__main__":
    sys.exit(main())

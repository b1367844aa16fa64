"""`coral export`: parsing of its options, and the lines that it prints."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from pydantic import ByteSize, TypeAdapter, ValidationError
from rich.console import Console

from pipelines.flow.progress import SECONDS_BETWEEN_LINES
from tasks.export.export import ExportReport, OnFiles


def parse_size(text: str) -> int:
    """Bytes in a text such as 256MB or 1GiB. Errors: ValueError for anything else, and for less than one byte."""
    try:
        size = int(TypeAdapter(ByteSize).validate_python(text))
    except ValidationError:
        size = 0
    if size < 1:
        raise ValueError(f"{text!r} is no size; give a number and a unit, such as 256MB or 1GiB")
    return size


@contextmanager
def export_lines() -> Iterator[OnFiles]:
    """A callback that prints a line on standard error every few seconds while an export runs."""
    console, started = Console(stderr=True), time.monotonic()
    due = started

    def on_files(done: int, total: int) -> None:
        nonlocal due
        now = time.monotonic()
        if now >= due or done == total:
            due = now + SECONDS_BETWEEN_LINES
            console.print(f"export: {done}/{total} samples, {now - started:.0f} s", highlight=False, soft_wrap=True)

    yield on_files


def report_lines(report: ExportReport, destination: str) -> Iterator[str]:
    """The contents of the destination, in words."""
    size = sum(file.size for file in report.files)
    reused = f", {report.reused} of them there before" if report.reused else ""
    files = f"{len(report.files)} file{'s' * (len(report.files) != 1)}"
    yield f"{report.samples} samples in {files} ({size / 1e6:.1f} MB{reused}) in {destination}"
    if report.without_texts:
        yield f"{report.without_texts} of them without text members, because their sources are gone or were changed"
    yield f"from version {report.version} of the manifest; README.md says how to load them"

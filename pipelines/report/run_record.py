"""The facts about a run that are not in its plan: its waves, actor hours, cost, and some settings.

Stored beside the page, so that a later `coral report` can show them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from manifests.stores.store import Store
from pipelines.jobfile.job import Job
from pipelines.report.report_files import RECORD, get, put
from tasks.run.waves import Failure, WaveSummary

RUN_SECTIONS = ("resources", "deadlines", "max_hours")
"""Sections of a job that do not change results and are therefore not in the plan."""


@dataclass(frozen=True, kw_only=True)
class RunRecord:
    """One run of a plan."""

    waves: tuple[WaveSummary, ...] = ()
    actor_hours: float = 0.0  # hours in which actors were ready, summed over actors
    cost: str = ""  # of the actor hours; empty without a price
    settings: Mapping[str, Any] = field(default_factory=dict)
    excluded: tuple[str, ...] = ()  # devices and hosts that were taken out of the run, each with the reason

    @classmethod
    def of(cls, job: Job, waves: Sequence[WaveSummary], actor_hours: float, excluded: Sequence[str] = ()) -> RunRecord:
        """The record of a run of the job that has just ended."""
        return cls(
            waves=tuple(waves),
            actor_hours=actor_hours,
            cost=job.price().of(actor_hours),
            settings=job.model_dump(mode="json", include=set(RUN_SECTIONS)),
            excluded=tuple(excluded),
        )

    @property
    def failures(self) -> list[Failure]:
        """The failures of all waves."""
        return [failure for wave in self.waves for failure in wave.failures]

    @property
    def left(self) -> int:
        """Number of works that were not begun because of the time limit."""
        return sum(wave.left for wave in self.waves)

    def to_json(self) -> bytes:
        """JSON without tracebacks, because they contain paths and user names."""
        return json.dumps(asdict(replace(self, waves=tuple(map(_without_tracebacks, self.waves)))), indent=1).encode()

    @classmethod
    def from_json(cls, data: bytes) -> RunRecord:
        """Read a record. ValueError if the data is not one."""
        try:
            fields = json.loads(data)
            waves = ({**wave, "failures": [Failure(**each) for each in wave["failures"]]} for wave in fields["waves"])
            summaries = tuple(WaveSummary(**wave) for wave in waves)
            return cls(**{**fields, "waves": summaries, "excluded": tuple(fields.get("excluded", ()))})
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"not the record of a run: {error!r} in {data[:80]!r}") from error


def put_record(store: Store, run_id: str, record: RunRecord) -> None:
    """Write the record beside the page."""
    put(store, run_id, RECORD, record.to_json())


def read_record(store: Store, run_id: str) -> RunRecord | None:
    """The record of a run; None if the run was killed. ValueError for a damaged record."""
    data = get(store, run_id, RECORD)
    try:
        return None if data is None else RunRecord.from_json(data)
    except ValueError as error:
        raise ValueError(f"{error}; remove reports/{run_id}/{RECORD} to make the page without it") from error


def _without_tracebacks(wave: WaveSummary) -> WaveSummary:
    return replace(wave, failures=[replace(failure, traceback="") for failure in wave.failures])

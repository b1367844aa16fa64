"""The records of the benchmark: one per method and prompt, and their means."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Figures = dict[str, float | None]
FIGURES = (
    "success",
    "success_second",
    "right",
    "right_share",
    "ghost",
    "unchanged",
    "mask_precision",
    "mask_recall",
    "mask_iou",
    "mask_claimed",
    "oracle_mask_precision",
    "oracle_mask_recall",
    "oracle_mask_iou",
    "keep_recon",
    "keep_source",
    "answer_psnr",
    "identity",
    "direction",
    "fit_seconds",
    "images_per_second",
)
"""The figures of a record. table.HEADINGS names those that tables show."""


@dataclass(frozen=True)
class Record:
    """The figures of one method for one prompt, or their mean over prompts."""

    method: str
    prompt: str  # its id, or "kind:add", or "mean"
    kind: str  # empty for a mean over kinds
    n: int  # scenes
    figures: Mapping[str, float | None]
    pictures: str = ""  # key of the stored pictures

    def to_json(self) -> dict[str, Any]:
        """A flat dict, as in the file of --json."""
        named = {"method": self.method, "prompt": self.prompt, "kind": self.kind}
        return {**named, **{name: self.figures[name] for name in FIGURES}, "n": self.n}


def means(records: Sequence[Record]) -> Iterator[Record]:
    """The records, then for each method the means per kind and over all prompts, which all have the same weight."""
    yield from records
    for method in dict.fromkeys(record.method for record in records):
        own = [record for record in records if record.method == method]
        for kind in dict.fromkeys(record.kind for record in own):
            yield _mean(method, f"kind:{kind}", kind, [record for record in own if record.kind == kind])
        yield _mean(method, "mean", "", own)


def _mean(method: str, name: str, kind: str, records: Sequence[Record]) -> Record:
    figures: dict[str, float | None] = {}
    for figure in FIGURES:
        known = [value for record in records if (value := record.figures[figure]) is not None]
        figures[figure] = sum(known) / len(known) if known else None
    return Record(method, name, kind, sum(record.n for record in records), figures)

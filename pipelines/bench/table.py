"""The benchmark as Markdown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pipelines.bench.records import Record

HEADINGS: Mapping[str, str] = {
    "success": "success",
    "success_second": "2nd judge",
    "right": "right",
    "right_share": "right share",
    "ghost": "ghost",
    "unchanged": "unchanged",
    "mask_precision": "mask prec.",
    "mask_recall": "mask rec.",
    "mask_iou": "mask IoU",
    "mask_claimed": "claimed/true",
    "oracle_mask_iou": "oracle mask IoU",
    "keep_recon": "keep recon [dB]",
    "keep_source": "keep source [dB]",
    "answer_psnr": "answer [dB]",
    "identity": "identity",
    "direction": "direction",
    "fit_seconds": "fit [s]",
    "images_per_second": "images/s",
}
"""The figures in a table, which also has n, the number of scenes."""


def page(title: str, notes: str, records: Sequence[Record], pictures: Mapping[str, str]) -> str:
    """The means over all prompts and over each kind, then every prompt. `pictures`: prompt id -> file name."""
    parts = [f"# {title}", notes]
    for name in dict.fromkeys(["mean", *sorted(_names(records), key=lambda name: not name.startswith("kind:"))]):
        parts += [f"## {name}", table(records, name)]
        if name in pictures:
            parts.append(f"![{name}]({pictures[name]})")
    return "\n\n".join(parts) + "\n"


def _names(records: Sequence[Record]) -> list[str]:
    return list(dict.fromkeys(record.prompt for record in records))


def table(records: Sequence[Record], prompt: str) -> str:
    """A Markdown table with one row per method."""
    rows = [record for record in records if record.prompt == prompt]
    lines = [_line(["method", *HEADINGS.values(), "n"]), _line(["---", *["---:"] * (len(HEADINGS) + 1)])]
    return "\n".join(
        [*lines, *(_line([row.method, *(cell(row.figures[name]) for name in HEADINGS), str(row.n)]) for row in rows)]
    )


def cell(value: float | None) -> str:
    """Three significant digits; a dash for None."""
    return "–" if value is None else f"{value:.3g}" if abs(value) < 100 else f"{value:.0f}"


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"

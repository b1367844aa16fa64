"""The two judges of a bundle. The second one is optional; its figures are null without it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch

from coral_core.bundle.catalog import BUNDLES
from coral_core.bundle.weights import weights_digest
from coral_core.zoo.measure.judge import Judge, load_judge
from coral_core.zoo.measure.second_judge import SecondJudge, load_second_judge

FIRST, SECOND = "judge", "judge2"


@dataclass(frozen=True)
class Judges:
    """The networks that read attribute values from images."""

    first: Judge
    second: SecondJudge | None
    digests: Mapping[str, str]  # by name, of the judges that exist


def load_judges(folder: Path, device: torch.device) -> Judges:
    """The judges in a bundle's folder, else those of the bundle portraits. ValueError without a first judge."""
    files = find_judges(folder)
    if FIRST not in files:
        raise ValueError(f"there is no {FIRST}.safetensors in {folder}; train it with `coral zoo train {FIRST}`")
    first, second = load_judge(files[FIRST]), None
    if SECOND in files:
        second = load_second_judge(files[SECOND]).to(device)
    return Judges(first.to(device), second, {name: weights_digest(path) for name, path in files.items()})


def find_judges(folder: Path) -> dict[str, Path]:
    """Name -> path of each judge. Both come from the same folder, the first one with a first judge."""
    for candidate in (folder, BUNDLES["portraits"]):
        files = {name: candidate / f"{name}.safetensors" for name in (FIRST, SECOND)}
        found = {name: path for name, path in files.items() if path.is_file()}
        if FIRST in found:
            return found
    return {}

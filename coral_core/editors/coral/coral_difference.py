"""The edit of a fitted base method, limited to where it changes the image clearly. Nothing of its own is fitted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import torch

from coral_core.editors.base import Editor, EditProgress, FitScope
from coral_core.editors.limits import UNLIMITED, Limits
from coral_core.types import Edit, Inversion, Prompt

if TYPE_CHECKING:
    from coral_core.bundle.models import Models


@dataclass(frozen=True, kw_only=True)
class DifferenceConfig:
    """Options of a difference region."""

    difference: float = 0.18  # change of the image from which on a pixel belongs to the region, images in [-1,1]

    def __post_init__(self) -> None:
        Limits(difference=self.difference)
        if not self.difference:
            raise ValueError("difference is 0, which is the base method itself; give a positive number")


class CoralDifference(Editor):
    """A base editor whose edits keep the source where they change little (regions/difference.py)."""

    fit_scope: ClassVar[FitScope] = FitScope.BASE

    def __init__(self, models: Models, config: DifferenceConfig, base: Editor) -> None:
        super().__init__(models)
        self.config = config
        self._base = (base,)  # in a tuple, so that it is not in state_dict(): it is an artifact of its own

    @classmethod
    def assemble(cls, config: DifferenceConfig, prompt: Prompt | None, models: Models, base: Editor) -> CoralDifference:
        """An editor for every prompt that the fitted `base` can edit to; `prompt` is not used."""
        return cls(models, config, base)

    def check(self, prompts: Sequence[Prompt]) -> None:
        (base,) = self._base
        base.check(prompts)

    @torch.no_grad()
    def edit(
        self,
        inversion: Inversion,
        prompts: Sequence[Prompt],
        *,
        strength: float = 1.0,
        seed: int = 0,
        limits: Limits = UNLIMITED,
        progress: EditProgress | None = None,
    ) -> Edit:
        """The base's edit at `strength`, where it is clear; `limits.difference` overrides the method's own."""
        (base,) = self._base
        own = limits.or_difference(self.config.difference)
        return base.edit(inversion, prompts, strength=strength, seed=seed, limits=own, progress=progress)

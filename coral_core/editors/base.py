"""What every editing method looks like from outside: fit, then edit. Nothing else branches on a method's name."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from torch import Tensor, nn

from coral_core.editors.limits import UNLIMITED, Limits
from coral_core.fit import FitConfig, FitReport, Progress, fit
from coral_core.stages import Stage
from coral_core.types import Edit, Inversion, Prompt

if TYPE_CHECKING:
    from coral_core.bundle.models import Models


class FitScope(enum.Enum):
    """How far one fitted artifact reaches; this alone decides how many fits a run needs."""

    IMAGE = "image"  # nothing is kept: edit() itself optimises
    PROMPT = "prompt"  # one artifact per (spec, prompt, models)
    DOMAIN = "domain"  # one artifact per (spec, models), any prompt at edit time


class Editor(nn.Module):
    """Moves inverted images towards prompts. Its state_dict() is exactly what fitting learned.

    The frozen networks are reached through self.models, a frozen dataclass and no submodule, so they appear neither in
    state_dict() nor in parameters(); they arrive frozen from load_models and are only checked here, never changed.
    """

    fit_scope: ClassVar[FitScope]

    def __init__(self, models: Models) -> None:
        super().__init__()
        self.models = models
        for name, part in vars(models).items():
            if isinstance(part, nn.Module):
                assert not part.training, f"models.{name} is in training mode; call eval() where it is loaded"
                assert not any(p.requires_grad for p in part.parameters()), f"models.{name} is not frozen"

    def prepare(self, source: Inversion) -> None:
        """Statistics of the training source that belong to the artifact; called once, before the first step."""

    def fit(self, source: Inversion, config: FitConfig, progress: Progress | None = None) -> FitReport:
        """Learn from `source`, in place."""
        return fit(self, source, config, progress)

    def stages(self) -> Sequence[Stage]:
        """The parts of a fit, in order. One for most methods."""
        raise NotImplementedError(f"{type(self).__name__} has no stages: it is not fitted by gradients")

    def losses(self, batch: Inversion, stage: Stage) -> dict[str, Tensor]:
        """Named, weighted, batch-mean terms; their sum is minimised."""
        raise NotImplementedError(f"{type(self).__name__} has no losses: it is not fitted by gradients")

    def check(self, prompts: Sequence[Prompt]) -> None:
        """ValueError for prompts that this editor could edit no image for. What images alone decide, edit() says."""
        check_prompts(prompts, len(prompts))

    def edit(
        self,
        inversion: Inversion,
        prompts: Sequence[Prompt],
        *,
        strength: float = 1.0,
        seed: int = 0,
        limits: Limits = UNLIMITED,
    ) -> Edit:
        """Edit each sample towards its prompt. Samples do not influence each other; strength 0 changes nothing.

        `limits` and the inversion's user masks are obeyed by ending in limits.blend().

        Errors: ValueError unless there is one prompt per sample, this artifact was fitted for each of them, and the
        generator has the layers of `limits`.
        """
        raise NotImplementedError


def check_prompts(prompts: Sequence[Prompt], count: int, takes_reference: bool = False) -> None:
    """ValueError unless there is one prompt per sample and each asks for a change, by a look only where `looks`."""
    if len(prompts) != count:
        raise ValueError(f"{len(prompts)} prompts for {count} samples; give one prompt per sample")
    for prompt in dict.fromkeys(prompts):
        if _as_read(prompt.target) == _as_read(prompt.source):
            raise ValueError(f"{prompt}: target and source say the same, so there is nothing to edit; change one")
        if prompt.look and not takes_reference:
            raise ValueError(f"{prompt.target!r}: this method edits towards texts and cannot follow a reference image")


def _as_read(text: str) -> str:
    """CLIP's tokenizer knows no capital letters and takes any white space for one space."""
    return " ".join(text.lower().split())

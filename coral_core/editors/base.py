"""The interface of every editing method: fit, then edit. No other code depends on the name of a method."""

from __future__ import annotations

import enum
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor, nn

from coral_core.editors.limits import UNLIMITED, Limits, blend
from coral_core.editors.wishes import as_read, check_wishes
from coral_core.fit import FitConfig, FitReport, Progress, fit
from coral_core.stages import Stage
from coral_core.types import Edit, Inversion, Prompt, Styles

if TYPE_CHECKING:
    from coral_core.bundle.models import Models


EditProgress = Callable[[float], None]
"""Called with the share of one call of edit() that is done, from 0 to 1."""


class FitScope(enum.Enum):
    """What one fitted artifact is used for. This alone decides how many fits a run needs."""

    IMAGE = "image"  # no artifact: edit() itself optimises
    BASE = "base"  # no artifact of its own: it uses that of the method it builds upon
    PROMPT = "prompt"  # one artifact per (spec, prompt, models)
    DOMAIN = "domain"  # one artifact per (spec, models), for any prompt


class Editor(nn.Module):
    """Edits inverted images towards prompts. Its state_dict() holds what a fit learned or measured, and nothing else.

    The frozen networks are in self.models, a dataclass and not a submodule, so they are neither in state_dict() nor in
    parameters(). load_models freezes them; here this is only checked.
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
        """Take statistics of the training source that are part of the artifact; called once, before the first step."""

    def fit(self, source: Inversion, config: FitConfig, progress: Progress | None = None) -> FitReport:
        """Learn from `source`, in place. ValueError for a source that is not suitable; RuntimeError as of fit()."""
        return fit(self, source, config, progress)

    def stages(self) -> Sequence[Stage]:
        """The stages of a fit, in order; most methods have one."""
        raise NotImplementedError(f"{type(self).__name__} has no stages: it is not fitted by gradients")

    def losses(self, batch: Inversion, stage: Stage) -> dict[str, Tensor]:
        """Loss terms by name: scalars, weighted, averaged over the batch. Their sum is minimised."""
        raise NotImplementedError(f"{type(self).__name__} has no losses: it is not fitted by gradients")

    def check(self, prompts: Sequence[Prompt]) -> None:
        """ValueError for prompts that this editor cannot edit any image for. edit() has the errors of single images."""
        check_prompts(prompts, len(prompts))

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
        """Edit each sample towards its prompt. Samples do not influence each other; strength 0 changes nothing.

        Every implementation ends with limits.blend(), which applies `limits` and the user masks of the inversion.
        `seed` seeds what is random in the edit, together with the key of the sample. An editor that optimises for each
        image calls `progress` after every step of its optimiser; others end soon and do not call it.

        Errors: ValueError unless there is one prompt per sample, this artifact was fitted for each of them, and the
        generator has the layers of `limits`.
        """
        raise NotImplementedError


class StyleEditor(Editor):
    """An editor for any prompt whose edits are edited styles of the whole image. Other editors can build upon it."""

    takes_reference: ClassVar[bool] = False
    combines_wishes: ClassVar[bool] = False

    def styles(self, inversion: Inversion, prompts: Sequence[Prompt], strength: float = 1.0) -> Styles:
        """The edited styles of each sample for its prompt; at strength 0 those of the inversion."""
        raise NotImplementedError

    def target_embedding(self, inversion: Inversion, prompts: Sequence[Prompt]) -> Tensor:
        """The CLIP embedding that the edited image of each sample should have, if the method computes one. [B,E]"""
        raise NotImplementedError(f"{type(self).__name__} computes no embedding of the edited image")

    def check(self, prompts: Sequence[Prompt]) -> None:
        check_prompts(prompts, len(prompts), self.takes_reference, self.combines_wishes)

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
        """Edit each sample at `strength`. `seed` is not used, because nothing is random."""
        check_prompts(prompts, len(inversion.keys), self.takes_reference, self.combines_wishes)
        return blend(self.styles(inversion, prompts, strength), None, limits, inversion, self.models.generator)


def check_prompts(
    prompts: Sequence[Prompt], count: int, takes_reference: bool = False, combines_wishes: bool = False
) -> None:
    """ValueError unless there is one prompt per sample, and its target and each of its wishes differ from its source.

    Also ValueError for a prompt with a reference image (`look`) unless `takes_reference`, and for one that says its
    wishes unless `combines_wishes`, or if check_wishes() refuses them.
    """
    if len(prompts) != count:
        raise ValueError(f"{len(prompts)} prompts for {count} samples; give one prompt per sample")
    for prompt in dict.fromkeys(prompts):
        if as_read(prompt.target) == as_read(prompt.source):
            raise ValueError(f"{prompt}: target and source say the same, so there is nothing to edit; change one")
        if prompt.look and not takes_reference:
            raise ValueError(f"{prompt.target!r}: this method edits towards texts and cannot follow a reference image")
        if prompt.wishes and not combines_wishes:
            raise ValueError(f"{prompt.target!r}: this method edits towards one text and cannot combine wishes")
        check_wishes(prompt.wishes)
        for wish in prompt.wishes:
            if as_read(wish) == as_read(prompt.source):
                raise ValueError(f"the wish {wish!r} and the source say the same, so it asks for no edit; leave it out")

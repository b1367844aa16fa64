"""Options of the editors that are fitted for one prompt: loss weights, learning rates, and where a fit starts.

The terms are described in prompt_editor.py; a term with weight 0 is not computed.
"""

from __future__ import annotations

from dataclasses import dataclass

from coral_core.editors.latent.slots import LEVELS
from coral_core.editors.limits import Limits

STARTS = ("transport", "regression", "none")
"""Where the search of a latent edit can start."""


@dataclass(frozen=True, kw_only=True)
class PromptConfig:
    """Loss weights of an edit for one prompt."""

    clip: float = 2.0  # hinge of cos(edited image, target text) below clip_enough
    clip_enough: float = 0.3  # cosine of an image and a text that is true of it; 1: no bound
    directional: float = 3.0  # hinge of cos(edited - original image, target - source text) below directional_enough
    directional_enough: float = 0.5  # cosine of the exact right change; 1: no bound
    embedding: float = 0.0  # 1 - cos of the edited image's CLIP embedding and that which transport computes for it
    identity: float = 0.1  # 1 - cos of the identity embeddings of edited and original image

    def __post_init__(self) -> None:
        enough = {"clip_enough": self.clip_enough, "directional_enough": self.directional_enough}
        out_of_range = [f"{name} = {value}" for name, value in enough.items() if not -1 <= value <= 1]
        if out_of_range:
            raise ValueError(f"a cosine lies between -1 and 1: {', '.join(out_of_range)}")
        wrong = [f"{name} = {value}" for name, value in {**self.weights(), **self.rates()}.items() if value < 0]
        if wrong:
            raise ValueError(f"weights and learning rates cannot be negative: {', '.join(wrong)}")
        if not any(self.weights().values()):
            raise ValueError(f"all weights are zero; give one of {', '.join(self.weights())}")

    def weights(self) -> dict[str, float]:
        """Weights by the name of the term in TERMS, for the terms of this method."""
        names = ("clip", "directional", "embedding", "identity")
        return {name: getattr(self, name) for name in names}

    def rates(self) -> dict[str, float]:
        """Adam's learning rate by the name of the slot (a submodule), for the slots that learn."""
        return {}


@dataclass(frozen=True, kw_only=True)
class RegionConfig(PromptConfig):
    """Options of an edit with learned regions."""

    area: float = 1.2  # mean of the masks over pixels and layers
    unneeded: float = 0.0  # masked fraction in which the whole edit changes nothing (losses.unneeded_area)
    complete: float = 0.0  # what the blended image lacks of the whole edit where that is clear (losses.missing_change)
    total_variation: float = 0.1  # mean squared difference of neighbouring mask pixels
    keep: float = 2.0  # mean of (1 - mask) * absolute change of the blended image, images in [-1,1]
    region_rate: float = 0.01  # Adam's learning rate of the region
    close_layers: float = 0.0  # layers whose mask covers less than this share of the largest are shut after the fit
    difference: float = 0.0  # edits: masks are saturated, and kept where the image changes by more; 0: as learned

    def __post_init__(self) -> None:
        super().__post_init__()
        Limits(difference=self.difference)
        if not 0 <= self.close_layers <= 1:
            raise ValueError(f"close_layers is {self.close_layers}; give a share from 0, which shuts none, to 1")

    def weights(self) -> dict[str, float]:
        names = ("area", "unneeded", "complete", "total_variation", "keep")
        return {**super().weights(), **{name: getattr(self, name) for name in names}}

    def rates(self) -> dict[str, float]:
        return {**super().rates(), "region": self.region_rate}


@dataclass(frozen=True, kw_only=True)
class LatentConfig(PromptConfig):
    """Options of a latent edit: where it starts, what it may change, and how fast it learns."""

    start: str = "transport"  # at its edit of each sample; regression: at one direction for all; none: at w
    l2: float = 1.0  # mean square of the edit, in standard deviations of w, from the start
    levels: tuple[str, ...] = tuple(LEVELS)  # levels of W+ that may change: coarse, medium, fine
    latent_rate: float = 0.08  # Adam's learning rate of the latent edit; a mapper's layers scale it by 0.01

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.levels or not set(self.levels) <= set(LEVELS):
            raise ValueError(f"levels is {list(self.levels)}; give one or more of {', '.join(LEVELS)}")
        if self.start not in STARTS:
            raise ValueError(f"start is {self.start!r}; give one of {', '.join(STARTS)}")
        if self.embedding and self.start != "transport":
            raise ValueError(
                f"embedding is {self.embedding}, but only an edit that starts at transport has a target embedding; "
                "give embedding: 0, and weights for clip and directional"
            )

    def weights(self) -> dict[str, float]:
        return {**super().weights(), "l2": self.l2}

    def rates(self) -> dict[str, float]:
        return {**super().rates(), "latent": self.latent_rate}


@dataclass(frozen=True, kw_only=True)
class CoralConfig(RegionConfig, LatentConfig):
    """Options of a latent edit with learned regions."""

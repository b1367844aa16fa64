"""StyleCLIP's global directions: a text becomes a direction in style space by the relevance of each channel in CLIP.

Paper: arXiv 2103.17249, section 6. With the relevance of every channel (channel_relevance.py), once per bundle,
    r = relevance @ normalise(t(target) - t(source)); r_c = 0 where |r_c| < beta; r = r / max|r|
    s' = s + strength * alpha * r * sigma
where t(x) is the normalised mean over templates of the text embeddings, and sigma the standard deviation of a channel.

Deviations and why:
- Relevance is measured over samples by default, and toRGB channels change as well. The published method, one channel at
  a time and convolutions only, is `relevance: channels, to_rgb: false`; it cannot recolour where the colours of a
  generator are in its toRGBs, as in a small one.
- alpha and beta of 0 are chosen per prompt: the pair of a grid with the least mean of clip + directional + identity
  distance (losses.py, equal weights) over CALIBRATION latents that are stored in the artifact. Published: by hand.
- A selection without channels is an error; published: a division by zero and a black image.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from coral_core import losses
from coral_core.editors.base import Editor, EditProgress, FitScope, check_prompts
from coral_core.editors.limits import UNLIMITED, Limits, blend
from coral_core.editors.styleclip.channel_relevance import RELEVANCE, RelevanceInputs
from coral_core.fit import FitConfig, FitReport, Progress
from coral_core.types import Edit, Inversion, Prompt, Styles

if TYPE_CHECKING:
    from coral_core.bundle.models import Models

CALIBRATION = 16
"""Number of latents on which alpha and beta are chosen."""
ALPHAS = (2.0, 3.0, 4.0, 5.0, 6.0, 8.0)
KEPT_SHARES = (1 / 32, 1 / 8, 1 / 2, 1.0)
"""The grid of alpha and beta; beta is given by the share of the channels that it keeps."""
MIN_TEXT_DISTANCE = 1e-4
"""Two texts whose embeddings are nearer than this are the same for CLIP."""


@dataclass(frozen=True, kw_only=True)
class DirectionsConfig:
    """Options of relevance, and of the edits that use it."""

    alpha: float = 0.0  # length of an edit, in standard deviations of its most relevant channel; 0: chosen per prompt
    beta: float = 0.0  # least relevance of a channel that changes; 0: chosen per prompt
    templates: tuple[str, ...] = ("{}",)  # sentences around a text, for a CLIP trained on short captions of photos
    to_rgb: bool = True  # whether the channels of toRGB layers change as well
    relevance: str = "samples"  # by regression over samples, or "channels": by changing single ones, as published
    images: int = 12  # number of images in which single channels are changed

    def __post_init__(self) -> None:
        if self.relevance not in RELEVANCE:
            raise ValueError(f"relevance is {self.relevance!r}; choose one of {', '.join(RELEVANCE)}")
        if self.alpha < 0 or self.beta < 0:
            raise ValueError(
                f"alpha is {self.alpha}, beta is {self.beta}; give numbers above 0, or 0 to have them chosen per prompt"
            )
        if self.images < 1:
            raise ValueError(f"images is {self.images}; give 1 or more")
        wrong = [template for template in self.templates if template.count("{}") != 1]
        if wrong or not self.templates:
            raise ValueError(
                f"templates is {list(self.templates)}; give sentences with one {{}} each, where the text goes"
            )

    def sentences(self, text: str) -> list[str]:
        """A text in every template."""
        return [template.replace("{}", text) for template in self.templates]


class StyleDirections(Editor):
    """Stores the relevance of every style channel, and changes the channels that are relevant for a text."""

    fit_scope: ClassVar[FitScope] = FitScope.DOMAIN
    std_C: Tensor
    relevance_CE: Tensor
    calibration_KLD: Tensor

    def __init__(self, models: Models, config: DirectionsConfig) -> None:
        super().__init__(models)
        self.config = config
        generator = models.generator
        self.widths = [width for width, _ in style_layers(models)]
        channels = sum(self.widths)
        self.register_buffer("std_C", torch.zeros(channels))
        self.register_buffer("relevance_CE", torch.zeros(channels, models.clip.width))
        self.register_buffer("calibration_KLD", torch.zeros(CALIBRATION, generator.num_ws, generator.w_dim))
        self._offsets: dict[Prompt, Tensor] = {}

    @classmethod
    def assemble(cls, config: DirectionsConfig, prompt: Prompt | None, models: Models) -> StyleDirections:
        """An editor for any prompt; `prompt` is not used."""
        return cls(models, config)

    @torch.no_grad()
    def fit(self, source: Inversion, config: FitConfig, progress: Progress | None = None) -> FitReport:
        """Measure the relevance of the channels on `source`; only the precision of `config` is used.

        Errors: ValueError for fewer than two samples.
        """
        started, count = time.perf_counter(), len(source.keys)
        if count < 2:
            raise ValueError(f"a fit needs the spread of its source; {count} sample has none, give hundreds")
        styles_NC = torch.cat(self.models.generator.styles(source.ws_BLD), dim=1).float()
        std_C, mean_C = torch.std_mean(styles_NC, 0, correction=0)
        inputs = RelevanceInputs(self.models, source, mean_C, std_C, config, self.config.images, progress)
        self.std_C.copy_(std_C)
        self.relevance_CE.copy_(RELEVANCE[self.config.relevance](inputs))
        self.calibration_KLD.copy_(source.ws_BLD[torch.arange(CALIBRATION, device=source.ws_BLD.device) % count])
        self._offsets.clear()
        return FitReport(steps=0, seconds=time.perf_counter() - started, losses={})

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
        """Shift each sample's styles, times `strength`. `seed` is not used, because nothing is random."""
        check_prompts(prompts, len(inversion.keys))
        offset_BC = torch.stack([self.style_offset(prompt) for prompt in prompts])
        return blend(
            self._shifted(inversion.ws_BLD, strength * offset_BC), None, limits, inversion, self.models.generator
        )

    def check(self, prompts: Sequence[Prompt]) -> None:
        super().check(prompts)
        for prompt in prompts:
            self.style_offset(prompt)

    @torch.no_grad()
    def style_offset(self, prompt: Prompt) -> Tensor:
        """alpha * r * sigma of a prompt, [C]; computed once and cached. ValueError when no channel would change."""
        if prompt not in self._offsets:
            self._offsets[prompt] = self._choose_offset(prompt)
        return self._offsets[prompt]

    def text_direction(self, prompt: Prompt) -> Tensor:
        """normalise(t(target) - t(source)), [E]. ValueError when both texts are the same for CLIP."""
        target_E, source_E = (self._text(text) for text in (prompt.target, prompt.source))
        difference_E = target_E - source_E
        if difference_E.norm() < MIN_TEXT_DISTANCE:
            raise ValueError(f"{prompt}: target and source read the same to CLIP; say in the target what is to change")
        return F.normalize(difference_E, dim=0)

    def relevance_to(self, prompt: Prompt) -> Tensor:
        """The relevance r of each channel to a prompt, before the threshold. [C]"""
        relevance_C = self.relevance_CE @ self.text_direction(prompt)
        if self.config.to_rgb:
            return relevance_C
        return relevance_C * torch.cat(
            [relevance_C.new_full((width,), not is_rgb) for width, is_rgb in style_layers(self.models)]
        )

    def _text(self, text: str) -> Tensor:
        return F.normalize(self.models.clip.text(self.config.sentences(text)).float().mean(0), dim=0).to(
            self.std_C.device
        )

    def _choose_offset(self, prompt: Prompt) -> Tensor:
        """The offset with the least loss on the calibration latents, over all allowed pairs of alpha and beta."""
        relevance_C = self.relevance_to(prompt)
        alphas = (self.config.alpha,) if self.config.alpha else ALPHAS
        betas = (self.config.beta,) if self.config.beta else betas_by_share(relevance_C)
        directions = [select_channels(relevance_C, beta, prompt) * self.std_C for beta in betas]
        offsets = [alpha * direction_C for direction_C in directions for alpha in alphas]
        if len(offsets) == 1:
            return offsets[0]
        source_BCHW = self._render(self.calibration_KLD, torch.zeros_like(offsets[0]))
        found = torch.stack([self._loss(source_BCHW, offset_C, prompt) for offset_C in offsets])
        return offsets[int(found.argmin())]

    def _loss(self, source_BCHW: Tensor, offset_C: Tensor, prompt: Prompt) -> Tensor:
        """The loss by which alpha and beta are chosen. A scalar."""
        clip, identity = self.models.clip, self.models.identity
        image_BCHW = self._render(self.calibration_KLD, offset_C)
        image_BE, source_BE = clip.image(image_BCHW), clip.image(source_BCHW)
        loss_B = (
            losses.clip_distance(image_BE, self._text(prompt.target)[None])
            + losses.clip_directional(image_BE, source_BE, self.text_direction(prompt)[None])
            + losses.identity_distance(identity(image_BCHW), identity(source_BCHW))
        )
        return loss_B.mean()

    def _render(self, ws_BLD: Tensor, offset_BC: Tensor) -> Tensor:
        """The image of the shifted styles."""
        return self.models.generator.render(self._shifted(ws_BLD, offset_BC)).clamp(-1, 1)

    def _shifted(self, ws_BLD: Tensor, offset_BC: Tensor) -> Styles:
        offsets = offset_BC.expand(len(ws_BLD), -1).split(self.widths, dim=1)
        styles = self.models.generator.styles(ws_BLD)
        return tuple(style_BC + part_BC for style_BC, part_BC in zip(styles, offsets, strict=True))


def style_layers(models: Models) -> list[tuple[int, bool]]:
    """(channels, whether it is a toRGB) of every layer that has a style, in synthesis order."""
    found: list[tuple[int, bool]] = []
    channels = models.generator.config.channels
    for block, count in enumerate(channels):
        convs = [count] if block == 0 else [channels[block - 1], count]
        found += [*((width, False) for width in convs), (count, True)]
    return found


def betas_by_share(relevance_C: Tensor) -> tuple[float, ...]:
    """For each of KEPT_SHARES, the beta that keeps this share of the channels whose relevance is not zero."""
    ordered = relevance_C[relevance_C != 0].abs().sort(descending=True).values.tolist()
    counts = (max(1, round(share * len(ordered))) for share in KEPT_SHARES)
    return tuple(dict.fromkeys(ordered[count - 1] for count in counts)) if ordered else (0.0,)


def select_channels(relevance_C: Tensor, beta: float, prompt: Prompt) -> Tensor:
    """r with values below beta set to zero, scaled so that the largest is 1. ValueError when no channel is kept."""
    kept_C = torch.where(relevance_C.abs() >= beta, relevance_C, 0.0)
    most = relevance_C.abs().max()
    if not kept_C.any():
        raise ValueError(
            f"{prompt}: beta {beta:g} keeps no channel, the most relevant one has {most:.3g}; "
            "give a smaller beta, 0 to have it chosen, or a prompt that differs more from its source"
        )
    return kept_C / most

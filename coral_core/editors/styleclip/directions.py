"""StyleCLIP's global directions: a text becomes a direction in style space by what each channel does to CLIP.

Paper: arXiv 2103.17249, section 6. With the relevance of every channel (relevance.py), once per generator and CLIP,
    r = relevance @ normalise(t(target) - t(source)); r_c = 0 where |r_c| < beta; r = r / max|r|
    s' = s + strength * alpha * r * sigma
where t(x) is the normalised mean over templates of the text embeddings, and sigma the standard deviation of a channel.

Deviations and why:
- Relevance is measured over samples by default, and toRGB channels move as well. The published way, one channel at a
  time and convolutions alone, is `relevance: channels, to_rgb: false`; where a generator keeps its colours in its
  toRGBs, as a small one does, it cannot recolour.
- alpha and beta of 0 are chosen per prompt: of a grid, what makes clip + directional + identity distance (losses.py,
  equal weights) smallest in the mean over CALIBRATION latents that the artifact holds. Published: by hand.
- A selection that is empty is an error; published: a division by zero and a black image.
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
from coral_core.editors.base import Editor, FitScope, check_prompts
from coral_core.editors.limits import UNLIMITED, Limits, blend
from coral_core.editors.styleclip.channel_relevance import RELEVANCE, Measuring
from coral_core.fit import FitConfig, FitReport, Progress
from coral_core.types import Edit, Inversion, Prompt, Styles

if TYPE_CHECKING:
    from coral_core.bundle.models import Models

CALIBRATION = 16
"""Latents on which alpha and beta are chosen."""
ALPHAS = (2.0, 3.0, 4.0, 5.0, 6.0, 8.0)
SHARES = (1 / 32, 1 / 8, 1 / 2, 1.0)
"""The grid they are chosen from; beta by the share of the channels that it keeps."""
SAME_TEXT = 1e-4
"""Two texts whose embeddings are nearer than this read the same to CLIP."""


@dataclass(frozen=True, kw_only=True)
class DirectionsConfig:
    """How relevance is measured, and how much of it an edit uses."""

    alpha: float = 0.0  # length of an edit, in standard deviations of its most relevant channel; 0: chosen per prompt
    beta: float = 0.0  # relevance from which a channel moves; 0: chosen per prompt
    templates: tuple[str, ...] = ("{}",)  # sentences around a text, for a CLIP trained on short captions of photos
    to_rgb: bool = True  # whether the channels of toRGB layers move as well
    relevance: str = "samples"  # over samples, or as published by moving single channels
    images: int = 12  # images in which single channels are moved

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
    """Knows what every style channel does, and moves those that a text asks for."""

    fit_scope: ClassVar[FitScope] = FitScope.DOMAIN
    std_C: Tensor
    relevance_CE: Tensor
    calibration_KLD: Tensor

    def __init__(self, models: Models, config: DirectionsConfig) -> None:
        super().__init__(models)
        self.config = config
        generator = models.generator
        self.widths = [width for width, _ in entries(models)]
        channels = sum(self.widths)
        self.register_buffer("std_C", torch.zeros(channels))
        self.register_buffer("relevance_CE", torch.zeros(channels, models.clip.width))
        self.register_buffer("calibration_KLD", torch.zeros(CALIBRATION, generator.num_ws, generator.w_dim))
        self._moves: dict[Prompt, Tensor] = {}

    @classmethod
    def assemble(cls, config: DirectionsConfig, prompt: Prompt | None, models: Models) -> StyleDirections:
        """For any prompt."""
        return cls(models, config)

    @torch.no_grad()
    def fit(self, source: Inversion, config: FitConfig, progress: Progress | None = None) -> FitReport:
        """Measure the channels on `source`; of `config`, a statistic needs the precision alone."""
        started, count = time.perf_counter(), len(source.keys)
        if count < 2:
            raise ValueError(f"a fit needs the spread of its source; {count} sample has none, give hundreds")
        styles_NC = torch.cat(self.models.generator.styles(source.ws_BLD), dim=1).float()
        std_C, mean_C = torch.std_mean(styles_NC, 0, correction=0)
        measuring = Measuring(self.models, source, mean_C, std_C, config, self.config.images, progress)
        self.std_C.copy_(std_C)
        self.relevance_CE.copy_(RELEVANCE[self.config.relevance](measuring))
        self.calibration_KLD.copy_(source.ws_BLD[torch.arange(CALIBRATION, device=source.ws_BLD.device) % count])
        self._moves.clear()
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
    ) -> Edit:
        """Move each sample's styles at `strength`. `seed` is unused: nothing here is drawn."""
        check_prompts(prompts, len(inversion.keys))
        move_BC = torch.stack([self.move(prompt) for prompt in prompts])
        return blend(self._moved(inversion.ws_BLD, strength * move_BC), None, limits, inversion, self.models.generator)

    def check(self, prompts: Sequence[Prompt]) -> None:
        super().check(prompts)
        for prompt in prompts:
            self.move(prompt)

    @torch.no_grad()
    def move(self, prompt: Prompt) -> Tensor:
        """alpha * r * sigma of a prompt, [C]; chosen once and kept. Errors: ValueError when nothing would move."""
        if prompt not in self._moves:
            self._moves[prompt] = self._choose(prompt)
        return self._moves[prompt]

    def text_direction(self, prompt: Prompt) -> Tensor:
        """normalise(t(target) - t(source)), [E]."""
        target_E, source_E = (self._text(text) for text in (prompt.target, prompt.source))
        difference_E = target_E - source_E
        if difference_E.norm() < SAME_TEXT:
            raise ValueError(f"{prompt}: target and source read the same to CLIP; say in the target what is to change")
        return F.normalize(difference_E, dim=0)

    def ratings(self, prompt: Prompt) -> Tensor:
        """r before any threshold, [C]."""
        rating_C = self.relevance_CE @ self.text_direction(prompt)
        if self.config.to_rgb:
            return rating_C
        return rating_C * torch.cat([rating_C.new_full((width,), not is_rgb) for width, is_rgb in entries(self.models)])

    def _text(self, text: str) -> Tensor:
        return F.normalize(self.models.clip.text(self.config.sentences(text)).float().mean(0), dim=0).to(
            self.std_C.device
        )

    def _choose(self, prompt: Prompt) -> Tensor:
        """The move of the least loss on the calibration latents; the only one where alpha and beta are given."""
        rating_C = self.ratings(prompt)
        alphas = (self.config.alpha,) if self.config.alpha else ALPHAS
        betas = (self.config.beta,) if self.config.beta else shares(rating_C)
        units = [selected(rating_C, beta, prompt) * self.std_C for beta in betas]
        moves = [alpha * unit_C for unit_C in units for alpha in alphas]
        if len(moves) == 1:
            return moves[0]
        source_BCHW = self._render(self.calibration_KLD, torch.zeros_like(moves[0]))
        found = torch.stack([self._loss(source_BCHW, move_C, prompt) for move_C in moves])
        return moves[int(found.argmin())]

    def _loss(self, source_BCHW: Tensor, move_C: Tensor, prompt: Prompt) -> Tensor:
        """What alpha and beta are chosen by."""
        clip, identity = self.models.clip, self.models.identity
        image_BCHW = self._render(self.calibration_KLD, move_C)
        image_BE, source_BE = clip.image(image_BCHW), clip.image(source_BCHW)
        loss_B = (
            losses.clip_distance(image_BE, self._text(prompt.target)[None])
            + losses.clip_directional(image_BE, source_BE, self.text_direction(prompt)[None])
            + losses.identity_distance(identity(image_BCHW), identity(source_BCHW))
        )
        return loss_B.mean()

    def _render(self, ws_BLD: Tensor, move_BC: Tensor) -> Tensor:
        """The image of the moved styles."""
        return self.models.generator.render(self._moved(ws_BLD, move_BC)).clamp(-1, 1)

    def _moved(self, ws_BLD: Tensor, move_BC: Tensor) -> Styles:
        moves = move_BC.expand(len(ws_BLD), -1).split(self.widths, dim=1)
        styles = self.models.generator.styles(ws_BLD)
        return tuple(style_BC + part_BC for style_BC, part_BC in zip(styles, moves, strict=True))


def entries(models: Models) -> list[tuple[int, bool]]:
    """(channels, whether it is a toRGB) of every entry of the styles, in synthesis order."""
    found: list[tuple[int, bool]] = []
    channels = models.generator.config.channels
    for block, count in enumerate(channels):
        convs = [count] if block == 0 else [channels[block - 1], count]
        found += [*((width, False) for width in convs), (count, True)]
    return found


def shares(rating_C: Tensor) -> tuple[float, ...]:
    """The betas that keep each of SHARES of the channels that have a rating at all."""
    ordered = rating_C[rating_C != 0].abs().sort(descending=True).values.tolist()
    counts = (max(1, round(share * len(ordered))) for share in SHARES)
    return tuple(dict.fromkeys(ordered[count - 1] for count in counts)) if ordered else (0.0,)


def selected(rating_C: Tensor, beta: float, prompt: Prompt) -> Tensor:
    """r with what lies below beta set to zero, and the largest scaled to one."""
    kept_C = torch.where(rating_C.abs() >= beta, rating_C, 0.0)
    most = rating_C.abs().max()
    if not kept_C.any():
        raise ValueError(
            f"{prompt}: beta {beta:g} keeps no channel, the most relevant one has {most:.3g}; "
            "give a smaller beta, 0 to have it chosen, or a prompt that differs more from its source"
        )
    return kept_C / most

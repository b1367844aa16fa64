"""CLIPInverter: one text-conditioned residual in the encoder and one in the generator, for any sentence at once.

Paper: arXiv 2307.08397. With taps c of the encoder E, its style heads H and a text embedding t:
    w^ = w + 0.1 H(adapter(c, t)),   image = G(styles(w^), blended with those of remapper(t)).
Trained in two stages on captioned images x; y is the edit of x to the caption of another one. The adapter learns on
    L = edit(x -> y) + cycle * edit(y -> x),
    edit = directional * L_dir + clip * L_clip + identity * L_id + perceptual * L_lpips + l2 * L_2 + norm * |w^ - w_0|,
w_0 the average latent, the cycle going back with a caption of x. Then the remapper alone, with weights of its own, its
image also held close to the one without remapping. One edit in four goes to a caption of x itself and has no L_dir.

Deviations and why:
- Terms are means over entries (losses.py); the published norm, a Frobenius norm, is a root mean square here.
- Edits are compared with the inversion of x and not with x: what the inversion lacks is not for an edit to repair.
- L_dir starts from a neutral text, or the mean of all captions, instead of a caption of x. Captions mention few facts;
  with one as the start, all that it says and the target does not is asked to go away. `own_captions` is as published.
- The residual has a second summand, guess * B^T (t - t_neutral), with B the regression of w on CLIP embeddings over the
  training images (guess.py). It takes most edits a good part of the way before anything is learned; from nothing, the
  adapter needs ten thousands of steps. guess = 0 is as published.
- L_clip, and the bound of what both CLIP terms reward, are not in the paper (coral.py says why they are needed).
- Text embeddings are standardised over the captions. Published ones are raw, of length ten; those of our CLIP space
  have length one, and sentences of one domain lie close together in it.
- The encoder that sees y takes no gradient, as published; images are not mirrored. Adam for Ranger, as in fit.py.
- `adversarial`: the paper ablates "cyclic adversarial training", the released code has no discriminator. Ours judges w^
  against the w of encoded images, learns in the same step by a reversed gradient, and is thrown away (critic.py).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor

from coral_core import losses
from coral_core.editors.base import Editor, FitScope, check_prompts
from coral_core.editors.clipinverter.captions import Captions
from coral_core.editors.clipinverter.latent_discriminator import LatentDiscriminator
from coral_core.editors.clipinverter.training_pairs import TrainingPair, TrainingPairs
from coral_core.editors.latent.text_regression import LatentGuess
from coral_core.editors.limits import UNLIMITED, Limits, blend
from coral_core.editors.source_cache import SourceRows
from coral_core.inversion import take
from coral_core.nets.text_adapter import ClipAdapter, ClipRemapper
from coral_core.stages import ParameterGroup, Stage
from coral_core.types import Edit, Inversion, Prompt, Styles

if TYPE_CHECKING:
    from coral_core.bundle.models import Models

KEPT = 0.35
"""Weight of the distance to the image without remapping, against that to the source."""
REMAPPER_SHARE = 0.1
"""Steps of the second stage, for one of the first."""
BATCH = 256
"""Images embedded at a time."""


@dataclass(frozen=True, kw_only=True)
class ClipInverterConfig:
    """Loss weights of both stages, and how strong both residuals are at strength 1."""

    directional: float = 4.0  # 1 - cos(edit - source image, target - neutral text), up to directional_enough
    directional_enough: float = 0.5  # cosine of the exact right change; 1 rewards everything
    clip: float = 3.0  # 1 - cos(edit, target text), up to clip_enough
    clip_enough: float = 0.3  # cosine of an image and a text that is true of it; 1 rewards everything
    identity: float = 0.1  # 1 - cos of identity embeddings
    perceptual: float = 0.3  # distance of deep features
    l2: float = 1.0  # mean square of pixels, images in [-1,1]
    norm: float = 0.1  # root mean square of w^ - w_avg
    cycle: float = 1.0  # the way back
    adversarial: float = 0.0  # w^ has to pass for the w of an image
    neutral: str = ""  # text that says nothing, which directions start from; empty: the mean of all captions
    own_captions: bool = False  # the directions that are learned start from a caption of the image instead
    scale: float = 0.1  # of the style heads' answer to adapted taps
    guess: float = 1.75  # how far the regression of w on CLIP is followed, before anything is learned
    remapper_clip: float = 0.5  # of both CLIP terms in the second stage, times their weights in the first
    remapper_identity: float = 0.15
    remapper_perceptual: float = 0.3
    remapper_l2: float = 0.3
    adapter_rate: float = 2e-3  # Adam's learning rates
    remapper_rate: float = 1e-3
    residual: float = 1.1  # strength of all that moves w^ in an edit
    remapping: float = 1.0  # strength of the remapper in an edit

    def __post_init__(self) -> None:
        wrong = [f"{name} = {value}" for name, value in vars(self).items() if not isinstance(value, str) and value < 0]
        if wrong:
            raise ValueError(f"weights, rates and strengths cannot be negative: {', '.join(wrong)}")


class Shared:
    """What all texts share of the last taps that were asked for, with the adapter as it was then."""

    def __init__(self) -> None:
        self._taps: Sequence[Tensor] = ()
        self._versions: list[int] = []
        self._found: tuple[Tensor, ...] = ()

    def normalised(self, adapter: ClipAdapter, taps: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """The adapter's; computed once for all calls with these very taps."""
        versions = [parameter._version for parameter in adapter.parameters()]  # counts every change in place
        if taps is not self._taps or versions != self._versions:
            self._taps, self._versions, self._found = taps, versions, adapter.normalised(taps)
        return self._found


class ClipInverter(Editor):
    """Adapter and remapper on one bundle; edits any image to any text."""

    fit_scope: ClassVar[FitScope] = FitScope.DOMAIN
    text_mean_E: Tensor
    text_std_E: Tensor
    image_mean_E: Tensor
    image_std_E: Tensor
    neutral_E: Tensor
    slope_ED: Tensor

    def __init__(self, models: Models, config: ClipInverterConfig) -> None:
        super().__init__(models)
        self.config = config
        generator, width = models.generator, models.clip.width
        self.adapter = ClipAdapter(models.encoder.tap_channels, width)
        self.remapper = ClipRemapper(generator.num_ws, generator.w_dim, width)
        for name in ("text", "image"):
            self.register_buffer(f"{name}_mean_E", torch.zeros(width))
            self.register_buffer(f"{name}_std_E", torch.ones(width))
        self.register_buffer("neutral_E", torch.zeros(width))
        self.register_buffer("slope_ED", torch.zeros(width, generator.w_dim))
        self._shared = Shared()

    @classmethod
    def assemble(cls, config: ClipInverterConfig, prompt: Prompt | None, models: Models) -> ClipInverter:
        """For any prompt."""
        return cls(models, config)

    @torch.no_grad()
    def prepare(self, source: Inversion) -> None:
        """Embed all captions and images once, and measure how they lie in CLIP space."""
        if len(source.keys) < 2:
            raise ValueError(f"a fit needs the spread of its source; {len(source.keys)} sample has none, give hundreds")
        if not source.captions or not all(source.captions):
            raise ValueError("CLIPInverter learns from captions: fit it on captioned images, each with one or more")
        clip = self.models.clip
        captions, source_clip = Captions.of(clip, source.captions), SourceRows.image(clip.image)
        parts = [take(source, slice(i, i + BATCH)) for i in range(0, len(source.keys), BATCH)]
        images_NE = torch.cat([source_clip(part) for part in parts])
        for name, found_NE in (("text", captions.embedding_NE), ("image", images_NE)):
            std_E, mean_E = torch.std_mean(found_NE, 0, correction=0)
            getattr(self, f"{name}_mean_E").copy_(mean_E)
            getattr(self, f"{name}_std_E").copy_(torch.where(std_E > 1e-6, std_E, 1.0))
        neutral = self.config.neutral
        self.neutral_E.copy_(clip.text([neutral])[0] if neutral else self.text_mean_E)
        start_E = None if self.config.own_captions else self.neutral_E
        self._pairs = TrainingPairs(self.models, captions, source_clip, SourceRows.image(self.models.identity), start_E)
        guess = LatentGuess.of(source.ws_BLD.mean(1), images_NE)
        self.slope_ED.copy_(guess.slope_ED * guess.unit_D)
        self._discriminator: tuple[LatentDiscriminator, ...] = ()  # in a tuple: no part of what is kept
        if self.config.adversarial:
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(0)
                self._discriminator = (LatentDiscriminator(source.ws_BLD[0].numel()).to(source.ws_BLD),)

    def stages(self) -> Sequence[Stage]:
        """The remapper takes a tenth of the adapter's steps, as published."""
        rate = self.config.adapter_rate
        groups = [ParameterGroup(tuple(self.adapter.parameters()), rate)]
        groups += [ParameterGroup(tuple(each.parameters()), rate) for each in self._discriminator]
        remapper = ParameterGroup(tuple(self.remapper.parameters()), self.config.remapper_rate)
        return (Stage("adapter", tuple(groups)), Stage("remapper", (remapper,), REMAPPER_SHARE))

    def losses(self, batch: Inversion, stage: Stage) -> dict[str, Tensor]:
        pair = self._pairs.forward(batch)
        if stage.name == "remapper":
            return self._remapper_losses(pair)
        image_BCHW, terms = self._adapter_losses(pair)
        if self.config.cycle:
            _, again = self._adapter_losses(self._pairs.cycle(image_BCHW.detach(), pair))
            terms |= {f"cycle_{name}": self.config.cycle * term for name, term in again.items()}
        return terms

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
        """Edit each sample at `strength`. `seed` is unused: nothing here is drawn."""
        check_prompts(prompts, len(inversion.keys), takes_reference=True)
        return blend(self.styles(inversion, prompts, strength), None, limits, inversion, self.models.generator)

    @torch.no_grad()
    def styles(self, inversion: Inversion, prompts: Sequence[Prompt], strength: float = 1.0) -> Styles:
        """The edited styles; of the inversion's taps what all texts share is computed once for all calls with it."""
        taps = inversion.taps or self.models.encoder.body(inversion.image_BCHW)
        text_BE = torch.stack([self._wanted(prompt) for prompt in prompts])
        ws_BLD = inversion.ws_BLD + strength * self.config.residual * self._residual(
            self._shared.normalised(self.adapter, taps), text_BE
        )
        return self._remapped(ws_BLD, text_BE, strength * self.config.remapping)

    def check(self, prompts: Sequence[Prompt]) -> None:
        check_prompts(prompts, len(prompts), takes_reference=True)
        for prompt in prompts:
            self._wanted(prompt)

    def _wanted(self, prompt: Prompt) -> Tensor:
        """The embedding to edit towards. [E] A look is moved to where the text would be that says as much."""
        if not prompt.look:
            return self.models.clip.text([prompt.target])[0]
        if len(prompt.look) != self.models.clip.width:
            raise ValueError(
                f"a look of {len(prompt.look)} numbers; this CLIP's embeddings have {self.models.clip.width}"
            )
        look_E = torch.tensor(prompt.look).to(self.image_mean_E)
        return self.text_mean_E + (look_E - self.image_mean_E) / self.image_std_E * self.text_std_E

    def _standard(self, text_BE: Tensor) -> Tensor:
        return (text_BE - self.text_mean_E) / self.text_std_E

    def _residual(self, normalised: Sequence[Tensor], text_BE: Tensor) -> Tensor:
        """w^ - w. [B,L,D]"""
        base_B1D, offsets_BLD = self.models.encoder.heads(self.adapter(normalised, self._standard(text_BE)))
        guess_BD = (text_BE - self.neutral_E) @ self.slope_ED
        return self.config.scale * (base_B1D + offsets_BLD) + self.config.guess * guess_BD[:, None]

    def _remapped(self, ws_BLD: Tensor, text_BE: Tensor, strength: float = 1.0) -> Styles:
        """Styles are affine in w, so that blending them is blending latents, layer by layer."""
        generator = self.models.generator
        plain = generator.styles(ws_BLD)
        texts = generator.styles(self.remapper(self._standard(text_BE)))
        shares = dict(zip(generator.conv_sites, strength * self.remapper.shares(), strict=True))
        return tuple(
            torch.lerp(style_BC, texts[site], shares[site]) if site in shares else style_BC
            for site, style_BC in enumerate(plain)
        )

    def _adapter_losses(self, pair: TrainingPair) -> tuple[Tensor, dict[str, Tensor]]:
        """The edit without remapping, and what is wrong with it."""
        config, generator = self.config, self.models.generator
        ws_BLD = pair.ws_BLD + self._residual(self.adapter.normalised(pair.taps), pair.target_BE)
        image_BCHW = generator.render(generator.styles(ws_BLD)).clamp(-1, 1)
        terms = {
            **self._clip_terms(image_BCHW, pair),
            "identity": config.identity * self._identity(image_BCHW, pair),
            "perceptual": config.perceptual * self._perceptual(image_BCHW, pair.source_BCHW),
            "l2": config.l2 * losses.pixel_l2(image_BCHW, pair.source_BCHW),
            "norm": config.norm * losses.latent_l2(ws_BLD - generator.w_avg).sqrt(),
        }
        for discriminator in self._discriminator:
            terms["adversarial"] = config.adversarial * discriminator(pair.ws_BLD, ws_BLD)
        return image_BCHW, {name: term.mean() for name, term in terms.items()}

    def _remapper_losses(self, pair: TrainingPair) -> dict[str, Tensor]:
        config, generator = self.config, self.models.generator
        with torch.no_grad():
            ws_BLD = pair.ws_BLD + self._residual(self.adapter.normalised(pair.taps), pair.target_BE)
            fixed_BCHW = generator.render(generator.styles(ws_BLD)).clamp(-1, 1)
        image_BCHW = generator.render(self._remapped(ws_BLD, pair.target_BE)).clamp(-1, 1)
        near = {
            "perceptual": config.remapper_perceptual * self._near(self._perceptual, image_BCHW, pair, fixed_BCHW),
            "l2": config.remapper_l2 * self._near(losses.pixel_l2, image_BCHW, pair, fixed_BCHW),
        }
        terms = {
            **{name: config.remapper_clip * term for name, term in self._clip_terms(image_BCHW, pair).items()},
            "identity": config.remapper_identity * self._identity(image_BCHW, pair),
            **near,
        }
        return {name: term.mean() for name, term in terms.items()}

    def _clip_terms(self, image_BCHW: Tensor, pair: TrainingPair) -> dict[str, Tensor]:
        """Weighted, per sample."""
        config = self.config
        image_BE = self.models.clip.image(image_BCHW)
        towards_B = losses.clip_directional(image_BE, pair.source_BE, pair.direction_BE)
        distance_B = losses.clip_distance(image_BE, pair.target_BE)
        return {
            "directional": config.directional * pair.swapped_B * losses.lacking(towards_B, config.directional_enough),
            "clip": config.clip * losses.lacking(distance_B, config.clip_enough),
        }

    def _identity(self, image_BCHW: Tensor, pair: TrainingPair) -> Tensor:
        return losses.identity_distance(self.models.identity(image_BCHW), pair.source_BI)

    def _perceptual(self, image_BCHW: Tensor, other_BCHW: Tensor) -> Tensor:
        return losses.perceptual(self.models.perceptual(image_BCHW), self.models.perceptual(other_BCHW))

    def _near(
        self, distance: Callable[[Tensor, Tensor], Tensor], image_BCHW: Tensor, pair: TrainingPair, fixed_BCHW: Tensor
    ) -> Tensor:
        return distance(image_BCHW, pair.source_BCHW) + KEPT * distance(image_BCHW, fixed_BCHW)

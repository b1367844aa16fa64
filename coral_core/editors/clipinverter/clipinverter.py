"""CLIPInverter: a text-conditioned residual in the encoder and one in the generator; one model for all texts.

Paper: arXiv 2307.08397. With taps c of the encoder E, its style heads H and a text embedding t:
    w^ = w + start + gain * 0.1 H(adapter(c, t)),   image = G(styles(w^), blended with those of remapper(t)).
Published: start = 0, gain = 1. Trained in two stages on captioned images x; y is the edit of x to the caption of
another image. The adapter learns on
    L = edit(x -> y) + cycle * edit(y -> x),
    edit = directional * L_dir + clip * L_clip + identity * L_id + perceptual * L_lpips + l2 * L_2 + norm * |w^ - w_0|,
w_0 the average latent; the cycle edits back to a caption of x. Then the remapper learns alone, with loss weights of its
own and a distance to the image without remapping. One edit in four has a caption of x as its target, and no L_dir.

Deviations and why:
- `start`: a residual that is learned for all texts has to make the whole edit, and was right in a third of recolourings
  and shapes, with drifting backgrounds. `transport` adds the edit of this method (../transport/) of each sample: by
  every wish of the sentence or, for a reference image, the decoded change to its embedding. Then gain, a factor per
  layer of w, and the remapper's lambdas are learned from zero (as in ReZero, arXiv 2003.04887), and the change by each
  wish is multiplied by 1 + f(t_wish) per layer, with f learned from zero: a wish does not need all layers. So the
  untrained edit is transport's. `regression` adds guess * B^T (t - t_neutral), with B the regression of w on CLIP
  embeddings over the training images (text_regression.py), with gain 1. guess = 0 is as published.
- Edits are compared with the inversion of x and not with x: an edit should not correct errors of the inversion. With
  start transport, inside the difference mask (../regions/difference.py) of the start's edit, they are compared with
  that edit: the residual learns to take back what the start changes elsewhere, and not the edit.
- With start transport, targets are the captions that consist of the most frequent wishes: each has maps to compute.
- Terms are means over entries (losses.py); the published norm, a Frobenius norm, is a root mean square here.
- L_dir starts from a neutral text, or from the mean of all captions, instead of a caption of x. Captions mention few
  facts; a direction from a caption also asks to remove everything that it mentions and the target does not.
  `own_captions` is as published.
- L_clip, and the bound of both CLIP terms, are not in the paper (coral.py says why they are needed).
- Text embeddings are standardised over the captions. Published ones are raw, of length ten; those of our CLIP space
  have length one, and sentences of one domain lie close together in it.
- The encoder gets no gradient when it encodes y, as published; images are not mirrored. Adam instead of Ranger, as in
  fit.py.
- `adversarial`: the paper ablates "cyclic adversarial training", the released code has no discriminator. Ours compares
  w^ with the w of encoded images, learns in the same step by gradient reversal, and is not stored
  (latent_discriminator.py).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor, nn

from coral_core import losses
from coral_core.editors.base import Editor, FitScope, StyleEditor
from coral_core.editors.clipinverter.captions import Captions, frequent_targets
from coral_core.editors.clipinverter.config import ClipInverterConfig
from coral_core.editors.clipinverter.latent_discriminator import LatentDiscriminator
from coral_core.editors.clipinverter.start import Start, fixed_start, transport_start
from coral_core.editors.clipinverter.tap_cache import TapCache
from coral_core.editors.clipinverter.training_pairs import TrainingPair, TrainingPairs
from coral_core.editors.latent.text_regression import TextRegression
from coral_core.editors.source_cache import SourceCache
from coral_core.editors.transport.transport import Transport
from coral_core.inversion import take
from coral_core.nets.text_adapter import ClipAdapter, ClipRemapper, LayerFactors
from coral_core.stages import ParameterGroup, Stage
from coral_core.types import Inversion, Prompt, Styles

if TYPE_CHECKING:
    from coral_core.bundle.models import Models

UNMAPPED_WEIGHT = 0.35
"""Weight of the distance to the image without remapping, relative to that of the distance to the source."""
LAMBDA = 0.05
"""First value of the remapper's lambdas, as published; 0 at a start at transport."""
REMAPPER_SHARE = 0.1
"""Number of steps of the second stage, relative to the first."""
BATCH = 256
"""Number of images embedded at a time."""


class ClipInverter(StyleEditor):
    """Adapter and remapper for one bundle; edits any image to any text."""

    fit_scope: ClassVar[FitScope] = FitScope.DOMAIN
    takes_reference: ClassVar[bool] = True
    combines_wishes: ClassVar[bool] = True
    text_mean_E: Tensor
    text_std_E: Tensor
    image_mean_E: Tensor
    image_std_E: Tensor
    neutral_E: Tensor
    slope_ED: Tensor
    gain_L1: Tensor

    def __init__(self, models: Models, config: ClipInverterConfig, base: Transport | None = None) -> None:
        """`base`: the fitted transport, for `start: transport`; not used otherwise."""
        super().__init__(models)
        assert (base is not None) == (config.start == "transport"), "only a start at transport reads it"
        self.config = config
        self._base = (base,)  # in a tuple, so that it is not in state_dict(): it is an artifact of its own
        generator, width = models.generator, models.clip.width
        self.adapter = ClipAdapter(models.encoder.tap_channels, width)
        self.remapper = ClipRemapper(generator.num_ws, generator.w_dim, width, LAMBDA if base is None else 0.0)
        self.factors = None if base is None else LayerFactors(width, generator.num_ws)
        ones_L1 = torch.ones(generator.num_ws, 1)
        if base is None:
            self.register_buffer("gain_L1", ones_L1, persistent=False)
        else:
            self.gain_L1 = nn.Parameter(torch.zeros_like(ones_L1))
        for name in ("text", "image"):
            self.register_buffer(f"{name}_mean_E", torch.zeros(width))
            self.register_buffer(f"{name}_std_E", torch.ones(width))
        self.register_buffer("neutral_E", torch.zeros(width))
        self.register_buffer("slope_ED", torch.zeros(width, generator.w_dim), persistent=base is None)
        self._tap_cache = TapCache()

    @classmethod
    def assemble(
        cls, config: ClipInverterConfig, prompt: Prompt | None, models: Models, base: Editor | None = None
    ) -> ClipInverter:
        """An editor for any prompt; `prompt` is not used."""
        assert base is None or isinstance(base, Transport), "the table says what this builds upon"
        return cls(models, config, base)

    @torch.no_grad()
    def prepare(self, source: Inversion) -> None:
        """Embed all captions and images once; take their means and deviations, and the regression of w.

        Errors: ValueError for fewer than two samples, or a sample without a caption.
        """
        if len(source.keys) < 2:
            raise ValueError(f"a fit needs the spread of its source; {len(source.keys)} sample has none, give hundreds")
        if not source.captions or not all(source.captions):
            raise ValueError("CLIPInverter learns from captions: fit it on captioned images, each with one or more")
        clip = self.models.clip
        (base,), neutral, said = self._base, self.config.neutral, source.captions
        targets = None if base is None else frequent_targets(said, neutral, self.config.wishes)
        captions, source_clip = Captions.of(clip, said, targets), SourceCache.of_images(clip.image)
        parts = [take(source, slice(i, i + BATCH)) for i in range(0, len(source.keys), BATCH)]
        images_NE = torch.cat([source_clip(part) for part in parts])
        for name, rows_NE in (("text", captions.embedding_NE), ("image", images_NE)):
            std_E, mean_E = torch.std_mean(rows_NE, 0, correction=0)
            getattr(self, f"{name}_mean_E").copy_(mean_E)
            getattr(self, f"{name}_std_E").copy_(torch.where(std_E > 1e-6, std_E, 1.0))
        self.neutral_E.copy_(clip.text([neutral])[0] if neutral else self.text_mean_E)
        start_E = None if self.config.own_captions else self.neutral_E
        self._pairs = TrainingPairs(
            models=self.models,
            captions=captions,
            source_clip=source_clip,
            source_identity=SourceCache.of_images(self.models.identity),
            make_start=lambda batch, texts, text_BE: self._start(
                batch, [Prompt(text, neutral) for text in texts], text_BE
            ),
            difference=0.0 if base is None else self.config.difference,
            neutral_E=start_E,
        )
        if base is None:
            regression = TextRegression.of(source.ws_BLD.mean(1), images_NE)
            self.slope_ED.copy_(regression.slope_ED * regression.std_D)
        self._discriminator: tuple[LatentDiscriminator, ...] = ()  # in a tuple, so that it is not in state_dict()
        if self.config.adversarial:
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(0)
                self._discriminator = (LatentDiscriminator(source.ws_BLD[0].numel()).to(source.ws_BLD),)

    def stages(self) -> Sequence[Stage]:
        """The remapper takes a tenth of the adapter's steps, as published."""
        rate = self.config.adapter_rate
        learned = [*self.adapter.parameters(), *(self.factors.parameters() if self.factors else ())]
        groups = [ParameterGroup(tuple(learned), rate)]
        if isinstance(self.gain_L1, nn.Parameter):
            groups.append(ParameterGroup((self.gain_L1,), self.config.gain_rate))
        groups += [ParameterGroup(tuple(each.parameters()), rate) for each in self._discriminator]
        remapper = ParameterGroup(tuple(self.remapper.parameters()), self.config.remapper_rate)
        return (Stage("adapter", tuple(groups)), Stage("remapper", (remapper,), REMAPPER_SHARE))

    def losses(self, batch: Inversion, stage: Stage) -> dict[str, Tensor]:
        pair = self._pairs.forward(batch)
        if stage.name == "remapper":
            return self._remapper_losses(pair)
        image_BCHW, terms = self._adapter_losses(pair)
        if self.config.cycle:
            _, cycle_terms = self._adapter_losses(self._pairs.cycle(image_BCHW.detach(), pair))
            terms |= {f"cycle_{name}": self.config.cycle * term for name, term in cycle_terms.items()}
        return terms

    @torch.no_grad()
    def styles(self, inversion: Inversion, prompts: Sequence[Prompt], strength: float = 1.0) -> Styles:
        """The edited styles. What does not depend on the text is computed once for calls with the same taps."""
        taps = inversion.taps or self.models.encoder.body(inversion.image_BCHW)
        text_BE = torch.stack([self._target_embedding(prompt) for prompt in prompts])
        start = self._start(inversion, prompts, text_BE)
        change_BLD = self._change(start, self._tap_cache.normalised(self.adapter, taps), text_BE)
        ws_BLD = inversion.ws_BLD + strength * self.config.residual * change_BLD
        return self._remap(ws_BLD, text_BE, strength * self.config.remapping)

    def target_embedding(self, inversion: Inversion, prompts: Sequence[Prompt]) -> Tensor:
        (base,) = self._base
        return (
            super().target_embedding(inversion, prompts) if base is None else base.target_embedding(inversion, prompts)
        )

    def check(self, prompts: Sequence[Prompt]) -> None:
        super().check(prompts)
        (base,) = self._base
        for prompt in prompts:
            self._target_embedding(prompt)
            if base is not None and not prompt.look:
                base.check([prompt])

    def _target_embedding(self, prompt: Prompt) -> Tensor:
        """The target embedding [E]: of the text, or of the reference image (`look`).

        The embedding of an image is mapped from the mean and deviation of images to those of captions.
        """
        if not prompt.look:
            return self.models.clip.text([prompt.target])[0]
        if len(prompt.look) != self.models.clip.width:
            raise ValueError(
                f"a look of {len(prompt.look)} numbers; this CLIP's embeddings have {self.models.clip.width}"
            )
        look_E = torch.tensor(prompt.look).to(self.image_mean_E)
        return self.text_mean_E + (look_E - self.image_mean_E) / self.image_std_E * self.text_std_E

    def _standardised(self, text_BE: Tensor) -> Tensor:
        return (text_BE - self.text_mean_E) / self.text_std_E

    def _start(self, inversion: Inversion, prompts: Sequence[Prompt], text_BE: Tensor) -> Start:
        """The changes of w without what was learned."""
        (base,) = self._base
        if base is None:
            return fixed_start(self.config.guess * ((text_BE - self.neutral_E) @ self.slope_ED), text_BE)
        return transport_start(base, inversion, prompts)

    def _change(self, start: Start, normalised: Sequence[Tensor], text_BE: Tensor) -> Tensor:
        """w^ - w. [B,L,D]"""
        fixed_BLD = start.fixed_BD[:, None] + self._residual(normalised, text_BE)
        if self.factors is None:
            return fixed_BLD
        factor_BKL = self.factors(self._standardised(start.wish_BKE))
        return fixed_BLD + torch.einsum("bkl,bkd->bld", factor_BKL, start.change_BKD)

    def _residual(self, normalised: Sequence[Tensor], text_BE: Tensor) -> Tensor:
        """What is added to the start. [B,L,D]"""
        base_B1D, offsets_BLD = self.models.encoder.heads(self.adapter(normalised, self._standardised(text_BE)))
        return self.gain_L1 * (self.config.scale * (base_B1D + offsets_BLD))

    def _remap(self, ws_BLD: Tensor, text_BE: Tensor, strength: float = 1.0) -> Styles:
        """The styles blended with those of the remapper. Styles are affine in w, so this blends latents per layer."""
        generator = self.models.generator
        plain = generator.styles(ws_BLD)
        mapped = generator.styles(self.remapper(self._standardised(text_BE)))
        blend_weights = dict(zip(generator.conv_style_indices, strength * self.remapper.blend_weights(), strict=True))
        return tuple(
            torch.lerp(style_BC, mapped[index], blend_weights[index]) if index in blend_weights else style_BC
            for index, style_BC in enumerate(plain)
        )

    def _adapter_losses(self, pair: TrainingPair) -> tuple[Tensor, dict[str, Tensor]]:
        """The image of the edit without remapping, and its loss terms."""
        config, generator = self.config, self.models.generator
        ws_BLD = self._edited_ws(pair)
        image_BCHW = generator.render(generator.styles(ws_BLD)).clamp(-1, 1)
        terms = {
            **self._clip_terms(image_BCHW, pair),
            "identity": config.identity * self._identity(image_BCHW, pair),
            "perceptual": config.perceptual * self._perceptual(image_BCHW, pair.kept_BCHW),
            "l2": config.l2 * losses.pixel_l2(image_BCHW, pair.kept_BCHW),
            "norm": config.norm * losses.latent_l2(ws_BLD - generator.w_avg).sqrt(),
        }
        for discriminator in self._discriminator:
            terms["adversarial"] = config.adversarial * discriminator(pair.edited.ws_BLD, ws_BLD)
        return image_BCHW, {name: term.mean() for name, term in terms.items()}

    def _edited_ws(self, pair: TrainingPair) -> Tensor:
        """w^ of a training pair. [B,L,D]"""
        return pair.edited.ws_BLD + self._change(pair.start, self.adapter.normalised(pair.taps), pair.target_BE)

    def _remapper_losses(self, pair: TrainingPair) -> dict[str, Tensor]:
        config, generator = self.config, self.models.generator
        with torch.no_grad():
            ws_BLD = self._edited_ws(pair)
            unmapped_BCHW = generator.render(generator.styles(ws_BLD)).clamp(-1, 1)
        image_BCHW = generator.render(self._remap(ws_BLD, pair.target_BE)).clamp(-1, 1)
        distances = {
            "perceptual": config.remapper_perceptual
            * self._distance_to_both(self._perceptual, image_BCHW, pair, unmapped_BCHW),
            "l2": config.remapper_l2 * self._distance_to_both(losses.pixel_l2, image_BCHW, pair, unmapped_BCHW),
        }
        terms = {
            **{name: config.remapper_clip * term for name, term in self._clip_terms(image_BCHW, pair).items()},
            "identity": config.remapper_identity * self._identity(image_BCHW, pair),
            **distances,
        }
        return {name: term.mean() for name, term in terms.items()}

    def _clip_terms(self, image_BCHW: Tensor, pair: TrainingPair) -> dict[str, Tensor]:
        """Both CLIP terms, weighted, per sample. [B] each"""
        config = self.config
        image_BE = self.models.clip.image(image_BCHW)
        directional_B = losses.clip_directional(image_BE, pair.source_BE, pair.direction_BE)
        clip_B = losses.clip_distance(image_BE, pair.target_BE)
        return {
            "directional": config.directional * pair.swapped_B * losses.hinge(directional_B, config.directional_enough),
            "clip": config.clip * losses.hinge(clip_B, config.clip_enough),
        }

    def _identity(self, image_BCHW: Tensor, pair: TrainingPair) -> Tensor:
        return losses.identity_distance(self.models.identity(image_BCHW), pair.kept_BI)

    def _perceptual(self, image_BCHW: Tensor, other_BCHW: Tensor) -> Tensor:
        return losses.perceptual(self.models.perceptual(image_BCHW), self.models.perceptual(other_BCHW))

    def _distance_to_both(
        self,
        distance: Callable[[Tensor, Tensor], Tensor],
        image_BCHW: Tensor,
        pair: TrainingPair,
        unmapped_BCHW: Tensor,
    ) -> Tensor:
        return distance(image_BCHW, pair.kept_BCHW) + UNMAPPED_WEIGHT * distance(image_BCHW, unmapped_BCHW)

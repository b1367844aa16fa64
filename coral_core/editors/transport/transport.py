"""Transport: an edit of any text from the statistics of generator samples, without a fit per text and without a mask.

Our own; not published in this form as far as we know. Once per bundle: the latents w (mean over layers of the encoder's
W+) and the CLIP embeddings e of many generator samples are stored (the bank), and a decoder f is trained that gives the
mean latent of an embedding. For a text:

1. Reading. The samples P whose embedding has a cosine with the text above a threshold have what the text names, all
   other samples N do not (valley.py).
2. In the space of w, the Monge map between the Gaussians of N and P moves a latent as little as possible (gaussian.py).
   Its displacement d1(w) leaves everything else alone, but is incomplete.
3. In the space of e, in which attributes are nearly linear, the collapse map gives the embedding e' of the edited image
   (gaussian.py). Its decoded displacement d2 = f(e') - f(e) is complete, because f knows that the latent of a hair
   colour depends on the hair style; but it moves everything else a little as well.
4. The edit is d1 + Q (d2 - d1), with Q the projection onto the principal directions of d1 over N: d2 decides how far,
   d1 in which directions. It is added to every layer of W+.

Several texts are applied one after the other, each to the latent and the embedding that the one before gave.

Sources of the idea: optimal transport between Gaussians (gaussian.py); a map from CLIP embeddings to latents as in CSLA
(arXiv 2210.04506) and in text_regression.py. docs/transport.md has the measurements of every step and of what was left
out.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor

from coral_core.editors.base import FitScope, StyleEditor
from coral_core.editors.transport.bank import StoredRows, draw_samples
from coral_core.editors.transport.gaussian import FLOOR, AffineMap, Gaussian, collapse_map, monge_map
from coral_core.editors.transport.valley import threshold
from coral_core.editors.wishes import wishes_of
from coral_core.fit import BETAS, FitConfig, FitReport, Progress, ramp
from coral_core.nets.latent_decoder import LatentDecoder
from coral_core.types import Inversion, Prompt, Styles

if TYPE_CHECKING:
    from coral_core.bundle.models import Models

DECODER_RATE = 2e-3
DECODER_DECAY = 0.1
"""AdamW's learning rate and weight decay of the decoder."""
REPORT_EVERY = 50
"""Steps of the decoder between two reports of progress."""


@dataclass(frozen=True, kw_only=True)
class TransportConfig:
    """Options of transport."""

    bank: int = 40960  # samples that are stored
    directions: int = 16  # principal directions of the Monge displacement in which the decoded one is taken
    extent: float = 1.1  # factor of the displacement; means of groups lie a little short of their members

    def __post_init__(self) -> None:
        for name in ("bank", "directions"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; give 1 or more")


@dataclass(frozen=True)
class TextMap:
    """What one text does to latents and embeddings."""

    latent: AffineMap  # the Monge map of w
    embedding: AffineMap  # the collapse map of e
    directions_KD: Tensor  # orthonormal principal directions of the Monge displacement, in standard deviations of w
    share: float  # of the bank that has what the text names


class Transport(StyleEditor):
    """The bank and the decoder of one bundle; edits any image to any text."""

    fit_scope: ClassVar[FitScope] = FitScope.DOMAIN
    combines_wishes: ClassVar[bool] = True

    def __init__(self, models: Models, config: TransportConfig) -> None:
        super().__init__(models)
        self.config = config
        self.latents = StoredRows(config.bank, models.generator.w_dim)
        self.embeddings = StoredRows(config.bank, models.clip.width)
        self.decoder = LatentDecoder(models.clip.width, models.generator.w_dim)
        self._rows: tuple[Tensor, Tensor] | None = None
        self._maps: dict[str, TextMap] = {}

    @classmethod
    def assemble(cls, config: TransportConfig, prompt: Prompt | None, models: Models) -> Transport:
        """An editor for any prompt; `prompt` is not used."""
        return cls(models, config)

    def fit(self, source: Inversion, config: FitConfig, progress: Progress | None = None) -> FitReport:
        """Draw config.source_samples samples, store the first of them, and train the decoder on all.

        `source` is not used: the samples are many more than images fit in memory. If there are fewer than the bank
        holds, they are stored several times, which changes no statistic.
        Errors: ValueError for a single sample, which has no spread.
        """
        if config.source_samples < 2:
            raise ValueError(f"fit.source_samples is {config.source_samples}; a fit needs the spread of thousands")
        started, steps = time.monotonic(), config.steps

        def drawn(samples: int) -> None:  # drawing counts as half of the steps
            if progress is not None:
                progress(steps * samples // config.source_samples, 2 * steps, {})

        def trained(step: int, loss: float) -> None:
            if progress is not None:
                progress(steps + step, 2 * steps, {"total": loss})

        w_ND, e_NE = draw_samples(
            self.models, config.source_samples, config.source_seed, config.source_truncation, config.precision, drawn
        )
        stored = torch.arange(self.config.bank, device=w_ND.device) % len(w_ND)
        self.latents.store(w_ND[stored])
        self.embeddings.store(e_NE[stored])
        self._forget()
        loss = self._train_decoder(w_ND, e_NE, config, trained)
        return FitReport(steps=steps, seconds=time.monotonic() - started, losses={"total": loss})

    def _train_decoder(
        self, w_ND: Tensor, e_NE: Tensor, config: FitConfig, trained: Callable[[int, float], None]
    ) -> float:
        """Regress w on e by AdamW on random batches. Returns the mean squared error of the last steps, w normalised."""
        self.decoder.measure(e_NE, w_ND)
        target_ND = (w_ND - self.decoder.mean_D) / self.decoder.std_D
        parameters = list(self.decoder.parameters())
        optimiser = torch.optim.AdamW(parameters, lr=DECODER_RATE, betas=BETAS, weight_decay=DECODER_DECAY)
        draw, loss = torch.Generator().manual_seed(config.seed), 1.0
        for step in range(config.steps):
            optimiser.param_groups[0]["lr"] = DECODER_RATE * ramp((step + 0.5) / config.steps)
            index_B = torch.randint(len(w_ND), (config.batch_size,), generator=draw).to(w_ND.device)
            with torch.enable_grad():
                error = (self.decoder.normalised(e_NE[index_B]) - target_ND[index_B]).square().mean()
                gradients = torch.autograd.grad(error, parameters)
            for parameter, gradient in zip(parameters, gradients, strict=True):
                parameter.grad = gradient
            optimiser.step()
            if (step + 1) % REPORT_EVERY == 0 or step + 1 == config.steps:
                loss = error.item()
                trained(step + 1, loss)
        optimiser.zero_grad(set_to_none=True)
        return loss

    def check(self, prompts: Sequence[Prompt]) -> None:
        super().check(prompts)
        for prompt in prompts:
            for wish in wishes_of(prompt):
                self.text_map(wish)

    @torch.no_grad()
    def styles(self, inversion: Inversion, prompts: Sequence[Prompt], strength: float = 1.0) -> Styles:
        """The edited styles of the whole image."""
        delta_BD = self.displacement(inversion, prompts)
        return self.models.generator.styles(inversion.ws_BLD + strength * delta_BD[:, None])

    def displacement(self, inversion: Inversion, prompts: Sequence[Prompt]) -> Tensor:
        """The change of w for each sample at strength 1, the same for all layers. [B,D]"""
        return self.moved(inversion, prompts)[0]

    def target_embedding(self, inversion: Inversion, prompts: Sequence[Prompt]) -> Tensor:
        """e' of each sample. [B,E]"""
        return self.moved(inversion, prompts)[1]

    @torch.no_grad()
    def moved(self, inversion: Inversion, prompts: Sequence[Prompt]) -> tuple[Tensor, Tensor]:
        """The displacement [B,D] and the embedding of the edited image, e' [B,E].

        The wishes of a prompt (wishes.py) are applied one after the other, in alphabetical order.
        """
        with torch.autocast(inversion.ws_BLD.device.type, enabled=False):  # the same in fits as in edits
            w_BD = inversion.ws_BLD.float().mean(1)
            e_BE = self.models.clip.image(inversion.image_BCHW).float()
            moved_BD, moved_BE = w_BD.clone(), e_BE.clone()
            for prompt in dict.fromkeys(prompts):
                rows = torch.tensor([index for index, each in enumerate(prompts) if each == prompt], device=w_BD.device)
                moved_BD[rows], moved_BE[rows] = self._moved(w_BD[rows], e_BE[rows], sorted(wishes_of(prompt)))
            return self.config.extent * (moved_BD - w_BD), moved_BE

    @torch.no_grad()
    def changes(self, inversion: Inversion, prompts: Sequence[Prompt]) -> Tensor:
        """The parts of displacement() by each wish, in alphabetical order. [B,K,D]

        K is the largest number of wishes; samples with fewer have zeros at the end.
        """
        with torch.autocast(inversion.ws_BLD.device.type, enabled=False):
            w_BD = inversion.ws_BLD.float().mean(1)
            e_BE = self.models.clip.image(inversion.image_BCHW).float()
            most = max((len(wishes_of(prompt)) for prompt in prompts), default=0)
            change_BKD = w_BD.new_zeros(len(w_BD), most, w_BD.shape[1])
            for prompt in dict.fromkeys(prompts):
                rows = torch.tensor([index for index, each in enumerate(prompts) if each == prompt], device=w_BD.device)
                at_BD, at_BE = w_BD[rows], e_BE[rows]
                for step, wish in enumerate(sorted(wishes_of(prompt))):
                    next_BD, at_BE = self._moved(at_BD, at_BE, [wish])
                    change_BKD[rows, step] = self.config.extent * (next_BD - at_BD)
                    at_BD = next_BD
            return change_BKD

    def _moved(self, w_BD: Tensor, e_BE: Tensor, texts: Sequence[str]) -> tuple[Tensor, Tensor]:
        """The latents [B,D] and embeddings [B,E] after every text in turn."""
        std_D = self.decoder.std_D
        for text in texts:
            found = self.text_map(text)
            moved_BE = found.embedding(e_BE)
            least_BD = found.latent(w_BD) - w_BD
            rest_BD = (self.decoder(moved_BE) - self.decoder(e_BE) - least_BD) / std_D
            inside_BD = rest_BD @ found.directions_KD.T @ found.directions_KD
            w_BD, e_BE = w_BD + least_BD + inside_BD * std_D, moved_BE
        return w_BD, e_BE

    @torch.no_grad()
    def decoded_change(self, inversion: Inversion, embedding_BE: Tensor) -> Tensor:
        """The change of w to what the decoder gives for these embeddings, such as those of reference images. [B,D]

        All that CLIP sees in them is taken over. What it does not see (where a head stands) stays.
        """
        with torch.autocast(inversion.ws_BLD.device.type, enabled=False):
            e_BE = self.models.clip.image(inversion.image_BCHW).float()
            change_BD: Tensor = self.decoder(embedding_BE) - self.decoder(e_BE)
            return change_BD

    @torch.no_grad()
    def text_map(self, text: str) -> TextMap:
        """The maps of a text, computed once. ValueError for a text that distinguishes nothing in the bank."""
        if text not in self._maps:
            if self._rows is None:
                self._rows = self.latents(), self.embeddings()
            w_ND, e_NE = self._rows
            scores_N = e_NE @ self.models.clip.text([text])[0]
            having_N = scores_N > threshold(scores_N)
            self._maps[text] = self._measure(w_ND, e_NE, having_N)
        return self._maps[text]

    def _measure(self, w_ND: Tensor, e_NE: Tensor, having_N: Tensor) -> TextMap:
        w_floor, e_floor = (FLOOR * rows.var(0).mean().item() for rows in (w_ND, e_NE))
        without = Gaussian.of(w_ND[~having_N], w_floor)
        latent = monge_map(without, Gaussian.of(w_ND[having_N], w_floor))
        embedding = collapse_map(Gaussian.of(e_NE[~having_N], e_floor), Gaussian.of(e_NE[having_N], e_floor))
        # second moment of the Monge displacement over N, in standard deviations of w
        slope_DD, shift_D = latent.slope_DD / self.decoder.std_D, latent.shift_D / self.decoder.std_D
        moment_DD = slope_DD.T @ without.covariance_DD.float() @ slope_DD + torch.outer(shift_D, shift_D)
        _, vectors_DD = torch.linalg.eigh(moment_DD.double())
        directions_KD = vectors_DD[:, -self.config.directions :].T.float()
        return TextMap(latent, embedding, directions_KD, having_N.float().mean().item())

    def _forget(self) -> None:
        """Drop what was computed from an earlier bank."""
        self._rows, self._maps = None, {}

    def _load_from_state_dict(self, *args: Any, **kwargs: Any) -> None:
        super()._load_from_state_dict(*args, **kwargs)
        self._forget()

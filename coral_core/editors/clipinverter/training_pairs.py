"""Training pairs: a forward edit to the text of another image, and the cycle edit back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from coral_core.editors.clipinverter.captions import Captions
from coral_core.editors.clipinverter.start import Start
from coral_core.editors.regions.difference import difference_mask, keep_outside
from coral_core.editors.source_cache import SourceCache
from coral_core.types import Inversion

if TYPE_CHECKING:
    from coral_core.bundle.models import Models

OWN_CAPTION_SHARE = 0.25
"""Share of the forward edits whose target is a caption of the image itself."""


MakeStart = Callable[[Inversion, Sequence[str], Tensor], Start]
"""Called with images, target texts and their embeddings [B,E]."""


@dataclass(frozen=True)
class TrainingPair:
    """The source and the target of a batch of training edits."""

    edited: Inversion  # what is edited
    source_BE: Tensor  # its CLIP embedding
    taps: Sequence[Tensor]  # its encoder features
    start: Start
    kept_BCHW: Tensor  # the images that edits are compared with
    kept_BI: Tensor  # their identity embedding
    own: Sequence[str]  # a caption of each image
    target_BE: Tensor  # embedding of the target text
    direction_BE: Tensor  # from the source text (or the neutral one) to the target text
    swapped_B: Tensor  # 1 where the target is drawn from all captions, 0 where it is the image's own


@dataclass(frozen=True)
class TrainingPairs:
    """Makes the training pairs of a captioned source."""

    models: Models
    captions: Captions
    source_clip: SourceCache
    source_identity: SourceCache
    make_start: MakeStart
    difference: float  # edits are compared with the start's edit where it changes the image by more; 0: nowhere
    neutral_E: Tensor | None  # where directions start; None: at a caption of the image

    def forward(self, batch: Inversion) -> TrainingPair:
        """From the images to texts of other images, and with a share of OWN_CAPTION_SHARE to their own."""
        own, other = self.captions.draw_own(batch.captions), self.captions.draw_any(len(batch.keys))
        drawn = (self.captions.uniform(len(batch.keys)) >= OWN_CAPTION_SHARE).tolist()
        swapped = [swap or not mine for swap, mine in zip(drawn, own, strict=True)]
        own = [mine or text for mine, text in zip(own, other, strict=True)]
        targets = [text if swap else mine for mine, text, swap in zip(own, other, swapped, strict=True)]
        swapped_B = torch.tensor(swapped, dtype=torch.float32, device=batch.ws_BLD.device)
        target_BE = self.captions.embeddings(targets)
        start = self.make_start(batch, targets, target_BE)
        kept_BCHW = self._kept(batch, start.whole, swapped_B) if self.difference else batch.recon_BCHW
        return TrainingPair(
            edited=batch,
            source_BE=self.source_clip(batch),
            taps=self.models.encoder.body(batch.image_BCHW),
            start=start,
            kept_BCHW=kept_BCHW,
            kept_BI=self._identity(kept_BCHW) if self.difference else self.source_identity(batch),
            own=own,
            target_BE=target_BE,
            direction_BE=target_BE - (self.captions.embeddings(own) if self.neutral_E is None else self.neutral_E),
            swapped_B=swapped_B,
        )

    @torch.no_grad()
    def cycle(self, image_BCHW: Tensor, pair: TrainingPair) -> TrainingPair:
        """From the edited image back to a caption of the original image. The encoder's results have no gradient."""
        ws_BLD, taps = self.models.encoder(image_BCHW)
        edited = replace(pair.edited, image_BCHW=image_BCHW, ws_BLD=ws_BLD)
        own_BE = self.captions.embeddings(pair.own)
        return replace(
            pair,
            edited=edited,
            source_BE=self.models.clip.image(image_BCHW).float(),
            taps=taps,
            start=self.make_start(edited, pair.own, own_BE),
            kept_BCHW=pair.edited.recon_BCHW,
            kept_BI=self.source_identity(pair.edited),
            target_BE=own_BE,
            direction_BE=own_BE - pair.target_BE,
        )

    @torch.no_grad()
    def _kept(self, batch: Inversion, start_BD: Tensor, swapped_B: Tensor) -> Tensor:
        """The start's edit where it is clear and the reconstruction elsewhere; only that for a caption of the image."""
        generator = self.models.generator
        image_BCHW = generator.render(generator.styles(batch.ws_BLD + start_BD[:, None])).clamp(-1, 1)
        mask_B1HW = difference_mask(image_BCHW, batch.recon_BCHW, self.difference)
        return keep_outside(image_BCHW.float(), batch.recon_BCHW, swapped_B[:, None, None, None] * mask_B1HW)

    @torch.no_grad()
    def _identity(self, image_BCHW: Tensor) -> Tensor:
        return self.models.identity(image_BCHW).float()

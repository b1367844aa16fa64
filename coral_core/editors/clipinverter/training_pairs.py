"""Training pairs: a forward edit to the text of another image, and the cycle edit back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from coral_core.editors.clipinverter.captions import Captions
from coral_core.editors.source_cache import SourceCache
from coral_core.types import Inversion

if TYPE_CHECKING:
    from coral_core.bundle.models import Models

OWN_CAPTION_SHARE = 0.25
"""Share of the forward edits whose target is a caption of the image itself."""


@dataclass(frozen=True)
class TrainingPair:
    """The source and the target of a batch of training edits."""

    source_BCHW: Tensor  # the images that edits are compared with
    source_BE: Tensor  # CLIP embedding of the image that is edited
    source_BI: Tensor  # identity embedding of the images that edits are compared with
    ws_BLD: Tensor  # latents of the image that is edited
    taps: Sequence[Tensor]  # encoder features of the image that is edited
    own_BE: Tensor  # embedding of a caption of the image
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
    neutral_E: Tensor | None  # where directions start; None: at a caption of the image

    def forward(self, batch: Inversion) -> TrainingPair:
        """From the images to texts of other images, and with a share of OWN_CAPTION_SHARE to their own."""
        own_BE, other_BE = self.captions.draw_own(batch.captions), self.captions.draw_any(len(batch.keys))
        swapped_B = (self.captions.uniform(len(batch.keys)) >= OWN_CAPTION_SHARE).float()
        target_BE = torch.lerp(own_BE, other_BE, swapped_B[:, None])
        return TrainingPair(
            source_BCHW=batch.recon_BCHW,
            source_BE=self.source_clip(batch),
            source_BI=self.source_identity(batch),
            ws_BLD=batch.ws_BLD,
            taps=self.models.encoder.body(batch.image_BCHW),
            own_BE=own_BE,
            target_BE=target_BE,
            direction_BE=target_BE - (own_BE if self.neutral_E is None else self.neutral_E),
            swapped_B=swapped_B,
        )

    @torch.no_grad()
    def cycle(self, image_BCHW: Tensor, pair: TrainingPair) -> TrainingPair:
        """From the edited image back to a caption of the original image. The encoder's results have no gradient."""
        ws_BLD, taps = self.models.encoder(image_BCHW)
        return replace(
            pair,
            source_BE=self.models.clip.image(image_BCHW).float(),
            ws_BLD=ws_BLD,
            taps=taps,
            target_BE=pair.own_BE,
            direction_BE=pair.own_BE - pair.target_BE,
        )

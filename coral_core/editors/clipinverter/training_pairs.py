"""The two ways of a training edit: to the text of another image, and back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from coral_core.editors.clipinverter.captions import Captions
from coral_core.editors.source_cache import SourceRows
from coral_core.types import Inversion

if TYPE_CHECKING:
    from coral_core.bundle.models import Models

OWN = 0.25
"""Share of edits that go to a caption of the image itself."""


@dataclass(frozen=True)
class TrainingPair:
    """One edit in training: where it starts and where it should lead."""

    source_BCHW: Tensor
    source_BE: Tensor  # CLIP embedding of the source
    source_BI: Tensor  # identity embedding of the source
    ws_BLD: Tensor
    taps: Sequence[Tensor]
    own_BE: Tensor  # embedding of a text that is true of the image
    target_BE: Tensor  # embedding of the text to edit to
    direction_BE: Tensor  # from the text before to the text
    swapped_B: Tensor  # 1 where the text is another image's


@dataclass(frozen=True)
class TrainingPairs:
    """Of a captioned training source."""

    models: Models
    captions: Captions
    source_clip: SourceRows
    source_identity: SourceRows
    neutral_E: Tensor | None  # where directions start; None: at a caption of the image

    def forward(self, batch: Inversion) -> TrainingPair:
        """From the images to texts of other images, now and then to their own."""
        own_BE, other_BE = self.captions.drawn(batch.captions), self.captions.others(len(batch.keys))
        swapped_B = (self.captions.uniform(len(batch.keys)) >= OWN).float()
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
        """From an edit to the text of the image that was edited."""
        ws_BLD, taps = self.models.encoder(image_BCHW)
        return replace(
            pair,
            source_BE=self.models.clip.image(image_BCHW).float(),
            ws_BLD=ws_BLD,
            taps=taps,
            target_BE=pair.own_BE,
            direction_BE=pair.own_BE - pair.target_BE,
        )

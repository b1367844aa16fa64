"""Classification of attributes: the head, the loss and the accuracy that all classifiers of the zoo use."""

from __future__ import annotations

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from coral_core.zoo.portraits.corpus import ATTRIBUTES, VALUES, CorpusBatch

WIDTHS = tuple(len(values) for values in VALUES)


class AttributeHead(nn.Module):
    """A feature map [B,C,H,W] -> one row of logits per attribute, [B, sum of value counts]."""

    def __init__(self, channels: int, size: int) -> None:
        super().__init__()
        self.squeeze = nn.Conv2d(channels, 32, 1)
        self.linear = nn.Linear(2 * channels + 32 * size * size, sum(WIDTHS))

    def forward(self, x: Tensor) -> Tensor:
        x = x.float()
        where = self.squeeze(x).flatten(1).float()  # the position distinguishes a brow from a beard
        logits: Tensor = self.linear(torch.cat([x.mean((2, 3)), x.amax((2, 3)), where], dim=1))
        return logits.float()


class AttributeReader(nn.Module):
    """Base class of networks [B,3,H,W] -> attribute logits [B, sum of value counts]."""

    @torch.no_grad()
    def read(self, image_BCHW: Tensor) -> list[dict[str, str]]:
        """The most likely value of each attribute, per image; values of hidden attributes mean nothing."""
        rows = torch.cat([read_values(self(part)) for part in image_BCHW.split(128)]).tolist()
        return [{name: VALUES[a][row[a]] for a, name in enumerate(ATTRIBUTES)} for row in rows]


def attribute_loss(logits: Tensor, batch: CorpusBatch) -> Tensor:
    """Mean cross-entropy over the visible attributes. A scalar."""
    terms = [
        F.cross_entropy(part[shown], truth[shown]) for part, truth, shown in _columns(logits, batch) if shown.any()
    ]
    return torch.stack(terms).mean()


def read_values(logits: Tensor) -> Tensor:
    """The most likely value of each attribute, int64 [B,A]."""
    return torch.stack([part.argmax(1) for part in logits.split(WIDTHS, dim=1)], dim=1)


def attribute_accuracy(logits: Tensor, batch: CorpusBatch) -> dict[str, float]:
    """Accuracy of each attribute over the samples in which it is visible, 0 to 1."""
    return {
        name: (part.argmax(1) == truth)[shown].float().mean().item()
        for name, (part, truth, shown) in zip(ATTRIBUTES, _columns(logits, batch), strict=True)
    }


def _columns(logits: Tensor, batch: CorpusBatch) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    parts = logits.split(WIDTHS, dim=1)
    return zip(parts, batch.values_BA.unbind(1), batch.visible_BA.unbind(1), strict=True)

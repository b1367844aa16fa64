"""The second judge: it shows when an edit has the wanted attributes for the first judge only.

It shares the training scenes with the first judge and nothing else: a plain convolutional body on overlapping patches
instead of pre-activation residual units, and attention pooling with two maps per attribute (`spotlights`) instead of
one dense head over all positions.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from coral_core.bundle.catalog import BUNDLES
from coral_core.bundle.weights import load_state, parse_config, read_header
from coral_core.nets.convnet import ConvUnit
from coral_core.zoo.measure.judge import INPUT_SIZE, at_input_size
from coral_core.zoo.portraits.attributes import WIDTHS, AttributeReader


@dataclass(frozen=True, kw_only=True)
class SecondJudgeConfig:
    """Sizes of the second judge."""

    stem: int = 48  # channels at 32 px
    middle: int = 80  # channels at 32 px, after the first convolutions
    width: int = 128  # channels at 16 px
    spotlights: int = 2  # attention maps per attribute


class SecondJudge(AttributeReader):
    """[B,3,H,W] in [-1,1] -> attribute logits, in the order of the lexicon."""

    place: Tensor

    def __init__(self, config: SecondJudgeConfig) -> None:
        super().__init__()
        self.config = config
        axis = torch.linspace(-1, 1, INPUT_SIZE)
        self.register_buffer("place", torch.stack(torch.meshgrid(axis, axis, indexing="ij"))[None], persistent=False)
        self.patches = nn.Conv2d(5, config.stem, 4, stride=2, padding=1)
        self.body = nn.Sequential(
            nn.GELU(),
            ConvUnit(config.stem, config.middle),
            ConvUnit(config.middle, config.middle),
            nn.MaxPool2d(2),
            ConvUnit(config.middle, config.width),
            *(ConvUnit(config.width, config.width) for _ in range(3)),
        )
        self.look = nn.Conv2d(config.width, config.spotlights * len(WIDTHS), 1)
        features = config.width * (config.spotlights + 1)
        self.name = nn.ModuleList(nn.Linear(features, count) for count in WIDTHS)

    def forward(self, image_BCHW: Tensor) -> Tensor:
        image_BCHW = at_input_size(image_BCHW)
        x_BCHW = self.body(self.patches(torch.cat([image_BCHW, self.place.expand(len(image_BCHW), -1, -1, -1)], 1)))
        x_BCN = x_BCHW.flatten(2).float()
        attention_BSN = self.look(x_BCHW).flatten(2).float().softmax(2)
        pooled_BSC = torch.einsum("bsn,bcn->bsc", attention_BSN, x_BCN).float()
        mean_BC = x_BCN.mean(2)
        pooled_BAF = pooled_BSC.reshape(len(image_BCHW), len(WIDTHS), -1)
        logits = [name(torch.cat([pooled_BAF[:, a], mean_BC], 1)) for a, name in enumerate(self.name)]
        return torch.cat(logits, dim=1).float()


def load_second_judge(path: Path = BUNDLES["portraits"] / "judge2.safetensors") -> SecondJudge:
    """The shipped second judge, frozen."""
    judge = SecondJudge(parse_config(SecondJudgeConfig, read_header(path).config))
    load_state(path, judge)
    return judge.eval().requires_grad_(False)

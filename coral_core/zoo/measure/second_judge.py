"""The second judge: an edit that pleases one network only does not please this one.

Nothing but the training scenes is shared with the first: a plain convolutional body on overlapping patches instead of
pre-activation residual units, and per attribute two soft spotlights that choose where to look, instead of one dense
head that knows every position.
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
    spotlights: int = 2  # places every attribute looks at


class SecondJudge(AttributeReader):
    """[B,3,H,W] -> attribute logits, in the order of the lexicon."""

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
        seen = config.width * (config.spotlights + 1)
        self.name = nn.ModuleList(nn.Linear(seen, count) for count in WIDTHS)

    def forward(self, image_BCHW: Tensor) -> Tensor:
        image_BCHW = at_input_size(image_BCHW)
        x_BCHW = self.body(self.patches(torch.cat([image_BCHW, self.place.expand(len(image_BCHW), -1, -1, -1)], 1)))
        x_BCN = x_BCHW.flatten(2).float()
        light_BSN = self.look(x_BCHW).flatten(2).float().softmax(2)
        spots_BSC = torch.einsum("bsn,bcn->bsc", light_BSN, x_BCN).float()
        around_BC = x_BCN.mean(2)
        spots_BAF = spots_BSC.reshape(len(image_BCHW), len(WIDTHS), -1)
        logits = [name(torch.cat([spots_BAF[:, a], around_BC], 1)) for a, name in enumerate(self.name)]
        return torch.cat(logits, dim=1).float()


def load_second_judge(path: Path = BUNDLES["portraits"] / "judge2.safetensors") -> SecondJudge:
    """The shipped second judge, frozen."""
    judge = SecondJudge(parse_config(SecondJudgeConfig, read_header(path).config))
    load_state(path, judge)
    return judge.eval().requires_grad_(False)

"""The judge: a classifier of attributes that measures edits. Runs and fits do not import it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from coral_core.bundle.catalog import BUNDLES
from coral_core.bundle.weights import load_state, parse_config, read_header
from coral_core.zoo.portraits.attributes import AttributeHead, AttributeReader

INPUT_SIZE = 64


@dataclass(frozen=True, kw_only=True)
class JudgeConfig:
    """Sizes of the judge."""

    widths: tuple[int, ...] = (32, 64, 96, 128)  # channels at 64, 32, 16 and 8 px


class PreActivation(nn.Module):
    """Pre-activation residual unit (He et al. 2016, identity mappings)."""

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        self.first_norm, self.second_norm = nn.BatchNorm2d(in_channels), nn.BatchNorm2d(out_channels)
        self.first = nn.Conv2d(in_channels, out_channels, 3, stride=stride, padding=1, bias=False)
        self.second = nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False)
        self.skip = nn.Conv2d(in_channels, out_channels, 1, stride=stride, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.first_norm(x))
        deep: Tensor = self.second(F.relu(self.second_norm(self.first(y))))
        return deep + self.skip(y)


class Judge(AttributeReader):
    """[B,3,H,W] in [-1,1] -> attribute logits. Its architecture differs from all networks that guide edits."""

    def __init__(self, config: JudgeConfig) -> None:
        super().__init__()
        self.config = config
        self.stem = nn.Conv2d(3, config.widths[0], 3, padding=1)
        before = (config.widths[0], *config.widths[:-1])
        self.units = nn.Sequential(
            *(
                PreActivation(a, b, 1 if i == 0 else 2)
                for i, (a, b) in enumerate(zip(before, config.widths, strict=True))
            )
        )
        self.head = AttributeHead(config.widths[-1], INPUT_SIZE // 2 ** (len(config.widths) - 1))

    def forward(self, image_BCHW: Tensor) -> Tensor:
        logits: Tensor = self.head(self.units(self.stem(at_input_size(image_BCHW))))
        return logits

    @torch.no_grad()
    def features(self, image_BCHW: Tensor) -> Tensor:
        """Mean and maximum of the last feature map, [B, 2 widths[-1]], to compare sets of images."""
        maps = [self.units(self.stem(part)).float() for part in at_input_size(image_BCHW).split(128)]
        return torch.cat([torch.cat([x.mean((2, 3)), x.amax((2, 3))], dim=1) for x in maps])


def at_input_size(image_BCHW: Tensor) -> Tensor:
    """Images in the size of a judge's training: 64 px, channels last."""
    if image_BCHW.shape[-1] != INPUT_SIZE:
        image_BCHW = F.interpolate(image_BCHW, (INPUT_SIZE, INPUT_SIZE), mode="bilinear", antialias=True)
    return image_BCHW.contiguous(memory_format=torch.channels_last)


def load_judge(path: Path = BUNDLES["portraits"] / "judge.safetensors") -> Judge:
    """The shipped judge, frozen."""
    judge = Judge(parse_config(JudgeConfig, read_header(path).config))
    load_state(path, judge)
    return judge.eval().requires_grad_(False)

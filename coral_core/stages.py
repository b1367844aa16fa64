"""What a fit trains: stages of parameter groups with their learning rates."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn


@dataclass(frozen=True)
class ParameterGroup:
    """Parameters that train together, and their learning rate at full ramp."""

    parameters: tuple[nn.Parameter, ...]
    learning_rate: float


@dataclass(frozen=True)
class Stage:
    """One part of a fit: what trains, how fast, and for which share of the steps (relative to the other stages)."""

    name: str
    groups: tuple[ParameterGroup, ...]
    share: float = 1.0

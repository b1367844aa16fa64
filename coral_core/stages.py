"""The stages of a fit: groups of parameters with their learning rates."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn


@dataclass(frozen=True)
class ParameterGroup:
    """Parameters with one learning rate, which is the one between ramp-up and ramp-down."""

    parameters: tuple[nn.Parameter, ...]
    learning_rate: float


@dataclass(frozen=True)
class Stage:
    """One part of a fit."""

    name: str
    groups: tuple[ParameterGroup, ...]  # what trains
    share: float = 1.0  # of the steps, relative to the other stages

"""By device: the works finished in a run and the workers lost since; and which devices are excluded from the run."""

from __future__ import annotations

import logging
from collections import Counter
from dataclasses import dataclass, field

from tasks.cluster.workers import Device

DEVICE_LOSSES = 3
"""Number of workers lost on one device, without a finished work in between, after which it is excluded."""
NODE_LOSSES = 6
"""The same for all devices of one node."""

log = logging.getLogger("coral.pool")


@dataclass
class Devices:
    """Finished works and lost workers by device, and what is excluded for the rest of the run."""

    progress: Counter[Device] = field(default_factory=Counter)  # works finished, and self tests passed
    losses: Counter[Device] = field(default_factory=Counter)  # since the device last finished a work
    seen: set[Device] = field(default_factory=set)  # on which workers have run, as far as their nodes live
    excluded: dict[Device | str, str] = field(default_factory=dict)  # device or node id -> why, in words

    def finished(self, device: Device) -> None:
        """A piece of work is done there."""
        self.progress[device] += 1
        self.losses.pop(device, None)

    def passed(self, device: Device) -> None:
        """A self test succeeded. It shows that the device computes, not that it can process a shard: losses stay."""
        self.progress[device] += 1

    def lost(self, device: Device, reason: str) -> None:
        """A worker was lost there. After too many the device, or its node, is excluded if another one is known."""
        self.losses[device] += 1
        on_node = sum(count for other, count in self.losses.items() if other.node == device.node)
        others = {other for other in self.seen if self.is_usable(other)} - {device}
        if on_node >= NODE_LOSSES and any(other.node != device.node for other in others):
            self.exclude_node(device, f"{on_node} workers were lost on it in a row; the last one: {reason}")
        elif self.losses[device] >= DEVICE_LOSSES and others:
            why = f"{self.losses[device]} workers were lost on it in a row; the last one: {reason}"
            self.exclude(device, why)

    def exclude(self, device: Device, why: str) -> None:
        """Exclude a device. Workers that use CPUs only have no other device on their node: the node is excluded."""
        if device.gpus:
            self._exclude(device, f"{device} is taken out of the run: {why}")
        else:
            self.exclude_node(device, why)

    def exclude_node(self, device: Device, why: str) -> None:
        """Exclude the node of a device."""
        self._exclude(device.node, f"host {device.host} is taken out of the run: {why}")

    def _exclude(self, what: Device | str, words: str) -> None:
        if what not in self.excluded:
            self.excluded[what] = words
            log.warning(words)

    def is_usable(self, device: Device) -> bool:
        """Whether neither it nor its node is excluded."""
        return device not in self.excluded and device.node not in self.excluded

    @property
    def nodes_out(self) -> frozenset[str]:
        """Ids of the excluded nodes."""
        return frozenset(what for what in self.excluded if isinstance(what, str))

"""What every device has finished in a run, the workers that were lost on it, and the devices taken out of the run."""

from __future__ import annotations

import logging
from collections import Counter
from dataclasses import dataclass, field

from tasks.cluster.workers import Device

DEVICE_LOSSES = 3
"""Workers lost on one device since it last finished something, after which it is taken out."""
NODE_LOSSES = 6
"""The same for all devices of one node."""

log = logging.getLogger("coral.pool")


@dataclass
class Devices:
    """Successes and losses by device, and what is out of the run for its rest."""

    progress: Counter[Device] = field(default_factory=Counter)  # works finished, and self tests passed
    losses: Counter[Device] = field(default_factory=Counter)  # since the device last finished a work
    seen: set[Device] = field(default_factory=set)  # on which workers have run, as far as their nodes live
    excluded: dict[Device | str, str] = field(default_factory=dict)  # device or node id -> why, in words

    def finished(self, device: Device) -> None:
        """A piece of work is done there."""
        self.progress[device] += 1
        self.losses.pop(device, None)

    def passed(self, device: Device) -> None:
        """A self test is passed. It says that the device can compute, not that it stands a shard: losses stay."""
        self.progress[device] += 1

    def lost(self, device: Device, reason: str) -> None:
        """A worker was lost there. After too many the device, or its node, is out, unless nothing else is known."""
        self.losses[device] += 1
        on_node = sum(count for other, count in self.losses.items() if other.node == device.node)
        others = {other for other in self.seen if self.is_usable(other)} - {device}
        if on_node >= NODE_LOSSES and any(other.node != device.node for other in others):
            self.exclude_node(device, f"{on_node} workers were lost on it in a row; the last one: {reason}")
        elif self.losses[device] >= DEVICE_LOSSES and others:
            why = f"{self.losses[device]} workers were lost on it in a row; the last one: {reason}"
            self.exclude(device, why)

    def exclude(self, device: Device, why: str) -> None:
        """Use a device no more. CPUs are all of what a node has for a worker: without them the node is out."""
        if device.gpus:
            self._exclude(device, f"{device} is taken out of the run: {why}")
        else:
            self.exclude_node(device, why)

    def exclude_node(self, device: Device, why: str) -> None:
        """Use nothing of the device's node any more."""
        self._exclude(device.node, f"host {device.host} is taken out of the run: {why}")

    def _exclude(self, what: Device | str, words: str) -> None:
        if what not in self.excluded:
            self.excluded[what] = words
            log.warning(words)

    def is_usable(self, device: Device) -> bool:
        """Whether neither it nor its node is out."""
        return device not in self.excluded and device.node not in self.excluded

    @property
    def nodes_out(self) -> frozenset[str]:
        """Ids of the nodes that are out."""
        return frozenset(what for what in self.excluded if isinstance(what, str))

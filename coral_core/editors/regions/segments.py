"""Regions that select segments of the image, with weights per convolution of the generator.

Paper: CoralStyleCLIP (arXiv 2303.05031), segment selection: m_l = sum over p of sigmoid(e_pl) [seg = p], resized to
layer l. The selection e is shared by all images. The segments come from the bundle's segmenter or, in a domain without
a good one, from clusters of the generator's own features (k-means, after Collins et al. 2020, "Editing in Style").

Deviation: the paper penalises the sum of all sigmoid(e_pl); here the area of the masks is penalised as for every other
region (losses.area), so that a small segment costs little and the weight means the same for every kind of region.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from coral_core.editors.regions.region import Region, plain_features, statistics_source
from coral_core.editors.source_cache import SourceCache
from coral_core.types import Inversion, Masks

if TYPE_CHECKING:
    from coral_core.bundle.models import Models
    from coral_core.nets.stylegan2 import Generator

CLUSTERS = 12
CLUSTER_SIZE = 32
"""Pixels per side of the features that are clustered: the finest layer that is not larger is used."""
KMEANS_ITERATIONS = 15
KMEANS_POINTS = 2**14


class SegmentChoice(Region):
    """A selection of K segments; subclasses give the segment of each pixel."""

    def __init__(self, segments: int, layers: int) -> None:
        super().__init__()
        self.segments = segments
        self.choice_KL = nn.Parameter(torch.zeros(segments, layers))

    def labels(self, inversion: Inversion, generator: Generator) -> Tensor:
        """The segment of each pixel, int64 [B,H,W], 0 to K - 1."""
        raise NotImplementedError

    def forward(self, inversion: Inversion, generator: Generator) -> Masks | None:
        shares_BKHW = F.one_hot(self.labels(inversion, generator), self.segments).movedim(-1, 1).float()
        weight_KL = torch.sigmoid(self.choice_KL.float())
        resized = {size: F.interpolate(shares_BKHW, (size, size), mode="area") for size in set(generator.conv_sizes)}
        return tuple(
            (resized[size] * weight_KL[:, layer, None, None]).sum(1, keepdim=True)
            for layer, size in enumerate(generator.conv_sizes)
        )


class SegmentSelection(SegmentChoice):
    """A selection of the segments that the bundle's segmenter finds in the source."""

    @classmethod
    def of(cls, models: Models) -> SegmentSelection:
        return cls(len(models.segmenter.segments), len(models.generator.conv_sizes))

    def labels(self, inversion: Inversion, generator: Generator) -> Tensor:
        return inversion.labels_BHW


class ClusterSelection(SegmentChoice):
    """A selection of clusters of the generator's features, found in the training source. Needs no segmenter."""

    mean_C: Tensor
    std_C: Tensor
    centres_KC: Tensor

    def __init__(self, channels: int, layers: int) -> None:
        super().__init__(CLUSTERS, layers)
        self.register_buffer("mean_C", torch.zeros(channels))
        self.register_buffer("std_C", torch.ones(channels))
        self.register_buffer("centres_KC", torch.zeros(CLUSTERS, channels))
        self._label_cache: SourceCache | None = None  # labels of the training source

    @classmethod
    def of(cls, models: Models) -> ClusterSelection:
        generator = models.generator
        return cls(generator.conv_channels[_cluster_layer(generator)], len(generator.conv_sizes))

    def prepare(self, source: Inversion, generator: Generator) -> None:
        points_NC = self._features(statistics_source(source), generator).flatten(0, 2)
        std_C, mean_C = torch.std_mean(points_NC, 0, correction=0)
        self.mean_C.copy_(mean_C)
        self.std_C.copy_(torch.where(std_C > 1e-6, std_C, 1.0))
        self.centres_KC.copy_(_k_means((points_NC - self.mean_C) / self.std_C))
        self._label_cache = SourceCache(partial(self._cluster_labels, generator=generator))

    def labels(self, inversion: Inversion, generator: Generator) -> Tensor:
        """The nearest cluster of each pixel, int64 [B,H,W]; computed once per sample in a fit."""
        if self._label_cache is None or not torch.is_grad_enabled():  # an edit, whose samples may have any keys
            return self._cluster_labels(inversion, generator)
        return self._label_cache(inversion)

    def _cluster_labels(self, inversion: Inversion, generator: Generator) -> Tensor:
        points_BHWC = (self._features(inversion.ws_BLD, generator) - self.mean_C) / self.std_C
        return torch.cdist(points_BHWC, self.centres_KC).argmin(-1)

    def _features(self, ws_BLD: Tensor, generator: Generator) -> Tensor:
        """[B,H,W,C] float32, also under autocast: training and editing must find the same clusters."""
        with torch.autocast(ws_BLD.device.type, enabled=False):
            feature_BCHW = plain_features(generator, ws_BLD)[_cluster_layer(generator)]
        return feature_BCHW.float().movedim(1, -1)


def _cluster_layer(generator: Generator) -> int:
    """Index of the layer whose features are clustered."""
    return max(layer for layer, size in enumerate(generator.conv_sizes) if size <= CLUSTER_SIZE)


def _k_means(points_NC: Tensor) -> Tensor:
    """Centres [K,C] by Lloyd's algorithm on a seeded subset of the points, with farthest-point initialisation."""
    draw = torch.Generator().manual_seed(0)
    chosen = torch.randperm(len(points_NC), generator=draw)[:KMEANS_POINTS]
    points_NC = points_NC[chosen.to(points_NC.device)]
    centres_KC = points_NC.mean(0, keepdim=True)
    while len(centres_KC) < CLUSTERS:
        farthest = torch.cdist(points_NC, centres_KC).amin(1).argmax()
        centres_KC = torch.cat([centres_KC, points_NC[farthest, None]])
    for _ in range(KMEANS_ITERATIONS):
        members_NK = F.one_hot(torch.cdist(points_NC, centres_KC).argmin(1), CLUSTERS).to(points_NC.dtype)
        counts_K1 = members_NK.sum(0)[:, None]
        centres_KC = torch.where(counts_K1 > 0, members_NK.T @ points_NC / counts_K1.clamp_min(1), centres_KC)
    return centres_KC

"""The editing methods by name. A new method is a new row of the table."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any

from coral_core.editors.base import Editor, FitScope
from coral_core.editors.clipinverter.clipinverter import ClipInverter
from coral_core.editors.clipinverter.config import ClipInverterConfig
from coral_core.editors.coral.coral import CoralEditor
from coral_core.editors.coral.coral_difference import CoralDifference, DifferenceConfig
from coral_core.editors.coral.prompt_config import CoralConfig, LatentConfig, RegionConfig
from coral_core.editors.coral.region_editor import RegionEditor
from coral_core.editors.latent.slots import GlobalDirection, LevelMapper
from coral_core.editors.limits import UNLIMITED, Limits
from coral_core.editors.regions.attention import ConvAttention
from coral_core.editors.regions.region import Region, WholeImage
from coral_core.editors.regions.segments import ClusterSelection, SegmentSelection
from coral_core.editors.spec import EditorSpec
from coral_core.editors.styleclip.directions import DirectionsConfig, StyleDirections
from coral_core.editors.styleclip.optimization import LatentOptimization, OptimizationConfig
from coral_core.editors.transport.transport import Transport, TransportConfig
from coral_core.editors.wishes import wishes_of
from coral_core.fit import FitConfig
from coral_core.stages import ParameterGroup, Stage
from coral_core.types import Prompt

__all__ = ["EDITORS", "UNLIMITED", "Editor", "EditorSpec", "FitScope", "Limits", "ParameterGroup", "Stage", "spec"]


def _starts_at_transport(config: LatentConfig | ClipInverterConfig) -> bool:
    return config.start == "transport"


def _wishes_if_read(config: LatentConfig | ClipInverterConfig, prompt: Prompt) -> Iterable[str]:
    return wishes_of(prompt) if _starts_at_transport(config) else ()


def _coral_spec(
    name: str, latent: type[GlobalDirection | LevelMapper], region: type[Region], config: LatentConfig, *reads: str
) -> EditorSpec:
    """The row for one pair of slots. `reads`: bundle parts that the region needs in addition to those of all rows."""
    return EditorSpec(
        name=name,
        scope=FitScope.PROMPT,
        config=config,
        fit=SHORT if _starts_at_transport(config) else FitConfig(),
        fit_reads=("generator", "encoder", "clip", "identity", *reads),
        edit_reads=("generator", "clip", *reads),
        make=partial(CoralEditor.assemble, latent, region),
        edit_options=("difference",) if isinstance(config, RegionConfig) else (),
        more_texts=_wishes_if_read,
        base="transport",
        uses_base=_starts_at_transport,
        combines_wishes=True,
    )


def _region_spec(name: str, region: type[Region], base: str, config: RegionConfig, *reads: str) -> EditorSpec:
    """The row for a region around the edits of the method `base`. `reads`: as above, and those of the base."""
    return EditorSpec(
        name=name,
        scope=FitScope.PROMPT,
        config=config,
        fit=SHORT,
        fit_reads=("generator", "encoder", "clip", "identity", *reads),
        edit_reads=("generator", "clip", *reads),
        make=partial(RegionEditor.assemble, region),
        edit_options=("difference",),
        more_texts=lambda config, prompt: wishes_of(prompt),
        base=base,
        combines_wishes=True,
    )


SEGMENT_RATE = 0.1
"""Adam's learning rate of a segment selection, which is a few numbers for all images."""
AT_TRANSPORT: dict[str, Any] = {"clip": 0.0, "directional": 0.0, "embedding": 4.0}
"""Guidance of edits that start at transport or are its edits."""
MAPPER: dict[str, Any] = {**AT_TRANSPORT, "l2": 10.0, "latent_rate": 0.2}
"""Options of a mapper that starts at transport: a small residual."""
NEEDED: dict[str, Any] = {"area": 0.1, "unneeded": 0.3, "complete": 10.0, "close_layers": 0.1, "difference": 0.18}
"""Options of regions around edits that start at transport: complete edits, tight by what the edit itself changes."""
ATTENTION: dict[str, Any] = {**NEEDED, "region_rate": 0.015}
SHORT = FitConfig(steps=60)
"""The fit of what starts at a good edit."""

ROWS = (
    _coral_spec("coral-direction-attention", GlobalDirection, ConvAttention, CoralConfig(start="regression")),
    _coral_spec("coral-mapper-attention", LevelMapper, ConvAttention, CoralConfig(**MAPPER, **ATTENTION)),
    _coral_spec(
        "coral-direction-segments",
        GlobalDirection,
        SegmentSelection,
        CoralConfig(start="regression", region_rate=SEGMENT_RATE),
        "segmenter",
    ),
    _coral_spec(
        "coral-mapper-segments",
        LevelMapper,
        SegmentSelection,
        CoralConfig(**MAPPER, **NEEDED, region_rate=SEGMENT_RATE),
        "segmenter",
    ),
    _coral_spec(
        "coral-mapper-clusters",
        LevelMapper,
        ClusterSelection,
        CoralConfig(**MAPPER, **NEEDED, region_rate=SEGMENT_RATE),
    ),
    _coral_spec("styleclip-mapper", LevelMapper, WholeImage, LatentConfig(**MAPPER)),
    EditorSpec(
        name="styleclip-optimization",
        scope=FitScope.IMAGE,
        config=OptimizationConfig(),
        fit=FitConfig(),
        fit_reads=(),
        edit_reads=("generator", "clip", "identity"),
        make=LatentOptimization.assemble,
        more_texts=_wishes_if_read,
        base="transport",
        uses_base=_starts_at_transport,
        combines_wishes=True,
    ),
    EditorSpec(
        name="styleclip-directions",
        scope=FitScope.DOMAIN,
        config=DirectionsConfig(),
        fit=FitConfig(),
        fit_reads=("generator", "encoder", "clip"),
        edit_reads=("generator", "clip", "identity"),
        make=StyleDirections.assemble,
        edit_options=("alpha", "beta", "templates", "to_rgb"),
        more_texts=lambda config, prompt: [*config.sentences(prompt.target), *config.sentences(prompt.source)],
    ),
    EditorSpec(
        name="transport",
        scope=FitScope.DOMAIN,
        config=TransportConfig(),
        fit=FitConfig(steps=6000, batch_size=4096, source_samples=2**17, settle=0.0, precision="float32"),
        fit_reads=("generator", "encoder", "clip"),
        edit_reads=("generator", "clip"),
        make=Transport.assemble,
        edit_options=("directions", "extent"),
        more_texts=lambda config, prompt: wishes_of(prompt),
        combines_wishes=True,
        sourceless=True,
    ),
    _region_spec("coral-transport-attention", ConvAttention, "transport", RegionConfig(**AT_TRANSPORT, **ATTENTION)),
    _region_spec(
        "coral-transport-segments",
        SegmentSelection,
        "transport",
        RegionConfig(**AT_TRANSPORT, **NEEDED, region_rate=SEGMENT_RATE),
        "segmenter",
    ),
    EditorSpec(
        name="coral-transport-difference",
        scope=FitScope.BASE,
        config=DifferenceConfig(),
        fit=FitConfig(),
        fit_reads=(),
        edit_reads=("generator", "clip"),
        make=CoralDifference.assemble,
        more_texts=lambda config, prompt: wishes_of(prompt),
        combines_wishes=True,
        base="transport",
    ),
    EditorSpec(
        name="clipinverter",
        scope=FitScope.DOMAIN,
        config=ClipInverterConfig(),
        fit=FitConfig(steps=250, batch_size=16, settle=0.0, precision="float32"),
        fit_reads=("generator", "encoder", "clip", "identity", "perceptual"),
        edit_reads=("generator", "encoder", "clip"),
        make=ClipInverter.assemble,
        edit_options=("residual", "remapping"),
        more_texts=lambda config, prompt: [config.neutral, *_wishes_if_read(config, prompt)],
        captioned=True,
        takes_reference=True,
        combines_wishes=True,
        base="transport",
        uses_base=_starts_at_transport,
    ),
    _region_spec(
        "coral-inverter-attention", ConvAttention, "clipinverter", RegionConfig(**AT_TRANSPORT, **ATTENTION), "encoder"
    ),
)
EDITORS: Mapping[str, EditorSpec] = {row.name: row for row in ROWS}


def spec(method: str) -> EditorSpec:
    """The row of a method. ValueError for an unknown name, with the known names."""
    if method not in EDITORS:
        raise ValueError(f"unknown method {method!r}; known: {', '.join(EDITORS)}")
    return EDITORS[method]

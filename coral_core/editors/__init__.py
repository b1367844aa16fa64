"""The editing methods by name. A new method is a new row of the table."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from coral_core.editors.base import Editor, FitScope
from coral_core.editors.clipinverter.clipinverter import ClipInverter
from coral_core.editors.clipinverter.config import ClipInverterConfig
from coral_core.editors.coral.coral import CoralConfig, CoralEditor, EditConfig
from coral_core.editors.coral.coral_difference import CoralDifference, DifferenceConfig
from coral_core.editors.coral.prompt_editor import NeededRegionConfig, RegionConfig
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

__all__ = ["EDITORS", "UNLIMITED", "Editor", "EditorSpec", "FitScope", "Limits", "ParameterGroup", "Stage", "spec"]


def _coral_spec(
    name: str, latent: type[GlobalDirection | LevelMapper], region: type[Region], config: EditConfig, *reads: str
) -> EditorSpec:
    """The row for one pair of slots. `reads`: bundle parts that the region needs in addition to those of all rows."""
    return EditorSpec(
        name=name,
        scope=FitScope.PROMPT,
        config=config,
        fit=FitConfig(),
        fit_reads=("generator", "encoder", "clip", "identity", *reads),
        edit_reads=("generator", "clip", *reads),
        make=partial(CoralEditor.assemble, latent, region),
        more_texts=lambda config, prompt: wishes_of(prompt) if config.start == "transport" else (),
        base="transport",
        uses_base=lambda config: config.start == "transport",
    )


def _transport_spec(name: str, region: type[Region], config: NeededRegionConfig, *reads: str) -> EditorSpec:
    """The row for a region around transport. `reads`: as above."""
    return EditorSpec(
        name=name,
        scope=FitScope.PROMPT,
        config=config,
        fit=FitConfig(),
        fit_reads=("generator", "encoder", "clip", "identity", *reads),
        edit_reads=("generator", "clip", *reads),
        make=partial(RegionEditor.assemble, region),
        more_texts=lambda config, prompt: wishes_of(prompt),
        base="transport",
    )


MAPPER_RATE = 2.0
"""Adam's learning rate of a mapper, whose layers scale it by 0.01."""
SEGMENT_RATE = 0.1
"""Adam's learning rate of a segment selection, which is a few numbers for all images."""

ROWS = (
    _coral_spec("coral-direction-attention", GlobalDirection, ConvAttention, CoralConfig()),
    _coral_spec("coral-mapper-attention", LevelMapper, ConvAttention, CoralConfig(latent_rate=MAPPER_RATE)),
    _coral_spec(
        "coral-direction-segments",
        GlobalDirection,
        SegmentSelection,
        CoralConfig(region_rate=SEGMENT_RATE),
        "segmenter",
    ),
    _coral_spec(
        "coral-mapper-segments",
        LevelMapper,
        SegmentSelection,
        CoralConfig(latent_rate=MAPPER_RATE, region_rate=SEGMENT_RATE),
        "segmenter",
    ),
    _coral_spec(
        "coral-mapper-clusters",
        LevelMapper,
        ClusterSelection,
        CoralConfig(latent_rate=MAPPER_RATE, region_rate=SEGMENT_RATE),
    ),
    _coral_spec("styleclip-mapper", LevelMapper, WholeImage, EditConfig(latent_rate=MAPPER_RATE)),
    EditorSpec(
        name="styleclip-optimization",
        scope=FitScope.IMAGE,
        config=OptimizationConfig(),
        fit=FitConfig(),
        fit_reads=(),
        edit_reads=("generator", "clip", "identity"),
        make=LatentOptimization.assemble,
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
    _transport_spec("coral-transport-attention", ConvAttention, NeededRegionConfig()),
    _transport_spec(
        "coral-transport-segments", SegmentSelection, NeededRegionConfig(region_rate=SEGMENT_RATE), "segmenter"
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
        more_texts=lambda config, prompt: [config.neutral, *wishes_of(prompt)],
        captioned=True,
        takes_reference=True,
        combines_wishes=True,
        base="transport",
        uses_base=lambda config: config.start == "transport",
    ),
    EditorSpec(
        name="coral-inverter-attention",
        scope=FitScope.PROMPT,
        config=RegionConfig(),
        fit=FitConfig(),
        fit_reads=("generator", "encoder", "clip", "identity"),
        edit_reads=("generator", "encoder", "clip"),
        make=partial(RegionEditor.assemble, ConvAttention),
        more_texts=lambda config, prompt: wishes_of(prompt),
        base="clipinverter",
    ),
)
EDITORS: Mapping[str, EditorSpec] = {row.name: row for row in ROWS}


def spec(method: str) -> EditorSpec:
    """The row of a method. ValueError for an unknown name, with the known names."""
    if method not in EDITORS:
        raise ValueError(f"unknown method {method!r}; known: {', '.join(EDITORS)}")
    return EDITORS[method]

"""The editing methods by name. Adding one is adding a row."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from coral_core.editors.base import Editor, FitScope, ParameterGroup, Stage
from coral_core.editors.coral import CoralConfig, CoralEditor, EditConfig
from coral_core.editors.directions import DirectionsConfig, StyleDirections
from coral_core.editors.editorspec import EditorSpec
from coral_core.editors.latent import GlobalDirection, LevelMapper
from coral_core.editors.optimization import LatentOptimization, OptimizationConfig
from coral_core.editors.regions import ConvAttention, WholeImage
from coral_core.fit import FitConfig

__all__ = ["EDITORS", "Editor", "EditorSpec", "FitScope", "ParameterGroup", "Stage", "spec"]


EDITORS: Mapping[str, EditorSpec] = {
    "coral-direction-attention": EditorSpec(
        name="coral-direction-attention",
        scope=FitScope.PROMPT,
        config=CoralConfig(),
        fit=FitConfig(),
        fit_reads=("generator", "encoder", "clip", "identity"),
        edit_reads=("generator",),
        make=partial(CoralEditor.assemble, GlobalDirection, ConvAttention),
    ),
    "coral-mapper-attention": EditorSpec(
        name="coral-mapper-attention",
        scope=FitScope.PROMPT,
        config=CoralConfig(latent_rate=2.0),
        fit=FitConfig(),
        fit_reads=("generator", "encoder", "clip", "identity"),
        edit_reads=("generator",),
        make=partial(CoralEditor.assemble, LevelMapper, ConvAttention),
    ),
    "styleclip-mapper": EditorSpec(
        name="styleclip-mapper",
        scope=FitScope.PROMPT,
        config=EditConfig(latent_rate=2.0),
        fit=FitConfig(),
        fit_reads=("generator", "encoder", "clip", "identity"),
        edit_reads=("generator",),
        make=partial(CoralEditor.assemble, LevelMapper, WholeImage),
    ),
    "styleclip-optimization": EditorSpec(
        name="styleclip-optimization",
        scope=FitScope.IMAGE,
        config=OptimizationConfig(),
        fit=FitConfig(),
        fit_reads=(),
        edit_reads=("generator", "clip", "identity"),
        make=LatentOptimization.assemble,
    ),
    "styleclip-directions": EditorSpec(
        name="styleclip-directions",
        scope=FitScope.DOMAIN,
        config=DirectionsConfig(),
        fit=FitConfig(),
        fit_reads=("generator", "encoder", "clip"),
        edit_reads=("generator", "clip", "identity"),
        make=StyleDirections.assemble,
        edit_options=("alpha", "beta", "templates", "to_rgb"),
    ),
}


def spec(method: str) -> EditorSpec:
    """The method's row. Errors: ValueError listing the known ones."""
    if method not in EDITORS:
        raise ValueError(f"unknown method {method!r}; known: {', '.join(EDITORS)}")
    return EDITORS[method]

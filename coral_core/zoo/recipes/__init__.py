"""The recipes of the embedded bundle, ordered so that each comes after the recipes whose networks it needs."""

from collections.abc import Mapping

from coral_core.zoo.recipes.autoencoder import AutoencoderRecipe
from coral_core.zoo.recipes.base import Recipe
from coral_core.zoo.recipes.classifiers import PerceptualRecipe, SegmenterRecipe
from coral_core.zoo.recipes.identity import IdentityRecipe
from coral_core.zoo.recipes.judges import JudgeRecipe, SecondJudgeRecipe
from coral_core.zoo.recipes.language import ClipRecipe
from coral_core.zoo.recipes.mapping import MappingRecipe

RECIPES: Mapping[str, type[Recipe]] = {
    "perceptual": PerceptualRecipe,
    "autoencoder": AutoencoderRecipe,
    "mapping": MappingRecipe,
    "clip": ClipRecipe,
    "identity": IdentityRecipe,
    "segmenter": SegmenterRecipe,
    "judge": JudgeRecipe,
    "judge2": SecondJudgeRecipe,
}

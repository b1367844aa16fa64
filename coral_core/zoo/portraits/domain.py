"""Procedural portraits with exact ground truth: the domain that the embedded models are trained and measured on.

A scene is a value for every attribute of the lexicon plus continuous nuisances. It is drawn once as a map of materials
at four times the resolution of the image; colours, light and the segment labels are computed from this map. The labels
are therefore exact, and an edited scene is the exact answer of an edit: nothing else in it changes.

Beard and brows are dark for every hair colour: recolouring, removing or covering the hair changes the hair only.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from PIL import Image

from coral_core.zoo.portraits.canvas import SUPERSAMPLING
from coral_core.zoo.portraits.headwear import HIDDEN_BY_HAT
from coral_core.zoo.portraits.lexicon import ALL, LEXICON, Wordings, check_attributes, choose_facts, make_sentence
from coral_core.zoo.portraits.nuisance import Nuisance, draw_nuisance, numbers_of
from coral_core.zoo.portraits.palette import MATERIAL_SEGMENTS, SEGMENTS, palette
from coral_core.zoo.portraits.portrait import draw

__all__ = [
    "LEXICON",
    "MARGINALS",
    "SEGMENTS",
    "SPLITS",
    "Caption",
    "Scene",
    "make_sentence",
    "sample",
    "scene_from_record",
]

SPLITS: Mapping[str, range] = {
    "train": range(100_000_000),
    "dev": range(100_000_000, 101_000_000),
    "test": range(101_000_000, 102_000_000),
    "reserved": range(102_000_000, 103_000_000),  # not used for training or tuning of models
}
"""Ranges of scene seeds by purpose."""

MARGINALS: Mapping[str, Mapping[str, float]] = {
    "eyes": {"open": 0.5, "narrow": 0.25, "closed": 0.25},
    "lipstick": {"none": 0.5, "red": 0.25, "purple": 0.25},
    "beard": {"none": 0.5, "moustache": 0.25, "full": 0.25},
    "glasses": {"none": 0.5, "round": 0.25, "sunglasses": 0.25},
    "hat": {"none": 0.55, "beanie": 0.15, "cap": 0.15, "top_hat": 0.15},
}
"""Probabilities of values where they differ, so that most scenes show hair and eyes; other attributes are uniform."""

JointDistribution = Callable[[random.Random, Mapping[str, str]], Mapping[str, str]]
"""Maps independent attributes to those of a biased data set."""


@dataclass(frozen=True)
class Caption:
    """A sentence about a scene, and the attribute values that it mentions."""

    text: str
    facts: Mapping[str, str]

    def true_of(self, scene: Scene) -> bool:
        """Whether every fact is true of the scene and visible in it."""
        visible = scene.visible()
        return all(name in visible and scene.attributes[name] == value for name, value in self.facts.items())


@dataclass(frozen=True)
class Scene:
    """One portrait. Sizes are in pixels; every size shows the same portrait."""

    seed: int
    attributes: Mapping[str, str]
    nuisance: Nuisance

    def render(self, size: int = 64) -> tuple[np.ndarray, np.ndarray]:
        """The image uint8 [size, size, 3] and its segment labels uint8 [size, size], indices into SEGMENTS."""
        canvas = draw(self.attributes, self.nuisance, size)
        return self._coloured(canvas), _label_map(canvas)

    def image(self, size: int = 64) -> np.ndarray:
        """uint8 [size, size, 3], sRGB."""
        return self._coloured(draw(self.attributes, self.nuisance, size))

    def labels(self, size: int = 64) -> np.ndarray:
        """uint8 [size, size], indices into SEGMENTS: the segment with the largest area in each pixel."""
        return _label_map(draw(self.attributes, self.nuisance, size))

    def edited(self, attribute: str, value: str) -> Scene:
        """The same portrait with one attribute set. ValueError for unknown names, with the known ones."""
        check_attributes({attribute: value})
        return replace(self, attributes={**self.attributes, attribute: value})

    def visible(self) -> frozenset[str]:
        """The attributes that are visible; changing any other attribute changes no pixel."""
        hat = self.attributes["hat"] != "none"
        style = self.attributes["hair_style"]
        hidden_hair = hat and style in HIDDEN_BY_HAT
        dark_lenses = self.attributes["glasses"] == "sunglasses"
        hidden = {
            "hair_style": hidden_hair,
            "hair_color": hidden_hair or style == "bald",
            "hat_color": not hat,
            "eyes": dark_lenses,
            "eye_color": dark_lenses or self.attributes["eyes"] == "closed",
        }
        return frozenset(name for name in LEXICON if not hidden.get(name, False))

    def caption(self, rng: random.Random | None = None, wordings: Wordings = ALL) -> Caption:
        """A sentence about a random subset of the visible attributes. Without `rng` it depends on the scene's seed."""
        rng = rng or random.Random(f"caption:{self.seed}")
        visible = self.visible()
        facts = choose_facts({name: self.attributes[name] for name in LEXICON if name in visible}, rng)
        return Caption(make_sentence(facts, rng, wordings), facts)

    def numbers(self) -> np.ndarray:
        """The independent uniform numbers in [0,1] that a scene is drawn from, each as the interval [start, end] that
        gives this scene, float64 [K,2]. K is the same for all scenes."""
        values = [_interval(name, self.attributes[name]) for name in LEXICON]
        return np.array([*values, *numbers_of(self.nuisance)])

    def record(self) -> dict[str, object]:
        """The values that `scene_from_record` needs to restore the scene, for JSON."""
        return {"seed": self.seed, "attributes": dict(self.attributes)}

    def _coloured(self, canvas: Image.Image) -> np.ndarray:
        canvas.putpalette(palette(self.attributes, self.nuisance).tobytes())
        flat = np.asarray(canvas.convert("RGB").reduce(SUPERSAMPLING), dtype=np.float32)
        lit = flat * _light(flat.shape[0], self.nuisance.light_side, self.nuisance.light_strength)
        return np.clip(np.rint(lit), 0, 255).astype(np.uint8)


def sample(seed: int, joint: JointDistribution | None = None) -> Scene:
    """The scene of a seed. Attributes are independent unless `joint` is given; nuisances do not depend on it."""
    rng = random.Random(f"attributes:{seed}")
    attributes: Mapping[str, str] = {name: _draw_value(name, rng) for name in LEXICON}
    if joint is not None:
        attributes = dict(joint(rng, attributes))
        check_attributes(attributes)
    return Scene(seed, attributes, draw_nuisance(seed))


def scene_from_record(record: Mapping[str, object]) -> Scene:
    """The scene of a `Scene.record()`. ValueError for a record that is not one, or unknown attributes."""
    seed, attributes = record["seed"], record["attributes"]
    if not isinstance(seed, int) or not isinstance(attributes, Mapping):
        raise ValueError(f"a scene record holds an integer 'seed' and an object 'attributes', not {record!r}")
    check_attributes(attributes)
    scene = sample(seed)
    return replace(scene, attributes={**scene.attributes, **attributes})


def _draw_value(attribute: str, rng: random.Random) -> str:
    values = tuple(LEXICON[attribute])
    weights = MARGINALS.get(attribute)
    return rng.choices(values, None if weights is None else [weights[value] for value in values])[0]


def _interval(attribute: str, value: str) -> tuple[float, float]:
    """The interval of [0,1] that gives a value; its length is the probability of the value."""
    values = tuple(LEXICON[attribute])
    weights = MARGINALS.get(attribute, dict.fromkeys(values, 1 / len(values)))
    start = sum(weights[other] for other in values[: values.index(value)])
    return start, start + weights[value]


def _label_map(canvas: Image.Image) -> np.ndarray:
    """uint8 [size, size]: the most frequent segment of each pixel's block of the material map."""
    size = canvas.width // SUPERSAMPLING
    segments = MATERIAL_SEGMENTS[np.asarray(canvas)]
    counts = np.bincount((_block_ids(size) + segments).ravel(), minlength=size * size * len(SEGMENTS))
    return counts.reshape(size, size, len(SEGMENTS)).argmax(axis=2).astype(np.uint8)


@lru_cache(maxsize=4)
def _block_ids(size: int) -> np.ndarray:
    """int64 [size * SUPERSAMPLING] squared: for each fine pixel, the index of the first counter of its pixel."""
    pixel = np.arange(size * SUPERSAMPLING) // SUPERSAMPLING
    return (pixel[:, None] * size + pixel) * len(SEGMENTS)


def _light(size: int, side: int, strength: float) -> np.ndarray:
    """float32 [size, size, 1]: brightness factor, which decreases from the lit upper corner to the opposite corner."""
    return np.float32(1.0) + np.float32(strength) * _slope(size, side)


@lru_cache(maxsize=8)
def _slope(size: int, side: int) -> np.ndarray:
    """float32 [size, size, 1]: from about +1 in the lit upper corner to about -1 in the opposite corner."""
    place = (np.arange(size, dtype=np.float32) + 0.5) / size * 2.0 - 1.0
    return (0.75 * side * place[None, :, None] - 0.35 * place[:, None, None]).astype(np.float32)

"""Procedural portraits with exact ground truth: the domain the embedded models are made and measured on.

A scene is a value of every attribute of the lexicon plus continuous nuisances. It is drawn once as a map of materials,
four times finer than the image; colours, light and the segment label map all follow from that one map, so the labels
are exact by construction and an edited scene is the exact right answer of an edit: nothing else in it moves.

Beard and brows are dark whatever the hair: recolouring, shaving or covering the hair changes the hair only.
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
from coral_core.zoo.portraits.lexicon import ALL, LEXICON, Wordings, check, choose_facts, say
from coral_core.zoo.portraits.nuisance import Nuisance, draw_nuisance, numbers_of
from coral_core.zoo.portraits.palette import MATERIAL_SEGMENTS, SEGMENTS, palette
from coral_core.zoo.portraits.portrait import draw

__all__ = ["LEXICON", "MARGINALS", "SEGMENTS", "SPLITS", "Caption", "Scene", "recall", "sample", "say"]

SPLITS: Mapping[str, range] = {
    "train": range(100_000_000),
    "dev": range(100_000_000, 101_000_000),
    "test": range(101_000_000, 102_000_000),
    "reserved": range(102_000_000, 103_000_000),  # nobody who makes or tunes models here looks at these
}
"""Seeds by purpose."""

MARGINALS: Mapping[str, Mapping[str, float]] = {
    "eyes": {"open": 0.5, "narrow": 0.25, "closed": 0.25},
    "lipstick": {"none": 0.5, "red": 0.25, "purple": 0.25},
    "beard": {"none": 0.5, "moustache": 0.25, "full": 0.25},
    "glasses": {"none": 0.5, "round": 0.25, "sunglasses": 0.25},
    "hat": {"none": 0.55, "beanie": 0.15, "cap": 0.15, "top_hat": 0.15},
}
"""Where values are not equally likely, so that most scenes show hair and eyes; every other attribute is uniform."""

Joint = Callable[[random.Random, Mapping[str, str]], Mapping[str, str]]
"""Turns independent attributes into those of a biased data set."""


@dataclass(frozen=True)
class Caption:
    """A sentence about a scene and the attribute values it mentions."""

    text: str
    facts: Mapping[str, str]

    def true_of(self, scene: Scene) -> bool:
        """Whether every fact can be seen in the scene and holds there."""
        visible = scene.visible()
        return all(name in visible and scene.attributes[name] == value for name, value in self.facts.items())


@dataclass(frozen=True)
class Scene:
    """One portrait; sizes are in pixels, and any size draws the same portrait."""

    seed: int
    attributes: Mapping[str, str]
    nuisance: Nuisance

    def render(self, size: int = 64) -> tuple[np.ndarray, np.ndarray]:
        """The image uint8 [size, size, 3] and its segment labels uint8 [size, size], indices into SEGMENTS."""
        canvas = draw(self.attributes, self.nuisance, size)
        return self._coloured(canvas), _labelled(canvas)

    def image(self, size: int = 64) -> np.ndarray:
        """uint8 [size, size, 3], sRGB."""
        return self._coloured(draw(self.attributes, self.nuisance, size))

    def labels(self, size: int = 64) -> np.ndarray:
        """uint8 [size, size], indices into SEGMENTS: the segment that covers most of each pixel."""
        return _labelled(draw(self.attributes, self.nuisance, size))

    def edited(self, attribute: str, value: str) -> Scene:
        """The same portrait with one attribute set. Unknown names raise ValueError and list the known ones."""
        check({attribute: value})
        return replace(self, attributes={**self.attributes, attribute: value})

    def visible(self) -> frozenset[str]:
        """The attributes that can be seen at all: changing any other one changes no pixel."""
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
        """A sentence on a random subset of what can be seen; without an rng always the same one for a scene's seed."""
        rng = rng or random.Random(f"caption:{self.seed}")
        visible = self.visible()
        facts = choose_facts({name: self.attributes[name] for name in LEXICON if name in visible}, rng)
        return Caption(say(facts, rng, wordings), facts)

    def numbers(self) -> np.ndarray:
        """The independent numbers, even in [0,1], that draw such a scene: each as the interval [start, end] that leads
        to this very scene, float64 [K,2]. K is the same for all scenes."""
        values = [_interval(name, self.attributes[name]) for name in LEXICON]
        return np.array([*values, *numbers_of(self.nuisance)])

    def record(self) -> dict[str, object]:
        """What a JSON file must hold for `recall` to bring the scene back."""
        return {"seed": self.seed, "attributes": dict(self.attributes)}

    def _coloured(self, canvas: Image.Image) -> np.ndarray:
        canvas.putpalette(palette(self.attributes, self.nuisance).tobytes())
        flat = np.asarray(canvas.convert("RGB").reduce(SUPERSAMPLING), dtype=np.float32)
        lit = flat * _light(flat.shape[0], self.nuisance.light_side, self.nuisance.light_strength)
        return np.clip(np.rint(lit), 0, 255).astype(np.uint8)


def sample(seed: int, joint: Joint | None = None) -> Scene:
    """The scene of a seed. Attributes are independent unless `joint` says otherwise; nuisances never depend on it."""
    rng = random.Random(f"attributes:{seed}")
    attributes: Mapping[str, str] = {name: _draw_value(name, rng) for name in LEXICON}
    if joint is not None:
        attributes = dict(joint(rng, attributes))
        check(attributes)
    return Scene(seed, attributes, draw_nuisance(seed))


def recall(record: Mapping[str, object]) -> Scene:
    """The scene a `Scene.record()` was made from."""
    seed, attributes = record["seed"], record["attributes"]
    if not isinstance(seed, int) or not isinstance(attributes, Mapping):
        raise ValueError(f"a scene record holds an integer 'seed' and an object 'attributes', not {record!r}")
    check(attributes)
    scene = sample(seed)
    return replace(scene, attributes={**scene.attributes, **attributes})


def _draw_value(attribute: str, rng: random.Random) -> str:
    values = tuple(LEXICON[attribute])
    weights = MARGINALS.get(attribute)
    return rng.choices(values, None if weights is None else [weights[value] for value in values])[0]


def _interval(attribute: str, value: str) -> tuple[float, float]:
    """The part of [0,1] that stands for a value, as long as the value is likely."""
    values = tuple(LEXICON[attribute])
    weights = MARGINALS.get(attribute, dict.fromkeys(values, 1 / len(values)))
    start = sum(weights[other] for other in values[: values.index(value)])
    return start, start + weights[value]


def _labelled(canvas: Image.Image) -> np.ndarray:
    """uint8 [size, size]: the most frequent segment of each pixel's block of the material map."""
    size = canvas.width // SUPERSAMPLING
    segments = MATERIAL_SEGMENTS[np.asarray(canvas)]
    counts = np.bincount((_block_ids(size) + segments).ravel(), minlength=size * size * len(SEGMENTS))
    return counts.reshape(size, size, len(SEGMENTS)).argmax(axis=2).astype(np.uint8)


@lru_cache(maxsize=4)
def _block_ids(size: int) -> np.ndarray:
    """int64 [size * SUPERSAMPLING] squared: the first counter of the pixel each fine pixel belongs to."""
    pixel = np.arange(size * SUPERSAMPLING) // SUPERSAMPLING
    return (pixel[:, None] * size + pixel) * len(SEGMENTS)


def _light(size: int, side: int, strength: float) -> np.ndarray:
    """float32 [size, size, 1]: brightness that falls from the lit upper corner to the other one."""
    return np.float32(1.0) + np.float32(strength) * _slope(size, side)


@lru_cache(maxsize=8)
def _slope(size: int, side: int) -> np.ndarray:
    """float32 [size, size, 1]: from about +1 in the lit upper corner to about -1 in the corner across."""
    place = (np.arange(size, dtype=np.float32) + 0.5) / size * 2.0 - 1.0
    return (0.75 * side * place[None, :, None] - 0.35 * place[:, None, None]).astype(np.float32)

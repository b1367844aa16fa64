"""The materials of a portrait: the segment of each, and its colour in a scene."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from coral_core.zoo.portraits.nuisance import Nuisance

Colour = tuple[float, float, float]

SEGMENTS: tuple[str, ...] = (
    "background",
    "skin",
    "hair",
    "eyes",
    "brows",
    "nose",
    "mouth",
    "beard",
    "glasses",
    "hat",
    "earrings",
    "clothes",
)

# material -> (segment, colour family, lightness). A lightness below 1 mixes with a dark colour (INK), one above 1 with
# white: 1.3 is 30 % white. Families in FIXED_COLOURS have one colour, the colours of the others depend on attributes.
MATERIALS: dict[str, tuple[str, str, float]] = {
    "backdrop": ("background", "background", 1.0),
    "halo": ("background", "background", 1.22),
    "clothes": ("clothes", "clothes", 1.0),
    "clothes_shade": ("clothes", "clothes", 0.78),
    "clothes_light": ("clothes", "clothes", 1.2),
    "skin": ("skin", "skin", 1.0),
    "skin_shade": ("skin", "skin", 0.86),
    "skin_light": ("skin", "skin", 1.3),
    "neck_shade": ("skin", "skin", 0.76),
    "blush": ("skin", "blush", 1.0),
    "hair": ("hair", "hair", 1.0),
    "hair_back": ("hair", "hair", 0.74),
    "hair_light": ("hair", "hair", 1.26),
    "eyelid": ("eyes", "skin", 0.8),
    "eye_white": ("eyes", "eye_white", 1.0),
    "iris": ("eyes", "iris", 1.0),
    "iris_ring": ("eyes", "iris", 0.6),
    "pupil": ("eyes", "ink", 1.0),
    "glint": ("eyes", "white", 1.0),
    "lash": ("eyes", "ink", 1.0),
    "brow": ("brows", "brow", 1.0),
    "nose": ("nose", "nose", 1.0),
    "nose_light": ("nose", "skin", 1.22),
    "nostril": ("nose", "nose", 0.62),
    "lip": ("mouth", "lips", 1.0),
    "lip_line": ("mouth", "lips", 0.5),
    "teeth": ("mouth", "white", 1.0),
    "mouth_inside": ("mouth", "mouth_inside", 1.0),
    "tongue": ("mouth", "tongue", 1.0),
    "beard": ("beard", "beard", 1.0),
    "beard_light": ("beard", "beard", 1.14),
    "rim": ("glasses", "glasses", 1.0),
    "lens": ("glasses", "lens", 1.0),
    "lens_light": ("glasses", "lens", 1.3),
    "hat": ("hat", "hat", 1.0),
    "hat_shade": ("hat", "hat", 0.72),
    "hat_light": ("hat", "hat", 1.22),
    "gold": ("earrings", "gold", 1.0),
    "gold_rim": ("earrings", "gold", 0.45),
    "gold_light": ("earrings", "gold", 1.6),
}
MATERIAL_IDS: dict[str, int] = {name: index for index, name in enumerate(MATERIALS)}

FIXED_COLOURS: dict[str, Colour] = {
    "eye_white": (250, 250, 250),
    "white": (255, 255, 255),
    "ink": (34, 24, 30),
    "brow": (36, 23, 25),
    "beard": (36, 23, 25),
    "mouth_inside": (84, 18, 30),
    "tongue": (214, 92, 98),
    "glasses": (30, 30, 38),
    "lens": (36, 40, 52),
    "gold": (255, 200, 44),
}

# colour family -> (attribute, its colour per value)
ATTRIBUTE_COLOURS: dict[str, tuple[str, dict[str, Colour]]] = {
    "background": (
        "background",
        {
            "blue": (112, 172, 236),
            "green": (124, 202, 134),
            "pink": (250, 164, 200),
            "yellow": (252, 220, 92),
            "purple": (158, 118, 214),
            "orange": (250, 150, 70),
            "gray": (142, 146, 154),
            "white": (246, 246, 247),
        },
    ),
    "clothes": (
        "clothes_color",
        {
            "red": (208, 46, 52),
            "blue": (44, 84, 192),
            "green": (34, 136, 74),
            "yellow": (240, 196, 36),
            "purple": (122, 58, 168),
            "black": (40, 40, 48),
            "white": (224, 228, 236),
        },
    ),
    "skin": (
        "skin_tone",
        {
            "pale": (252, 226, 212),
            "light": (242, 192, 156),
            "tan": (208, 148, 100),
            "brown": (160, 106, 74),
            "dark": (86, 54, 46),
        },
    ),
    "hair": (
        "hair_color",
        {
            "black": (36, 32, 40),
            "brown": (126, 70, 26),
            "blond": (236, 198, 98),
            "red": (200, 74, 24),
            "gray": (182, 186, 192),
            "blue": (48, 100, 220),
            "pink": (242, 98, 172),
            "green": (48, 168, 84),
        },
    ),
    "iris": ("eye_color", {"blue": (44, 124, 236), "green": (32, 160, 76), "brown": (124, 68, 28)}),
    "lips": ("lipstick", {"red": (214, 16, 40), "purple": (142, 48, 176)}),  # natural lips depend on the skin
    "hat": (
        "hat_color",
        {
            "red": (214, 44, 48),
            "blue": (48, 92, 206),
            "green": (40, 146, 78),
            "yellow": (248, 204, 44),
            "purple": (130, 66, 178),
            "black": (42, 42, 50),
        },
    ),
}
INK: Colour = (30, 12, 20)
ROSE: Colour = (214, 84, 88)
WHITE: Colour = (255, 255, 255)

MATERIAL_SEGMENTS = np.array([SEGMENTS.index(segment) for segment, _, _ in MATERIALS.values()], dtype=np.uint8)
"""uint8 [materials]: the segment of each material."""


def palette(attributes: Mapping[str, str], nuisance: Nuisance) -> np.ndarray:
    """uint8 [materials, 3]: the sRGB colour of each material in a scene, before light."""
    families = _families(attributes, nuisance)
    colours = [_lightened(families[family], lightness) for _, family, lightness in MATERIALS.values()]
    return np.clip(np.rint(np.array(colours)), 0, 255).astype(np.uint8)


def _families(attributes: Mapping[str, str], nuisance: Nuisance) -> dict[str, Colour]:
    """The base colour of each family, with its colour jitter."""
    colours = dict(FIXED_COLOURS)
    for family, (attribute, values) in ATTRIBUTE_COLOURS.items():
        if attributes[attribute] in values:
            colours[family] = values[attributes[attribute]]
    colours.setdefault("lips", _mixed(colours["skin"], (190, 70, 78), 0.5))
    for family, tint in nuisance.tints.items():
        red, green, blue = colours[family]
        colours[family] = (red + tint[0], green + tint[1], blue + tint[2])
    colours["blush"] = _mixed(colours["skin"], ROSE, 0.22)
    colours["nose"] = _mixed(_lightened(colours["skin"], 0.78), ROSE, 0.14)
    return colours


def _lightened(colour: Colour, lightness: float) -> Colour:
    """The colour mixed with INK for a lightness below 1, with white above 1."""
    return _mixed(INK, colour, lightness) if lightness <= 1 else _mixed(colour, WHITE, lightness - 1)


def _mixed(first: Colour, second: Colour, share: float) -> Colour:
    """The linear interpolation from the first (share 0) to the second colour (share 1)."""
    red, green, blue = (a + (b - a) * share for a, b in zip(first, second, strict=True))
    return red, green, blue

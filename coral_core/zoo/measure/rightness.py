"""Edits compared with their exact answers, pixel by pixel: which truly changed pixels are right, which are ghosts.

The true region R holds the pixels that the exact answer changes (ground_truth.true_region). A pixel p of R is right if
within one pixel of p the output has the answer's segment at p and the answer's colour at p: a colour whose distance to
the answer (L1 over RGB) is less than half of the distance between source and answer at p. Brows and mouths are a few
pixels wide, so that some of their pixels are right without any edit: figures are read beside those of the unedited
inversion.

The colour is waived where it follows from an attribute that the source does not show and the edit does not name, such
as the colour of a hat that is added, or of hair under a hat that is taken off: every colour is then as good.

A pixel of R is a ghost if its colour is a mixture: it lies near the line from source to answer, and nearer to its
middle than to either end.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from coral_core.zoo.measure.ground_truth import Values, answer_of, true_region
from coral_core.zoo.portraits.domain import LEXICON, Scene

ENOUGH = 0.75
"""Share of a case's changed pixels that must be right for the case to count as right."""
HALF = 0.5
"""A right colour is nearer to the answer than this share of the distance between source and answer."""
NEAR_LINE = 0.25
"""Largest distance of a ghost's colour from the line between source and answer, relative to the length of the line."""
COLOURS = ("hair_color", "hat_color", "eye_color")
"""The attributes that give a colour and can be hidden by other attributes."""


@dataclass(frozen=True)
class ExactAnswers:
    """N scenes that one edit is scored on, and their exact answers."""

    scenes: tuple[Scene, ...]
    wants: Values
    sources_NHWC: np.ndarray  # uint8; the rendered scenes
    answers_NHWC: np.ndarray  # uint8; the exact answer of each scene
    answer_labels_NHW: np.ndarray  # uint8; indices into SEGMENTS
    regions_NHW: np.ndarray  # bool; where the answers differ from the sources
    waived_NHW: np.ndarray  # bool; where the answer's colour follows from what neither source nor edit tells


def exact_answers(scenes: Sequence[Scene], wants: Values, size: int) -> ExactAnswers:
    """Render the scenes and their answers at `size` px. ValueError without scenes and for unknown attributes."""
    if not scenes:
        raise ValueError("no scene is a case of this edit; give more scenes")
    answers = [answer_of(scene, wants) for scene in scenes]
    sources_NHWC = np.stack([scene.image(size) for scene in scenes])
    images, labels = zip(*(answer.render(size) for answer in answers), strict=True)
    answers_NHWC, answer_labels_NHW = np.stack(images), np.stack(labels)
    waived_NHW = np.stack(
        [
            _waived(scene, answer, wants, answer_HWC)
            for scene, answer, answer_HWC in zip(scenes, answers, answers_NHWC, strict=True)
        ]
    )
    return ExactAnswers(
        scenes=tuple(scenes),
        wants=wants,
        sources_NHWC=sources_NHWC,
        answers_NHWC=answers_NHWC,
        answer_labels_NHW=answer_labels_NHW,
        regions_NHW=true_region(sources_NHWC, answers_NHWC),
        waived_NHW=waived_NHW,
    )


def right_shares(output_NHWC: np.ndarray, output_labels_NHW: np.ndarray, exact: ExactAnswers) -> np.ndarray:
    """For each scene the share of the true region's pixels that are right, float [N], 0 to 1.

    The output is uint8 [N,H,W,3], its segments int [N,H,W] indices into SEGMENTS. Regions must not be empty, which
    holds for every case (ground_truth.is_case).
    """
    return _shares(right_pixels(output_NHWC, output_labels_NHW, exact), exact.regions_NHW)


def right_rate(shares_N: np.ndarray) -> float:
    """The share of the scenes that are right as a whole: of their `right_shares`, those of ENOUGH and more. 0 to 1."""
    return float((shares_N >= ENOUGH).mean())


def ghost_shares(output_NHWC: np.ndarray, exact: ExactAnswers) -> np.ndarray:
    """For each scene the share of the true region's pixels that are ghosts, float [N], 0 to 1; arguments as above."""
    return _shares(ghost_pixels(output_NHWC, exact.sources_NHWC, exact.answers_NHWC), exact.regions_NHW)


def right_pixels(output_NHWC: np.ndarray, output_labels_NHW: np.ndarray, exact: ExactAnswers) -> np.ndarray:
    """Whether the output is right at each pixel, bool [N,H,W]; it has a meaning inside the true region only."""
    allowed_NHW = HALF * _distance(exact.sources_NHWC, exact.answers_NHWC)
    right_NHW = np.zeros(exact.regions_NHW.shape, dtype=bool)
    for near, near_labels in zip(_neighbours(output_NHWC), _neighbours(output_labels_NHW), strict=True):
        coloured_NHW = exact.waived_NHW | (_distance(near, exact.answers_NHWC) < allowed_NHW)
        right_NHW |= coloured_NHW & (near_labels == exact.answer_labels_NHW)
    return right_NHW


def ghost_pixels(output_NHWC: np.ndarray, source_NHWC: np.ndarray, answer_NHWC: np.ndarray) -> np.ndarray:
    """Whether the output is a mixture of source and answer at each pixel, bool [N,H,W]; images are uint8 [N,H,W,3].

    It has a meaning inside the true region only: elsewhere source and answer are equal, and so are their mixtures.
    """
    output, source, answer = (image.astype(np.float32) for image in (output_NHWC, source_NHWC, answer_NHWC))
    line, moved = answer - source, output - source
    length_NHW = np.maximum(np.square(line).sum(3), 1e-6)
    along_NHW = (moved * line).sum(3) / length_NHW
    off_NHW = np.square(moved - along_NHW[..., None] * line).sum(3) / length_NHW
    ghost_NHW: np.ndarray = (np.abs(along_NHW - 0.5) < 0.25) & (off_NHW < NEAR_LINE**2)
    return ghost_NHW


def _waived(scene: Scene, answer: Scene, wants: Values, answer_HWC: np.ndarray) -> np.ndarray:
    """bool [H,W]: where another value of an attribute that neither scene nor edit tells gives another colour."""
    waived_HW = np.zeros(answer_HWC.shape[:2], dtype=bool)
    for name in (answer.visible() - scene.visible() - set(wants)) & set(COLOURS):
        for value in set(LEXICON[name]) - {answer.attributes[name]}:
            waived_HW |= true_region(answer_HWC, answer.edited(name, value).image(len(answer_HWC)))
    return waived_HW


def _shares(marked_NHW: np.ndarray, regions_NHW: np.ndarray) -> np.ndarray:
    share_N: np.ndarray = (marked_NHW & regions_NHW).sum((1, 2)) / regions_NHW.sum((1, 2))
    return share_N


def _distance(one_NHWC: np.ndarray, other_NHWC: np.ndarray) -> np.ndarray:
    """L1 over RGB of two uint8 images, [N,H,W]."""
    distance_NHW: np.ndarray = np.abs(one_NHWC.astype(np.int16) - other_NHWC).sum(3)
    return distance_NHW


def _neighbours(values_NHW: np.ndarray) -> list[np.ndarray]:
    """The values at the nine places of each 3x3 neighbourhood; the border is repeated. Nine arrays of equal shape."""
    padded = np.pad(values_NHW, ((0, 0), (1, 1), (1, 1), *((0, 0),) * (values_NHW.ndim - 3)), mode="edge")
    height, width = values_NHW.shape[1:3]
    return [padded[:, y : y + height, x : x + width] for y in range(3) for x in range(3)]

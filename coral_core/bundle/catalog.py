"""The known bundles, and the description of a bundle's files."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from coral_core.bundle.weights import read_header, weights_digest

PARTS = ("generator", "encoder", "clip", "identity", "segmenter", "perceptual")
BUNDLES: Mapping[str, Path] = {"portraits": Path(__file__).parents[1] / "zoo" / "weights"}


@dataclass(frozen=True)
class Bundle:
    """A folder with one weight file per part."""

    name: str
    path: Path
    image_size: int  # pixels of the generator's square images
    num_ws: int
    w_dim: int
    digests: Mapping[str, str]  # part -> digest of its sizes and weights

    @property
    def conv_sizes(self) -> tuple[int, ...]:
        """Output size (pixels per side) of each convolution of the generator, coarse to fine."""
        return tuple(4 * 2 ** ((layer + 1) // 2) for layer in range(self.num_ws - 1))

    @property
    def digest(self) -> str:
        """SHA-256 over the digests of all parts."""
        return hashlib.sha256("".join(f"{part}:{self.digests[part]}\n" for part in PARTS).encode()).hexdigest()


def read_bundle(name_or_path: str) -> Bundle:
    """A bundle by catalogue name or folder. ValueError for an unknown bundle, and for a folder that lacks a part."""
    path = BUNDLES.get(name_or_path) or Path(name_or_path)
    if not path.is_dir():
        raise ValueError(f"no bundle {name_or_path!r}: give one of {sorted(BUNDLES)} or a folder of weight files")
    missing = [part for part in PARTS if not (path / f"{part}.safetensors").is_file()]
    if missing:
        raise ValueError(f"bundle {path} lacks {', '.join(f'{part}.safetensors' for part in missing)}")
    sizes = read_header(path / "generator.safetensors").config
    return Bundle(
        name=name_or_path if name_or_path in BUNDLES else path.name,
        path=path,
        image_size=sizes["image_size"],
        num_ws=2 * len(sizes["channels"]),
        w_dim=sizes["w_dim"],
        digests={part: weights_digest(path / f"{part}.safetensors") for part in PARTS},
    )

"""Weight files: safetensors with the network's sizes, its recipe and its measured quality in the metadata.

Tensors are stored as float16, unless the writer asks for another type, and used as float32. Nothing in such a file is
ever executed.
"""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

import torch
from safetensors.torch import load_file, save_file
from torch import nn

Config = TypeVar("Config")

MOST_HEADER_BYTES = 100 * 2**20


@dataclass(frozen=True)
class WeightsHeader:
    """What a weight file says about itself."""

    part: str  # which network of a bundle it is
    config: Mapping[str, Any]  # sizes, as the network's config class takes them
    recipe: Mapping[str, Any]  # how it was trained
    metrics: Mapping[str, Any]  # how good it was when it was written


def save_weights(
    path: Path,
    part: str,
    module: nn.Module,
    *,
    config: Any,
    recipe: Mapping[str, Any],
    metrics: Mapping[str, Any],
    dtype: torch.dtype = torch.float16,
) -> None:
    """Write atomically: readers see the old file or the new one. `dtype` is that of the floating-point tensors.

    ValueError for a value that overflows in `dtype`.
    """
    state = {
        key: stored_as(dtype if value.is_floating_point() else value.dtype, key, value)
        for key, value in module.state_dict().items()
    }
    sizes = config if isinstance(config, Mapping) else asdict(config)
    notes = {"config": sizes, "recipe": recipe, "metrics": metrics}
    metadata = {"part": part} | {key: json.dumps(value, sort_keys=True) for key, value in notes.items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".tmp")
    save_file(state, temporary, metadata=metadata)
    temporary.replace(path)


def stored_as(dtype: torch.dtype, name: str, tensor: torch.Tensor) -> torch.Tensor:
    """A tensor as a file holds it. ValueError where a finite value becomes infinite in `dtype`."""
    given = tensor.detach().cpu()
    stored = given.to(dtype).contiguous()
    if (given.isfinite() & ~stored.isfinite()).any():
        largest = given[given.isfinite()].abs().max().item()
        most = torch.finfo(dtype).max
        raise ValueError(
            f"tensor {name!r} has a value of magnitude {largest:.6g}; {dtype} holds at most {most:.6g}: "
            "write it with dtype=torch.float32, or train it to smaller values"
        )
    return stored


def read_header(path: Path) -> WeightsHeader:
    """The metadata alone, without torch touching a tensor."""
    with path.open("rb") as file:
        metadata = _index(file, path).get("__metadata__", {})
    missing = {"part", "config"} - set(metadata)
    if missing:
        raise ValueError(f"{path} lacks {sorted(missing)} in its metadata; write it with `coral zoo train`")
    return WeightsHeader(
        part=metadata["part"],
        config=json.loads(metadata["config"]),
        recipe=json.loads(metadata.get("recipe", "{}")),
        metrics=json.loads(metadata.get("metrics", "{}")),
    )


def weights_digest(path: Path) -> str:
    """sha256 of what the network computes: sizes, tensor index and tensor bytes.

    Recipe and metrics do not count, nor does the order of keys in the header, which safetensors does not fix.
    """
    with path.open("rb") as file:
        index = _index(file, path)
        metadata = index.pop("__metadata__", {})
        index["__metadata__"] = {key: metadata.get(key) for key in ("part", "config")}
        digest = hashlib.sha256(json.dumps(index, sort_keys=True).encode())
        while block := file.read(2**20):
            digest.update(block)
    return digest.hexdigest()


def _index(file: BinaryIO, path: Path) -> dict[str, Any]:
    """The JSON header of a safetensors file; leaves the file at the first tensor byte."""
    size = struct.unpack("<Q", file.read(8).ljust(8, b"\0"))[0]
    if not 0 < size <= MOST_HEADER_BYTES:
        raise ValueError(f"{path} is not a safetensors file: its header claims {size} bytes")
    index: dict[str, Any] = json.loads(file.read(size))
    return index


def load_state(path: Path, module: nn.Module) -> None:
    """Load strictly; a mismatch names the first keys and both shapes."""
    state = {key: value.float() if value.is_floating_point() else value for key, value in load_file(path).items()}
    load_strict(module, state, path.name)


def load_strict(module: nn.Module, state: Mapping[str, torch.Tensor], origin: str) -> None:
    """`module.load_state_dict` with an error that says what differs."""
    own = module.state_dict()
    wrong = [f"{key} missing" for key in own if key not in state]
    wrong += [f"{key} unexpected" for key in state if key not in own]
    wrong += [
        f"{key} is {tuple(state[key].shape)}, wanted {tuple(own[key].shape)}"
        for key in own
        if key in state and state[key].shape != own[key].shape
    ]
    if wrong:
        raise ValueError(f"{origin} does not fit {type(module).__name__}: {'; '.join(wrong[:5])} ({len(wrong)} in all)")
    module.load_state_dict(dict(state))


def parse_config(cls: type[Config], values: Mapping[str, Any]) -> Config:
    """A config dataclass from JSON: lists become tuples, unknown and missing keys are errors of the class itself."""
    known = {field.name for field in fields(cls)}  # type: ignore[arg-type]
    unknown = sorted(set(values) - known)
    if unknown:
        raise ValueError(f"{cls.__name__} knows {sorted(known)}, not {unknown}")
    return cls(**{key: tuple(value) if isinstance(value, list) else value for key, value in values.items()})

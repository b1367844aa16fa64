"""The labels of an edited image: those of its source with the edit's changes, and the split of the source.

An edit's label changes are a merge patch (RFC 7396) whose keys may be dotted paths: {"hair_color": "red",
"attributes.smile": True, "caption": None}. A path addresses nested objects unless the source has exactly that key; None
removes a label that may be wrong after the edit.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath
from urllib.parse import unquote, urlsplit

Labels = Mapping[str, object]

NON_OBJECT_KEY = "json"
"""The key for metadata that is not a JSON object; the same as for a tar's json member that is not an object."""
SPLIT = "split"
"""The label with the split of a sample. No edit may change it."""
SPLIT_NAMES: Mapping[str, str] = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "test": "test",
    "testing": "test",
}
NEAR_FOLDERS = 2
"""Number of folders above a shard whose names may give the split; folders further up (/home/test) do not."""


def flat_labels(changes: Mapping[str, object]) -> dict[str, object]:
    """Label changes with nested mappings written as dotted paths.

    Errors: ValueError for the label `split`, for a value that JSON cannot hold, for an empty mapping, and for one
    label inside another.
    """
    flat: dict[str, object] = {}
    for path, value in _paths(changes):
        if path in flat:
            raise ValueError(f"the label {path!r} is given twice; give it once, dotted or nested")
        flat[path] = _json_value(path, value)
    for path in flat:
        outer = next((other for other in flat if path.startswith(f"{other}.")), None)
        if outer is not None:
            raise ValueError(f"the label {path!r} lies inside {outer!r}, which is given too; give one of them")
    if any(path.partition(".")[0] == SPLIT for path in flat):
        raise ValueError(
            f"the label {SPLIT!r} is inherited from the source, so that no edit moves to another split; leave it out"
        )
    return flat


def merge_labels(metadata: str | None, changes: Labels) -> str:
    """The metadata with the label changes (as flat_labels gives them) merged in; the same text if nothing changes."""
    labels = read_labels(metadata)
    changed = [_apply_change(labels, path, value) for path, value in changes.items()]
    if metadata is not None and not any(changed):
        return metadata
    return json.dumps(labels, ensure_ascii=False)


def read_labels(metadata: str | None) -> dict[str, object]:
    """Metadata as an object: another JSON value is kept under the key `json`, as is invalid JSON, as text."""
    if metadata is None:
        return {}
    try:
        found = json.loads(metadata)
    except ValueError:
        found = metadata
    return found if isinstance(found, dict) else {NON_OBJECT_KEY: found}


def split_of(metadata: str | None, shard_split: str | None) -> str | None:
    """The split of a sample: its label `split` if that is text, otherwise the split of its shard."""
    if metadata is not None and f'"{SPLIT}"' in metadata:  # parsing is slow
        given = read_labels(metadata).get(SPLIT)
        if isinstance(given, str) and given:
            return given
    return shard_split


def split_of_shard(uri: str) -> str | None:
    """train, val or test if the shard's name has that word ("train-00000.tar", "coco_val_3.tar"), or else if one of
    the two folders above it has that name without digits ("val2017/0.tar"). None if there is no split or two splits."""
    *folders, name = PurePosixPath(_path_in(uri)).parts or ("",)
    found = {SPLIT_NAMES[word] for word in re.split("[^a-z]+", name.lower()) if word in SPLIT_NAMES}
    if found:
        return found.pop() if len(found) == 1 else None
    words = [re.sub("[^a-z]+", "", folder.lower()) for folder in reversed(folders[-NEAR_FOLDERS:])]
    return next((SPLIT_NAMES[word] for word in words if word in SPLIT_NAMES), None)


def _path_in(uri: str) -> str:
    """Keys of a bucket are used unchanged, also with % # and ? in them; the paths in file URLs are percent-encoded."""
    if uri.startswith("s3://"):
        return uri.removeprefix("s3://").partition("/")[2]
    return unquote(urlsplit(uri).path)


def _paths(changes: Mapping[str, object], prefix: str = "") -> Iterator[tuple[str, object]]:
    for key, value in changes.items():
        path = f"{prefix}{key}"
        if not isinstance(key, str) or not all(path.split(".")):
            raise ValueError(f"the label {path!r} has an empty part or is not text; give names such as hair.color")
        if isinstance(value, Mapping):
            if not value:
                raise ValueError(f"the label {path!r} is an empty mapping; name what changes in it, or give null")
            yield from _paths(value, f"{path}.")
        else:
            yield path, value


def _json_value(path: str, value: object) -> object:
    """The value after conversion to JSON and back."""
    try:
        return json.loads(json.dumps(value, allow_nan=False))
    except (TypeError, ValueError) as error:
        raise ValueError(f"the label {path!r} is {value!r}, which JSON cannot hold ({error}); quote it") from None


def _apply_change(labels: dict[str, object], path: str, value: object) -> bool:
    """Set, or for None remove, the label at a dotted path. Returns whether the labels changed."""
    name, dot, rest = path.partition(".")
    if not dot or path in labels:
        before = labels.pop(path, None) if value is None else labels.get(path)
        if value is not None:
            labels[path] = value
        return type(before) is not type(value) or before != value
    inner = labels.get(name)
    if not isinstance(inner, dict):
        if value is None:
            return False
        labels[name] = inner = {}
    return _apply_change(inner, rest, value)

"""What is asked for, and the ids that follow from it.

An id is the sha256 of the canonical JSON of everything that changes the result, and of nothing else: two requests with
one id have one answer, whoever computed it, and a change of what a computation does not read leaves its id alone.
`batch_size` is in it because the last bits of a network's output depend on it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Literal

from coral_core.editors.limits import UNLIMITED, Limits
from manifests.stores.s3_options import AMBIENT, S3Options
from tasks.spec.geometry import Geometry, OutputSize

INVERT_VERSION = 2
FIT_VERSION = 2
EDIT_VERSION = 1
"""Raised when the code of a computation changes its results: everything stored before is then computed again."""

ImageFormat = Literal["png", "jpeg", "webp"]
Onto = Literal["source", "reconstruction"]


def canonical_json(content: object) -> str:
    """One text per value: sorted keys, no spaces; NaN is refused."""
    return json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def content_id(content: object) -> str:
    """sha256 of the canonical JSON, hexadecimal."""
    return hashlib.sha256(canonical_json(content).encode()).hexdigest()


@dataclass(frozen=True, kw_only=True)
class Shard:
    """One source tar, known by its content and not by its place in a list."""

    uri: str
    size: int  # bytes
    sha256: str = ""  # of a local file
    etag: str = ""  # of an object in a bucket, which is not read for a digest: whoever has this etag has these bytes
    stamp: str = ""  # size and modification time when the digest was taken: says cheaply that it still holds
    limit: int | None = None  # only this many samples from the start; another limit is another request
    s3: S3Options = AMBIENT  # how its bucket is reached

    @property
    def content(self) -> Mapping[str, object]:
        """What of a shard changes a result."""
        named = {"sha256": self.sha256, "etag": self.etag}
        return {"uri": self.uri, "size": self.size, **named, "limit": self.limit}

    @cached_property
    def id(self) -> str:
        """Short name of the shard in object keys."""
        return content_id(self.content)[:16]


@dataclass(frozen=True, kw_only=True)
class InvertSpec:
    """How images become latents; the same for all shards of a run."""

    geometry: Geometry
    batch_size: int
    digests: Mapping[str, str]  # of the generator and the encoder

    @cached_property
    def digest(self) -> str:
        """One number for all of it, and the version of the computation. The output's size is the edits' concern."""
        content = {"fit": self.geometry.fit, "batch_size": self.batch_size, "digests": dict(self.digests)}
        return content_id({"version": INVERT_VERSION, **content})

    @property
    def invert_id(self) -> str:
        """Folder of these inversions."""
        return self.digest[:16]


@dataclass(frozen=True, kw_only=True)
class InvertRequest:
    """Latents for every sample of one shard."""

    shard: Shard
    spec: InvertSpec
    retry: int = 0  # which time it is tried again on request

    @cached_property
    def id(self) -> str:
        """Name of the commit."""
        again = {"retry": self.retry} if self.retry else {}
        return content_id({"kind": "invert", "shard": self.shard.content, "spec": self.spec.digest, **again})


@dataclass(frozen=True, kw_only=True)
class FitRequest:
    """One editor trained on seeded generator samples, where no user data is involved, or on captioned images."""

    method: str
    options: Mapping[str, object]  # resolved: every option of the method and of the fit, defaults included
    target: str  # empty, with source, for a method that serves any prompt
    source: str
    digests: Mapping[str, str]  # of the bundle parts the fit reads
    captions: tuple[Shard, ...] = ()  # tars of captioned images, in place of generator samples
    base: str = ""  # id of the fit that this one builds upon
    shipped: str = ""  # sha256 of the bundle's own artifact, where that is the answer

    @property
    def content(self) -> Mapping[str, object]:
        """What changes the result. What a fit does without is left out, so that its id is older than these fields."""
        later = {"captions": [shard.content for shard in self.captions], "base": self.base, "shipped": self.shipped}
        common = {name: value for name, value in asdict(self).items() if name not in later}
        return {**common, **{name: value for name, value in later.items() if value}}

    @cached_property
    def id(self) -> str:
        """Name of the artifact."""
        return content_id({"kind": "fit", "version": FIT_VERSION, **self.content})


@dataclass(frozen=True, kw_only=True)
class EditSpec:
    """One edit of the job; the same for all shards of a run."""

    slug: str  # the job's name for it
    target: str
    source: str
    method: str
    options: Mapping[str, object]  # resolved, as in FitRequest
    fit_id: str  # the artifact it uses; empty for a method that keeps none
    strength: float
    onto: Onto  # what the edit is composited onto
    image_format: ImageFormat
    seed: int
    batch_size: int
    digests: Mapping[str, str]  # of the bundle parts that editing and scoring read
    output: OutputSize = "generator"  # the size it is given back in
    invert_id: str = ""  # how its sources are inverted: under one edit_id there is one image of every sample
    limits: Limits = UNLIMITED  # what the user takes from the regions of the method
    mask: str = ""  # suffix of the samples' members that say where the edit may act; empty: everywhere
    reference: Shard | None = None  # the image to resemble, known by its content as a tar is

    @cached_property
    def digest(self) -> str:
        """One number for all of it, and the version of the computation.

        An edit that is limited by nothing, or has no reference, has the number it had before there were any.
        """
        content = {"version": EDIT_VERSION, **asdict(self)}
        regions = {name: content.pop(name) for name in ("limits", "mask")}
        del content["reference"]
        if self.mask or self.limits != UNLIMITED:
            content["regions"] = regions
        if self.reference is not None:
            content["reference"] = self.reference.content
        return content_id(content)

    @property
    def edit_id(self) -> str:
        """The edit's name in rows and object keys."""
        return f"{self.slug}-{self.digest[:8]}"

    @cached_property
    def models_digest(self) -> str:
        """One number for the bundle parts that were read."""
        return content_id(dict(self.digests))


@dataclass(frozen=True, kw_only=True)
class EditRequest:
    """One edit of every sample of one shard."""

    inversion: InvertRequest
    spec: EditSpec
    retry: int = 0  # which time it is tried again on request

    @property
    def shard(self) -> Shard:
        """The shard whose inversion is edited."""
        return self.inversion.shard

    @cached_property
    def id(self) -> str:
        """Name of the commit."""
        again = {"retry": self.retry} if self.retry else {}
        return content_id({"kind": "edit", "inversion": self.inversion.id, "edit": self.spec.digest, **again})

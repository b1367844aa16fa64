"""Requests and their ids.

An id is the sha256 of the canonical JSON of everything that changes the result, and of nothing else: two requests with
the same id have the same result, and a change of something that a computation does not read does not change its id.
`batch_size` is in it because the last bits of a network's output depend on it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from sys import intern
from typing import Literal

from coral_core.editors.limits import UNLIMITED, Limits
from coral_core.types import Prompt
from manifests.stores.s3_options import AMBIENT, S3Options
from tasks.spec.geometry import Geometry, OutputSize

INVERT_VERSION = 2
FIT_VERSION = 2
EDIT_VERSION = 1
"""Increased when the code of a computation changes its results: stored results are then computed again."""

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
    """One source tar, identified by its content and not by its position in a list."""

    uri: str
    size: int  # bytes
    sha256: str = ""  # of a local file
    etag: str = ""  # of an object in a bucket, which is not read for a digest: equal etags are equal bytes
    stamp: str = ""  # of the file when the digest was computed (see stamp_of): if equal, the digest is still valid
    limit: int | None = None  # only this many samples from the start; another limit is another request
    s3: S3Options = AMBIENT  # how its bucket is reached

    @property
    def content(self) -> Mapping[str, object]:
        """The fields of a shard that change a result."""
        named = {"sha256": self.sha256, "etag": self.etag}
        return {"uri": self.uri, "size": self.size, **named, "limit": self.limit}

    @property
    def version(self) -> str:
        """Which content it has: the digest of the file, or the etag of the object; different after every change."""
        return self.sha256 or self.etag

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
        """One digest of all fields and the version of the computation. The output's size is part of the edits only."""
        content = {"fit": self.geometry.fit, "batch_size": self.batch_size, "digests": dict(self.digests)}
        return content_id({"version": INVERT_VERSION, **content})

    @property
    def invert_id(self) -> str:
        """Name of the folder of these inversions."""
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
    digests: Mapping[str, str]  # of the bundle parts that the fit reads
    wishes: tuple[str, ...] = ()  # of the target, sorted, if the job says them
    captions: tuple[Shard, ...] = ()  # tars of captioned images, in place of generator samples
    base: str = ""  # id of the fit that this one starts from
    shipped: str = ""  # sha256 of the bundle's own artifact, if that is the result

    @property
    def content(self) -> Mapping[str, object]:
        """What changes the result. Later fields are left out if they are empty, so that old ids stay valid."""
        captions = [shard.content for shard in self.captions]
        later = {"wishes": sorted(self.wishes), "captions": captions, "base": self.base, "shipped": self.shipped}
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
    output: OutputSize = "generator"  # the size of the edited image
    invert_id: str = ""  # inversion of its sources: so each edit_id has only one image of every sample
    limits: Limits = UNLIMITED  # the user's restriction of the method's regions
    mask: str = ""  # suffix of the samples' members that are user masks; empty: no user mask
    reference: Shard | None = None  # the reference image, identified by its content as a tar is
    all_of: tuple[str, ...] = ()  # the wishes of the target, sorted, because their order changes nothing

    @cached_property
    def digest(self) -> str:
        """One digest of all fields and the version of the computation.

        Limits, mask, reference and all_of are left out if they are not used, so that edits without them keep their old
        digest.
        """
        content = {"version": EDIT_VERSION, **asdict(self)}
        regions = {name: content.pop(name) for name in ("limits", "mask")}
        if not self.limits.difference:
            del regions["limits"]["difference"]
        del content["reference"], content["all_of"]
        if self.mask or self.limits != UNLIMITED:
            content["regions"] = regions
        if self.reference is not None:
            content["reference"] = self.reference.content
        if self.all_of:
            content["all_of"] = sorted(self.all_of)
        return content_id(content)

    @property
    def edit_id(self) -> str:
        """The edit's name in rows and object keys."""
        return f"{self.slug}-{self.digest[:8]}"

    @property
    def prompt(self) -> Prompt:
        """The texts, without the embedding of the reference image."""
        return Prompt(self.target, self.source, wishes=self.all_of)

    @cached_property
    def models_digest(self) -> str:
        """One digest of the bundle parts that were read."""
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
        again = f',"retry":{self.retry}' if self.retry else ""  # canonical_json() takes ten times as long
        text = f'{{"edit":"{self.spec.digest}","inversion":"{self.inversion.id}","kind":"edit"{again}}}'
        return intern(hashlib.sha256(text.encode()).hexdigest())  # one text in memory for all uses of an id

"""A store in an S3 bucket, or in any service that speaks S3 and obeys If-None-Match and If-Match on PutObject.

Requests that may be repeated are repeated by botocore, and a body that breaks off goes on from where it broke, provided
the etag is still the same. Conditional writes go through a client that sends once: a repeated put_new would find its
own object and take it for somebody else's. What certainly did not happen is sent again here; the rest is CommitUnknown.

Credentials are found by boto3's own chain in each process. They are in no field, message, pickle or log of ours, and
botocore's log is kept at WARNING: below, it shows them, or tells of every client where they were found.
"""

from __future__ import annotations

import logging
import os
import random
import re
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from botocore import exceptions as boto

from manifests.stores.disk_errors import TEMPORARY, naming_full_disk
from manifests.stores.resumable_file import open_spool
from manifests.stores.s3_errors import WRONG_ADDRESS, Fault
from manifests.stores.s3_options import AMBIENT, S3Options, check_address
from manifests.stores.store import (
    CommitUnknown,
    ObjectChanged,
    ObjectInfo,
    StoreRefused,
    StoreUnavailable,
    Upload,
    check_key,
)

ATTEMPTS = 8  # at a conditional write, or at a body without a byte of progress
REPEATS = 5  # of other requests, by botocore
CHUNK = 1 << 20  # bytes of a body at a time
PAGE = 1000  # objects per request of a listing; S3 gives no more
MULTIPART = 64 << 20  # bytes from which on a file is uploaded in parts
PART = 16 << 20  # bytes
CONTENT_TYPES: Mapping[str, str] = {
    ".html": "text/html; charset=utf-8",
    ".json": "application/json",
    ".md": "text/plain; charset=utf-8",
    ".png": "image/png",
}
"""Of what people look at, by the end of its name: a browser opens these, and downloads the rest."""

_ERRORS = (boto.ClientError, boto.BotoCoreError)
_NETWORK = (boto.HTTPClientError, boto.ConnectionError, boto.IncompleteReadError)
_BODY = (boto.HTTPClientError, boto.IncompleteReadError, boto.FlexibleChecksumError)
_QUOTABLE = (boto.EndpointConnectionError, boto.ConnectTimeoutError, boto.ReadTimeoutError, boto.SSLError)


@dataclass(frozen=True)
class S3Store:
    """Objects below s3://bucket/prefix. A plain value: made without a request, and pickled into any process."""

    uri: str
    options: S3Options = AMBIENT

    def __post_init__(self) -> None:
        object.__setattr__(self, "uri", check_address(self.uri.rstrip("/")))
        if not re.fullmatch(r"s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](/.*)?", self.uri, re.DOTALL):
            raise ValueError(f"cannot open {self.uri!r}: an S3 address is s3://bucket or s3://bucket/prefix")
        if self._root:
            check_key(self._root.removesuffix("/"))

    def __str__(self) -> str:
        return self.uri if self.options.endpoint is None else f"{self.uri} at {self.options.endpoint}"

    @property
    def bucket(self) -> str:
        return self.uri.removeprefix("s3://").partition("/")[0]

    def head(self, key: str) -> ObjectInfo | None:
        name = self._name(key)
        try:
            with self._asking(f"look for {key!r}") as s3:
                answer = s3.head_object(Bucket=self.bucket, Key=name)
        except FileNotFoundError:
            with self._asking(f"look for {key!r}") as s3:  # an answer to HEAD does not say whether the bucket exists
                s3.list_objects_v2(Bucket=self.bucket, Prefix=name, MaxKeys=1)
            return None
        return ObjectInfo(key, answer["ContentLength"], answer["ETag"], _seconds(answer["LastModified"]))

    def read(self, key: str, start: int = 0, length: int | None = None) -> bytes:
        if start < 0 or (length is not None and length < 0):
            raise ValueError(f"cannot read {key!r} from {start}, length {length}: neither may be negative")
        if length == 0:  # no Range says so
            self._existing(key)
        return b"".join(self._chunks(key, start, None if length is None else start + length))

    def fetch(self, key: str, path: Path, etag: str | None = None) -> None:
        wanted = etag or self._existing(key).etag
        version = f"{self.options.endpoint} {self.uri} {key} {wanted}"
        with naming_full_disk(path.parent, TEMPORARY), open_spool(path, version) as spool:
            try:
                for chunk in self._chunks(key, spool.tell(), None, wanted):
                    spool.write(chunk)
            except ObjectChanged:
                Path(spool.name).unlink()
                raise
            spool.flush()
            Path(spool.name).replace(path)

    def put_file(self, key: str, path: Path) -> None:
        from boto3.s3.transfer import TransferConfig

        name = self._name(key)
        parts = TransferConfig(multipart_threshold=MULTIPART, multipart_chunksize=PART, max_concurrency=4)
        with path.open("rb") as file, self._asking(f"write {key!r}") as s3:
            s3.upload_fileobj(file, self.bucket, name, ExtraArgs=self._written(key), Config=parts)

    def put_new(self, key: str, data: bytes) -> bool:
        try:
            return self._put(key, data, {"IfNoneMatch": "*"})
        except FileNotFoundError:
            raise StoreRefused(f"cannot create {key!r} in {self}: {WRONG_ADDRESS} (404)") from None

    def put_if(self, key: str, data: bytes, etag: str) -> bool:
        with suppress(FileNotFoundError):
            return self._put(key, data, {"IfMatch": etag})
        return False

    def delete(self, key: str) -> None:
        name = self._name(key)
        with self._asking(f"delete {key!r}") as s3:
            s3.delete_object(Bucket=self.bucket, Key=name)

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        if prefix:
            check_key(prefix.removesuffix("/"))
        return self._list(prefix)

    def uploads(self) -> Iterator[Upload]:
        with self._asking("list unfinished uploads") as s3:
            pages = s3.get_paginator("list_multipart_uploads").paginate(Bucket=self.bucket, Prefix=self._root)
            for page in pages:
                for entry in page.get("Uploads", ()):
                    key = entry["Key"].removeprefix(self._root)
                    yield Upload(key, entry["UploadId"], _seconds(entry["Initiated"]))

    def abort(self, upload: Upload) -> None:
        with suppress(FileNotFoundError), self._asking(f"abort the upload of {upload.key!r}") as s3:
            s3.abort_multipart_upload(Bucket=self.bucket, Key=self._root + upload.key, UploadId=upload.id)

    def _list(self, prefix: str) -> Iterator[ObjectInfo]:
        with self._asking(f"list {prefix!r}") as s3:
            pages = s3.get_paginator("list_objects_v2").paginate(
                Bucket=self.bucket, Prefix=self._root + prefix, PaginationConfig={"PageSize": PAGE}
            )
            for page in pages:
                for entry in page.get("Contents", ()):
                    key = entry["Key"].removeprefix(self._root)
                    if self._is_ours(key, entry["Size"]):
                        yield ObjectInfo(key, entry["Size"], entry["ETag"], _seconds(entry["LastModified"]))

    def _chunks(self, key: str, start: int, stop: int | None, etag: str | None = None) -> Iterator[bytes]:
        """The bytes from start up to stop or the object's end, all of one version: etag's, or the first answer's."""
        at, failures = start, 0
        while stop is None or at < stop:
            try:
                answer = self._get(key, at, stop, etag)
            except EOFError:  # the object ends before start
                return
            before, etag, stop = at, answer["ETag"], at + answer["ContentLength"]
            try:
                with closing(answer["Body"]) as body:
                    for chunk in body.iter_chunks(CHUNK):
                        at += len(chunk)
                        yield chunk
            except _BODY as error:
                failures = failures + 1 if at == before else 1
                if failures == ATTEMPTS or not isinstance(error, _NETWORK):
                    raise _fault(error).explained(f"read {key!r} from byte {at} on in {self}") from None
                _pause(failures)

    def _get(self, key: str, start: int, stop: int | None, etag: str | None) -> Any:
        """The answer to one GET, whose body is still to be read. EOFError when the object ends before start."""
        wanted = {"Range": f"bytes={start}-{'' if stop is None else stop - 1}"} if start or stop is not None else {}
        if etag is not None:
            wanted["IfMatch"] = etag
        name = self._name(key)
        with self._asking(f"read {key!r}") as s3:
            return s3.get_object(Bucket=self.bucket, Key=name, **wanted)

    def _put(self, key: str, data: bytes, condition: Mapping[str, str]) -> bool:
        """One PutObject under a condition; False when the condition does not hold. FileNotFoundError for a 404."""
        name, attempt = self._name(key), 0
        while True:
            attempt += 1
            try:
                s3 = _clients(os.getpid(), self.options).once
                s3.put_object(Bucket=self.bucket, Key=name, Body=data, **condition, **self._written(key))
                return True
            except _ERRORS as error:
                fault = _fault(error)
                reason = fault.explained(f"write {key!r} in {self}")
                if isinstance(reason, ObjectChanged):
                    return False
                if isinstance(reason, StoreUnavailable) and not fault.not_done:
                    raise CommitUnknown(f"{reason}; it may have happened: look, then decide") from None
                if isinstance(reason, StoreRefused | FileNotFoundError) or attempt == ATTEMPTS:
                    raise reason from None
            _pause(attempt)

    def _written(self, key: str) -> dict[str, str]:
        """The parameters of a write, besides what is written and where."""
        kind = CONTENT_TYPES.get(Path(key).suffix, "application/octet-stream")
        return {"ContentType": kind, **self.options.written()}

    @property
    def _root(self) -> str:
        """What every name in the bucket begins with: nothing, or the prefix and a slash."""
        prefix = self.uri.removeprefix("s3://").partition("/")[2]
        return f"{prefix}/" if prefix else ""

    def _name(self, key: str) -> str:
        return self._root + check_key(key)

    def _is_ours(self, key: str, size: int) -> bool:
        """Whether a listing shows an object; consoles leave empty ones such as "folder/"."""
        return _is_key(key)

    def _existing(self, key: str) -> ObjectInfo:
        info = self.head(key)
        if info is None:
            raise FileNotFoundError(f"no object {key!r} in the store {self}")
        return info

    @contextmanager
    def _asking(self, what: str) -> Iterator[Any]:
        """The client for requests that may be repeated, and its errors in our words."""
        try:
            yield _clients(os.getpid(), self.options).repeating
        except _ERRORS as error:
            raise _fault(error).explained(f"{what} in {self}") from None


class S3Source(S3Store):
    """Objects that others wrote: any key that the service has, also one that check_key refuses. Not for writing."""

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        return self._list(prefix)

    def _name(self, key: str) -> str:
        return self._root + key

    def _is_ours(self, key: str, size: int) -> bool:
        return size > 0 or not key.endswith("/")


class _Clients(NamedTuple):
    repeating: Any
    once: Any  # sends nothing twice


@cache
def _clients(process: int, options: S3Options) -> _Clients:
    """Those of all stores of a process that are reached the same way; a fork makes its own."""
    import boto3  # here: importing it takes longer than most commands
    from botocore.config import Config

    log = logging.getLogger("botocore")
    log.setLevel(max(log.getEffectiveLevel(), logging.WARNING))
    config = Config(
        connect_timeout=options.connect_timeout,
        read_timeout=options.read_timeout,
        tcp_keepalive=True,
        max_pool_connections=16,
        s3={"addressing_style": {None: "auto", True: "path", False: "virtual"}[options.path_style]},
    )
    session = boto3.Session()

    def connect(attempts: int) -> Any:
        retries = config.merge(Config(retries={"mode": "standard", "total_max_attempts": attempts}))
        return session.client("s3", endpoint_url=options.endpoint, region_name=options.region, config=retries)

    return _Clients(connect(REPEATS), connect(1))


def _fault(error: Exception) -> Fault:
    if isinstance(error, boto.ClientError):
        answer, status = error.response["Error"], error.response["ResponseMetadata"]["HTTPStatusCode"]
        return Fault(str(answer["Code"]), int(status), answer.get("Message", ""), network=False)
    words = str(error) if isinstance(error, _QUOTABLE) else ""  # some quote the headers that they could not send
    return Fault(type(error).__name__, 0, words, network=isinstance(error, _NETWORK))


def _is_key(name: str) -> bool:
    try:
        return bool(check_key(name))
    except ValueError:
        return False


def _seconds(moment: datetime) -> int:
    return int(moment.timestamp())  # listings are finer than a HEAD's answer


def _pause(failures: int) -> None:
    time.sleep(random.uniform(0, min(2.0, 0.05 * 2**failures)))

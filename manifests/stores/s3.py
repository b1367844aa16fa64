"""A store in an S3 bucket, or in any service with the S3 API that obeys If-None-Match and If-Match on PutObject.

Requests that may be repeated are repeated by botocore. A body that is cut off is continued at the same byte, if the
etag is still the same. Conditional writes use a client that sends each request once: a repeated put_new would find its
own object and treat it as another writer's. A write that was certainly not executed is sent again here; all other
failures are CommitUnknown.

Each process finds credentials by boto3's own chain. They are in no field, message, pickle or log of ours.
"""

from __future__ import annotations

import os
import random
import re
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from botocore import exceptions as boto

from manifests.stores.disk_errors import TEMPORARY, naming_full_disk
from manifests.stores.resumable_file import open_partial_file
from manifests.stores.s3_clients import client_options, clients
from manifests.stores.s3_errors import WRONG_ADDRESS, FailedRequest
from manifests.stores.s3_options import AMBIENT, S3Options, check_address
from manifests.stores.store import (
    CommitUnknown,
    ObjectChanged,
    ObjectClient,
    ObjectInfo,
    StoreRefused,
    StoreUnavailable,
    Upload,
    check_key,
)

ATTEMPTS = 8  # of a conditional write, or of a body without a byte of progress
CHUNK_BYTES = 1 << 20  # of a body, read at a time
PAGE_OBJECTS = 1000  # objects per request of a listing; S3 gives no more
MULTIPART_BYTES = 64 << 20  # files of at least this size are uploaded in parts
PART_BYTES = 16 << 20
CONTENT_TYPES: Mapping[str, str] = {
    ".html": "text/html; charset=utf-8",
    ".json": "application/json",
    ".md": "text/plain; charset=utf-8",
    ".png": "image/png",
}
"""By file name extension, for the objects that a browser should show; it downloads all others."""

_ERRORS = (boto.ClientError, boto.BotoCoreError)
_NETWORK = (boto.HTTPClientError, boto.ConnectionError, boto.IncompleteReadError)
_BODY = (boto.HTTPClientError, boto.IncompleteReadError, boto.FlexibleChecksumError)
_QUOTABLE = (boto.EndpointConnectionError, boto.ConnectTimeoutError, boto.ReadTimeoutError, boto.SSLError)


@dataclass(frozen=True)
class S3Store:
    """Objects below s3://bucket/prefix. A plain value: created without a request, and can be pickled."""

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

    def client(self) -> ObjectClient:
        return ObjectClient(self.uri, client_options(self.bucket, self.options))

    def head(self, key: str) -> ObjectInfo | None:
        full_key = self._full_key(key)
        try:
            with self._client(f"look for {key!r}") as s3:
                answer = s3.head_object(Bucket=self.bucket, Key=full_key)
        except FileNotFoundError:
            with self._client(f"look for {key!r}") as s3:  # the answer to HEAD does not say whether the bucket exists
                s3.list_objects_v2(Bucket=self.bucket, Prefix=full_key, MaxKeys=1)
            return None
        return ObjectInfo(key, answer["ContentLength"], answer["ETag"], _seconds(answer["LastModified"]))

    def read(self, key: str, start: int = 0, length: int | None = None) -> bytes:
        if start < 0 or (length is not None and length < 0):
            raise ValueError(f"cannot read {key!r} from {start}, length {length}: neither may be negative")
        if length == 0:  # a Range cannot express it
            self._require(key)
        return b"".join(self._chunks(key, start, None if length is None else start + length))

    def fetch(self, key: str, path: Path, etag: str | None = None) -> None:
        wanted = etag or self._require(key).etag
        version = f"{self.options.endpoint} {self.uri} {key} {wanted}"
        with naming_full_disk(path.parent, TEMPORARY), open_partial_file(path, version) as partial:
            try:
                for chunk in self._chunks(key, partial.tell(), None, wanted):
                    partial.write(chunk)
            except ObjectChanged:
                Path(partial.name).unlink()
                raise
            partial.flush()
            Path(partial.name).replace(path)

    def put_file(self, key: str, path: Path) -> None:
        from boto3.s3.transfer import TransferConfig

        full_key = self._full_key(key)
        parts = TransferConfig(multipart_threshold=MULTIPART_BYTES, multipart_chunksize=PART_BYTES, max_concurrency=4)
        with path.open("rb") as file, self._client(f"write {key!r}") as s3:
            s3.upload_fileobj(file, self.bucket, full_key, ExtraArgs=self._write_parameters(key), Config=parts)

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
        full_key = self._full_key(key)
        with self._client(f"delete {key!r}") as s3:
            s3.delete_object(Bucket=self.bucket, Key=full_key)

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        if prefix:
            check_key(prefix.removesuffix("/"))
        return self._list(prefix)

    def uploads(self) -> Iterator[Upload]:
        with self._client("list unfinished uploads") as s3:
            pages = s3.get_paginator("list_multipart_uploads").paginate(Bucket=self.bucket, Prefix=self._root)
            for page in pages:
                for entry in page.get("Uploads", ()):
                    key = entry["Key"].removeprefix(self._root)
                    yield Upload(key, entry["UploadId"], _seconds(entry["Initiated"]))

    def abort(self, upload: Upload) -> None:
        with suppress(FileNotFoundError), self._client(f"abort the upload of {upload.key!r}") as s3:
            s3.abort_multipart_upload(Bucket=self.bucket, Key=self._root + upload.key, UploadId=upload.id)

    def _list(self, prefix: str) -> Iterator[ObjectInfo]:
        with self._client(f"list {prefix!r}") as s3:
            pages = s3.get_paginator("list_objects_v2").paginate(
                Bucket=self.bucket, Prefix=self._root + prefix, PaginationConfig={"PageSize": PAGE_OBJECTS}
            )
            for page in pages:
                for entry in page.get("Contents", ()):
                    key = entry["Key"].removeprefix(self._root)
                    if self._is_listed(key, entry["Size"]):
                        yield ObjectInfo(key, entry["Size"], entry["ETag"], _seconds(entry["LastModified"]))

    def _chunks(self, key: str, start: int, stop: int | None, etag: str | None = None) -> Iterator[bytes]:
        """The bytes from start to stop or the object's end, all of one version: that of `etag` or the first answer."""
        at, failures = start, 0
        while stop is None or at < stop:
            try:
                answer = self._get(key, at, stop, etag)
            except EOFError:  # the object ends before start
                return
            before, etag, stop = at, answer["ETag"], at + answer["ContentLength"]
            try:
                with closing(answer["Body"]) as body:
                    for chunk in body.iter_chunks(CHUNK_BYTES):
                        at += len(chunk)
                        yield chunk
            except _BODY as error:
                failures = failures + 1 if at == before else 1
                if failures == ATTEMPTS or not isinstance(error, _NETWORK):
                    raise _failed_request(error).to_exception(f"read {key!r} from byte {at} on in {self}") from None
                _pause(failures)

    def _get(self, key: str, start: int, stop: int | None, etag: str | None) -> Any:
        """The answer to one GET; its body is not read yet. EOFError if the object ends before start."""
        wanted = {"Range": f"bytes={start}-{'' if stop is None else stop - 1}"} if start or stop is not None else {}
        if etag is not None:
            wanted["IfMatch"] = etag
        full_key = self._full_key(key)
        with self._client(f"read {key!r}") as s3:
            return s3.get_object(Bucket=self.bucket, Key=full_key, **wanted)

    def _put(self, key: str, data: bytes, condition: Mapping[str, str]) -> bool:
        """One conditional PutObject; False if the condition is not met. FileNotFoundError for a 404."""
        full_key, attempt = self._full_key(key), 0
        while True:
            attempt += 1
            try:
                s3 = clients(os.getpid(), self.options).once
                s3.put_object(Bucket=self.bucket, Key=full_key, Body=data, **condition, **self._write_parameters(key))
                return True
            except _ERRORS as error:
                failed = _failed_request(error)
                reason = failed.to_exception(f"write {key!r} in {self}")
                if isinstance(reason, ObjectChanged):
                    return False
                if isinstance(reason, StoreUnavailable) and not failed.not_executed:
                    raise CommitUnknown(f"{reason}; it may have been executed: read the object, then decide") from None
                if isinstance(reason, StoreRefused | FileNotFoundError) or attempt == ATTEMPTS:
                    raise reason from None
            _pause(attempt)

    def _write_parameters(self, key: str) -> dict[str, str]:
        """The parameters of a write, without bucket, key and body."""
        kind = CONTENT_TYPES.get(Path(key).suffix, "application/octet-stream")
        return {"ContentType": kind, **self.options.write_parameters()}

    @property
    def _root(self) -> str:
        """The prefix and a slash, or nothing; every key in the bucket begins with it."""
        prefix = self.uri.removeprefix("s3://").partition("/")[2]
        return f"{prefix}/" if prefix else ""

    def _full_key(self, key: str) -> str:
        return self._root + check_key(key)

    def _is_listed(self, key: str, size: int) -> bool:
        """Whether a listing includes the object; consoles create empty ones such as "folder/"."""
        return _is_key(key)

    def _require(self, key: str) -> ObjectInfo:
        info = self.head(key)
        if info is None:
            raise FileNotFoundError(f"no object {key!r} in the store {self}")
        return info

    @contextmanager
    def _client(self, what: str) -> Iterator[Any]:
        """The client for requests that may be repeated; its errors become our exceptions."""
        try:
            yield clients(os.getpid(), self.options).repeating
        except _ERRORS as error:
            raise _failed_request(error).to_exception(f"{what} in {self}") from None


class S3Source(S3Store):
    """Objects of other writers, under any key, also one that check_key refuses. Not for writing."""

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        return self._list(prefix)

    def _full_key(self, key: str) -> str:
        return self._root + key

    def _is_listed(self, key: str, size: int) -> bool:
        return size > 0 or not key.endswith("/")


def _failed_request(error: Exception) -> FailedRequest:
    if isinstance(error, boto.ClientError):
        answer, status = error.response["Error"], error.response["ResponseMetadata"]["HTTPStatusCode"]
        return FailedRequest(str(answer["Code"]), int(status), answer.get("Message", ""), network=False)
    message = str(error) if isinstance(error, _QUOTABLE) else ""  # other errors may quote headers with credentials
    return FailedRequest(type(error).__name__, 0, message, network=isinstance(error, _NETWORK))


def _is_key(name: str) -> bool:
    try:
        return bool(check_key(name))
    except ValueError:
        return False


def _seconds(moment: datetime) -> int:
    return int(moment.timestamp())  # listings have fractions of a second, HEAD has not


def _pause(failures: int) -> None:
    time.sleep(random.uniform(0, min(2.0, 0.05 * 2**failures)))

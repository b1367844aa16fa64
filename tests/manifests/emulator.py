"""An emulator of S3 (moto) behind a real HTTP server on this machine, whose answers a test can disturb."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import cached_property
from io import BytesIO
from typing import Any
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

import boto3
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
from werkzeug.serving import make_server

from manifests.s3 import S3Options, S3Store

ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": "AKIAEMULATED00000000",
    "AWS_SECRET_ACCESS_KEY": "emulated/secret+key",
    "AWS_SESSION_TOKEN": "emulated-session-token",
    "AWS_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true",
    "AWS_CONFIG_FILE": "/dev/null",
    "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
    "NO_PROXY": "127.0.0.1",
}
Fault = Callable[[WSGIEnvironment, StartResponse, WSGIApplication], Iterable[bytes]]


class Emulator:
    """A server on a free port. moto checks a condition and writes in two steps, which S3 does in one: so one request at
    a time reaches it, with its whole body, as S3 never shows an object whose writer died half way."""

    def __init__(self) -> None:
        self._moto = DomainDispatcherApplication(create_backend_app)
        self._one_at_a_time = threading.Lock()
        self._fault: Fault | None = None
        self._server = make_server("127.0.0.1", 0, self._answer, threaded=True, request_handler=_Quiet)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self._server.port}"

    def store(self, options: S3Options | None = None) -> S3Store:
        """An empty store, in a bucket of its own."""
        bucket = f"b-{uuid.uuid4().hex}"
        self._owner.create_bucket(Bucket=bucket)
        return S3Store(f"s3://{bucket}/some/prefix", replace(options or S3Options(), endpoint=self.endpoint))

    @cached_property
    def _owner(self) -> Any:
        return boto3.Session().client("s3", endpoint_url=self.endpoint)

    @contextmanager
    def disturbed(self, fault: Fault) -> Iterator[None]:
        """Answer every request by fault(environ, start_response, app) for a while."""
        self._fault = fault
        try:
            yield
        finally:
            self._fault = None

    def stop(self) -> None:
        self._server.shutdown()

    def _answer(self, environ: WSGIEnvironment, start: StartResponse) -> Iterable[bytes]:
        length = int(environ.get("CONTENT_LENGTH") or 0)
        body = environ["wsgi.input"].read(length)
        if len(body) < length:
            raise ConnectionError("the client went away")
        environ["wsgi.input"] = BytesIO(body)
        return self._fault(environ, start, self._whole) if self._fault else self._whole(environ, start)

    def _whole(self, environ: WSGIEnvironment, start: StartResponse) -> Iterable[bytes]:
        with self._one_at_a_time:
            return [b"".join(self._moto(environ, start))]


class _Quiet(MotoRequestHandler):
    protocol_version = "HTTP/1.1"

    def log(self, type: str, message: str, *args: Any) -> None:
        pass

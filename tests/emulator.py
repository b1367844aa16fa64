"""An emulator of S3 (moto) behind a real HTTP server on this machine.

In this process its answers can be disturbed; in a process of its own it can also be used by hand:
`python -m tests.emulator 9000` serves the bucket s3://demo until it is interrupted, and prints how to reach it.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import cached_property
from io import BytesIO
from pathlib import Path
from typing import Any
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

import boto3
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
from werkzeug.serving import make_server

from manifests.stores.s3 import S3Store
from manifests.stores.s3_options import AMBIENT, S3Options

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


class Endpoint:
    """The address of an emulator, and its buckets."""

    def __init__(self, endpoint: str) -> None:
        self.endpoint = endpoint

    def store(self, options: S3Options = AMBIENT) -> S3Store:
        """An empty store, in a bucket of its own."""
        return S3Store(f"s3://{self.bucket()}/some/prefix", replace(options, endpoint=self.endpoint))

    def bucket(self, name: str = "") -> str:
        """The name of a new bucket."""
        name = name or f"b-{uuid.uuid4().hex}"
        self.client.create_bucket(Bucket=name)
        return name

    @cached_property
    def client(self) -> Any:
        """boto3's own, of the owner of all buckets."""
        return boto3.Session().client("s3", endpoint_url=self.endpoint)


class Emulator(Endpoint):
    """A server in this process, on a free port.

    moto checks a condition and writes in two steps, which S3 does in one: so one request at a time reaches it, with its
    whole body, as S3 never shows an object whose writer died half way.
    """

    def __init__(self, port: int = 0) -> None:
        self._moto = DomainDispatcherApplication(create_backend_app)
        self._one_at_a_time = threading.Lock()
        self._fault: Fault | None = None
        self._server = make_server("127.0.0.1", port, self._answer, threaded=True, request_handler=_Quiet)
        super().__init__(f"http://127.0.0.1:{self._server.port}")
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    @contextmanager
    def disturbed(self, fault: Fault) -> Iterator[None]:
        """Answer every request by fault(environ, start_response, app) while the block runs."""
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


class EmulatorProcess(Endpoint):
    """A server in a process of its own, which other processes reach while this one is busy."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.emulator", "0"],
            cwd=Path(__file__).parent.parent,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        super().__init__(self._process.stdout.readline().split("=")[-1].strip())

    def stop(self) -> None:
        self._process.kill()
        self._process.wait()


def main() -> None:
    """Serve a bucket named demo on the given port until interrupted."""
    os.environ.update(ENVIRONMENT)
    server = Emulator(int(sys.argv[1]) if len(sys.argv) > 1 else 9000)
    server.bucket("demo")
    print(f"export CORAL_S3_ENDPOINT={server.endpoint}", flush=True)
    print(*(f"export {name}={value}" for name, value in ENVIRONMENT.items()), sep="\n", flush=True)
    threading.Event().wait()


if __name__ == "__main__":
    main()

"""The clients of a process for buckets: boto3's, and the options by which other clients reach the same objects.

Credentials are found by boto3's own chain in each process, and renewed by it. The level of botocore's log is WARNING:
at lower levels it logs credentials, or for every client where they were found.
"""

from __future__ import annotations

import logging
import os
from functools import cache
from typing import Any, NamedTuple

from manifests.stores.s3_options import S3Options
from manifests.stores.store import StoreRefused

BOTOCORE_ATTEMPTS = 5  # of requests that may be repeated, by botocore


class Clients(NamedTuple):
    repeating: Any
    once: Any  # sends each request once
    session: Any


@cache
def clients(process: int, options: S3Options) -> Clients:
    """The clients of all stores of a process with the same options; a forked process creates new ones."""
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

    return Clients(connect(BOTOCORE_ATTEMPTS), connect(1), session)


def client_options(bucket: str, options: S3Options) -> dict[str, str]:
    """The options of ObjectClient. boto3 finds the credentials, and renews them before they end."""
    chosen = clients(os.getpid(), options)
    found = chosen.session.get_credentials()
    if found is None:
        raise StoreRefused(f"no credentials for s3://{bucket}: boto3 finds none in this process")
    credentials, meta = found.get_frozen_credentials(), chosen.once.meta
    hosted = options.path_style is False
    endpoint = meta.endpoint_url.replace("://", f"://{bucket}.", 1) if hosted else meta.endpoint_url
    named = {
        "aws_access_key_id": credentials.access_key,
        "aws_secret_access_key": credentials.secret_key,
        "aws_session_token": credentials.token,
        "aws_region": meta.region_name or "us-east-1",
        "aws_endpoint_url": endpoint,
        "aws_virtual_hosted_style_request": str(hosted).lower(),
        "aws_allow_http": str(endpoint.startswith("http:")).lower(),
        "aws_conditional_put": "etag",
        "aws_server_side_encryption": options.encryption,
        "aws_sse_kms_key_id": options.kms_key_id,
        "connect_timeout": f"{options.connect_timeout:g}s",
        "timeout": f"{options.read_timeout:g}s",
    }
    return {name: value for name, value in named.items() if value}

"""How a bucket is reached and what is asked of it; and what no address or option may hold: credentials.

boto3 is not imported here, so that a job file is read without it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import urlsplit

ENCRYPTIONS = ("AES256", "aws:kms")
CREDENTIALS = (
    "credentials are never part of an address or a job: boto3 looks for them in AWS_ACCESS_KEY_ID and AWS_PROFILE, "
    "~/.aws, web identity, container and instance roles"
)
_SECRETIVE = re.compile(r"access_?key|secret|token|passw|credential|\bauth|session|profile", re.IGNORECASE)
_USER = re.compile(r"://[^/]*[@:]|^[a-z][a-z0-9+.-]+:[^/]*@", re.IGNORECASE)  # a secret may go on behind its slash
_SIGNED = re.compile(
    r"[?&][^=&/]*(access_?key|secret|token|passw|credential|\bsig)[^=&/]*="
    r"|x-amz-(credential|signature|security-token)|authorization:",
    re.IGNORECASE,
)
_REGION = re.compile(r"[a-z]{2,}[a-z0-9-]{0,30}")
_KMS_KEY = re.compile(r"(arn:aws[a-z-]*:kms:[a-z0-9-]+:\d{12}:(key|alias)/|alias/)?[\w-]{1,64}")


@dataclass(frozen=True, kw_only=True)
class S3Options:
    """How to reach a bucket and what to ask of it. None leaves the matter to boto3's own configuration."""

    endpoint: str | None = None  # URL of an S3-compatible service; else AWS_ENDPOINT_URL_S3, else AWS
    region: str | None = None  # else AWS_REGION or the profile's
    path_style: bool | None = None  # endpoint/bucket/key, not bucket.endpoint/key; by itself boto3 does so off AWS
    encryption: str | None = None  # "AES256" (SSE-S3) or "aws:kms"; else the bucket's default
    kms_key_id: str | None = None  # for "aws:kms"; else the account's default key
    connect_timeout: float = 10.0  # seconds
    read_timeout: float = 60.0  # seconds without a byte

    def __post_init__(self) -> None:
        if self.endpoint is not None:
            _check_endpoint(self.endpoint)
        if self.region is not None and not _REGION.fullmatch(self.region):
            raise ValueError("the region is no name such as eu-central-1 (lower-case letters, digits and -)")
        if self.encryption not in (None, *ENCRYPTIONS):
            raise ValueError(f"the encryption is unknown; give one of {ENCRYPTIONS} or none")
        if self.kms_key_id is not None and not _KMS_KEY.fullmatch(self.kms_key_id):
            raise ValueError("the kms_key_id is neither an id, nor alias/name, nor the ARN of a KMS key")
        if self.kms_key_id is not None and self.encryption != "aws:kms":
            raise ValueError(f"kms_key_id goes with encryption 'aws:kms', which is {self.encryption!r}")

    def written(self) -> dict[str, str]:
        """The parameters of every write."""
        named = {"ServerSideEncryption": self.encryption, "SSEKMSKeyId": self.kms_key_id}
        return {name: value for name, value in named.items() if value is not None}


AMBIENT = S3Options()
"""Everything as boto3's own configuration has it."""


def is_secretive(name: str) -> bool:
    """Whether an option of this name would hold a credential."""
    return bool(_SECRETIVE.search(name))


def check_address(address: str) -> str:
    """The address itself, of any scheme or none. ValueError, which does not repeat it, when it contains a credential.

    What looks like one is enough: '@' or ':' where a URL has its user and its host, or a signed query.
    """
    if _USER.search(address) or _SIGNED.search(address):
        raise ValueError(
            f"cannot open an address with '@' or ':' in its host or bucket, or with a signature; {CREDENTIALS}; "
            "a port belongs into the option endpoint"
        )
    return address


def _check_endpoint(endpoint: str) -> None:
    parts = urlsplit(endpoint)
    if "@" in endpoint:
        raise ValueError(f"the endpoint contains '@'; {CREDENTIALS}")
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
        raise ValueError("the endpoint is no URL such as https://s3.example.org:8333")

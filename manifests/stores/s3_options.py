"""Options for a bucket, and the check that no address or option contains credentials.

boto3 is not imported here, so that reading a job file does not import it.
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
_CREDENTIAL_NAME = re.compile(r"access_?key|secret|token|passw|credential|\bauth|session|profile", re.IGNORECASE)
_USER_PART = re.compile(r"://[^/]*[@:]|^[a-z][a-z0-9+.-]+:[^/]*@", re.IGNORECASE)  # a secret may contain a slash
_SIGNATURE = re.compile(
    r"[?&][^=&/]*(access_?key|secret|token|passw|credential|\bsig)[^=&/]*="
    r"|x-amz-(credential|signature|security-token)|authorization:",
    re.IGNORECASE,
)
_REGION = re.compile(r"[a-z]{2,}[a-z0-9-]{0,30}")
_KMS_KEY = re.compile(r"(arn:aws[a-z-]*:kms:[a-z0-9-]+:\d{12}:(key|alias)/|alias/)?[\w-]{1,64}")


@dataclass(frozen=True, kw_only=True)
class S3Options:
    """Connection and encryption of a bucket. None: boto3's own configuration decides."""

    endpoint: str | None = None  # URL of an S3-compatible service; else AWS_ENDPOINT_URL_S3, else AWS
    region: str | None = None  # else AWS_REGION or the profile's
    path_style: bool | None = None  # endpoint/bucket/key, not bucket.endpoint/key; boto3's default outside AWS
    encryption: str | None = None  # "AES256" (SSE-S3) or "aws:kms"; else the bucket's default
    kms_key_id: str | None = None  # for "aws:kms"; else the account's default key
    connect_timeout: float = 10.0  # seconds
    read_timeout: float = 60.0  # seconds without a byte

    def __post_init__(self) -> None:
        if self.endpoint is not None:
            _check_endpoint(self.endpoint)
        if self.region is not None and not _REGION.fullmatch(self.region):
            raise ValueError("the region is not a name such as eu-central-1 (lower-case letters, digits and -)")
        if self.encryption not in (None, *ENCRYPTIONS):
            raise ValueError(f"the encryption is unknown; give one of {ENCRYPTIONS} or none")
        if self.kms_key_id is not None and not _KMS_KEY.fullmatch(self.kms_key_id):
            raise ValueError("the kms_key_id is not an id, alias/name or ARN of a KMS key")
        if self.kms_key_id is not None and self.encryption != "aws:kms":
            raise ValueError(f"kms_key_id needs encryption 'aws:kms'; given is {self.encryption!r}")

    def write_parameters(self) -> dict[str, str]:
        """The parameters of every write."""
        named = {"ServerSideEncryption": self.encryption, "SSEKMSKeyId": self.kms_key_id}
        return {name: value for name, value in named.items() if value is not None}


AMBIENT = S3Options()
"""All options from boto3's own configuration."""


def is_credential_name(name: str) -> bool:
    """Whether an option of this name would contain a credential."""
    return bool(_CREDENTIAL_NAME.search(name))


def check_address(address: str) -> str:
    """The address itself, of any scheme or none. ValueError, without the address, if it contains a credential.

    Everything that looks like a credential is refused: '@' or ':' in the user or host part of a URL, or a signed query.
    """
    if _USER_PART.search(address) or _SIGNATURE.search(address):
        raise ValueError(
            f"cannot open an address with '@' or ':' in its host or bucket, or with a signature; {CREDENTIALS}; "
            "give a port in the option endpoint"
        )
    return address


def _check_endpoint(endpoint: str) -> None:
    parts = urlsplit(endpoint)
    if "@" in endpoint:
        raise ValueError(f"the endpoint contains '@'; {CREDENTIALS}")
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
        raise ValueError("the endpoint is not a URL such as https://s3.example.org:8333")

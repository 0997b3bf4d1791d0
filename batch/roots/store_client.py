"""fsspec's file systems for the kinds of object store: each asks once, and takes no longer than it is given.

Whoever asks decides what is tried again (``batch.roots.patience``); the clients' own retries would add up to minutes
of silence, each in another way. Google's alone cannot be told: it tries for half a minute.
"""

import os
import re
from base64 import b64decode
from collections.abc import Callable
from functools import partial
from hashlib import md5
from typing import Any

from batch.faults import TransientError

CONNECT, QUIET = 10.0, 20.0
"""Seconds that a connection may take, and that it may be silent."""

_MD5 = re.compile("[0-9a-f]{32}")
_EXPRESS = "--x-s3"
"""How the names of S3's directory buckets end, whose ETags are no checksums."""

_TOLD = {"ListObjectsV2": "IsTruncated", "HeadObject": "ContentLength", "GetObject": "ETag"}
"""What each answer of S3 tells: one without it is somebody else's, as of a network that wants a login first. s3fs takes
such a page of a listing for the last one."""


def store_client(scheme: str) -> Any:
    """The file system for ``s3``, ``gs`` or ``az``, which fsspec keeps; raises ImportError."""
    import fsspec

    client = fsspec.filesystem(scheme, use_listings_cache=False, **_OPTIONS[scheme]())
    client.retries = 1  # s3fs has no other way to be told
    if scheme == "s3":
        client.set_session = partial(_checked_session, client)
        client.split_path = lambda path: (*client._find_bucket_key(path), None)  # "?versionId=" is a part of the key
    return client


def ask(client: Any, method: str, *arguments: Any, seconds: float, **options: Any) -> Any:
    """What a method of a file system gives; raises TimeoutError after ``seconds``, and whatever the client does."""
    from fsspec.asyn import sync

    return sync(client.loop, getattr(client, f"_{method}"), *arguments, timeout=seconds, **options)


def are_its_bytes(client: Any, scheme: str, place: str, facts: dict[str, Any], content: bytes, seconds: float) -> bool:
    """Whether these are an object's bytes, as far as the store tells its MD5 (RFC 1321); raises what ``ask`` does.

    S3 tells it as the ETag of what was uploaded in one part, unless that is encrypted by a key of somebody's:
    https://docs.aws.amazon.com/AmazonS3/latest/API/API_Object.html. Google tells it by a name of its own, and what
    Azure calls an ETag looks otherwise.
    """
    told = b64decode(facts.get("md5Hash") or "").hex() or str(facts.get("ETag", "")).strip('"').lower()
    if not _MD5.fullmatch(told) or told == md5(content, usedforsecurity=False).hexdigest():
        return True
    return scheme == "s3" and _has_another_etag(client, place, seconds)


def _has_another_etag(client: Any, place: str, seconds: float) -> bool:
    bucket, key = client._find_bucket_key(place)
    head = ask(client, "call_s3", "head_object", seconds=seconds, Bucket=bucket, Key=key)
    with_a_key = head.get("SSECustomerAlgorithm") or head.get("ServerSideEncryption", "").startswith("aws:kms")
    return bool(with_a_key) or bucket.endswith(_EXPRESS)


async def _checked_session(client: Any, *arguments: Any, **options: Any) -> Any:
    """What s3fs asks through, with answers that are looked at."""
    session = await type(client).set_session(client, *arguments, **options)
    session.meta.events.register("after-call.s3", _check_answer, unique_id="told")
    return session


def _check_answer(http_response: Any, parsed: dict[str, Any], model: Any, **_: Any) -> None:
    """Raise TransientError for a success that does not tell what it has to."""
    told = _TOLD.get(model.name)
    if told and http_response.status_code < 300 and told not in parsed:
        raise TransientError(f"what came is no answer of a store, as there is no {told} in it")


def _s3() -> dict[str, Any]:
    once = {"connect_timeout": CONNECT, "read_timeout": QUIET, "retries": {"total_max_attempts": 1}}
    return {"config_kwargs": once}


def _gs() -> dict[str, Any]:
    """Without gcsfs' asking about each bucket by gRPC, which knows no limits of ours; zonal buckets alone need it."""
    import aiohttp

    os.environ.setdefault("GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT", "false")  # read as gcsfs is imported
    return {"requests_timeout": aiohttp.ClientTimeout(sock_connect=CONNECT, sock_read=QUIET)}


def _az() -> dict[str, Any]:
    """Also the names that Azure's own command line gives to account and key; adlfs knows others alone."""
    account = os.environ.get("AZURE_STORAGE_ACCOUNT_NAME") or os.environ.get("AZURE_STORAGE_ACCOUNT")
    key = os.environ.get("AZURE_STORAGE_ACCOUNT_KEY") or os.environ.get("AZURE_STORAGE_KEY")
    return {"account_name": account, "account_key": key, "connection_timeout": CONNECT, "read_timeout": QUIET}


_OPTIONS: dict[str, Callable[[], dict[str, Any]]] = {"s3": _s3, "gs": _gs, "az": _az}
SCHEMES = tuple(_OPTIONS)
"""S3 and what speaks like it, Google Cloud Storage, Azure Blob Storage; all go the same way through fsspec."""

"""Which errors say something about an image, and which only about the disk, the network or the machine tonight."""

import errno
from collections.abc import Iterator

_VERDICTS = frozenset(
    getattr(errno, name)
    for name in (
        *("ENOENT", "ENOTDIR", "EISDIR", "ELOOP", "ENAMETOOLONG", "EACCES", "EPERM"),
        *("EINVAL", "EOVERFLOW", "EFBIG", "ESPIPE", "EILSEQ"),
    )
)
"""What the system says of a file by its number, or of how a decoder has read it. All else it says of a disk that is
going away or wants to be checked, of a machine that is short of something, or of a server that does not answer."""

_HEALING_ANSWERS = (408, 416, 425, 429)
"""Of a store, beside 500 and more; 416 is said of an object that was longer when it was asked about."""
_CONNECTION_ERRORS = {
    *("HTTPClientError", "ConnectionError", "ClientConnectionError", "ClientPayloadError", "ServerTimeoutError"),
    *("ServiceRequestError", "ServiceResponseError", "IncompleteReadError", "IncompleteRead", "TransportError"),
    *("FlexibleChecksumError", "ResponseStreamingError"),
}
"""What botocore, aiohttp, Azure's and Google's clients call a connection that failed, or has brought other bytes; they
have no base in common."""


NO_THREAD = "can't start new thread"
"""What Python's RuntimeError says where the system starts no more threads; it has no kind of its own for that."""


class TransientError(Exception):
    """An image cannot be read for now, by no fault of its own."""


def is_refusal(number: int | None) -> bool:
    """Whether an error of the system's with that number is a disk's or the machine's, and not a file's."""
    return number is not None and number not in _VERDICTS


def may_heal(error: BaseException) -> bool:
    """Whether an error, or what led to it, may be gone at the next try, so that it is no verdict on an image."""
    return any(_heals(one) for one in _causes(error))


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__


def _heals(error: BaseException) -> bool:
    if isinstance(error, TransientError | TimeoutError | ConnectionError):
        return True
    if isinstance(error, OSError) and is_refusal(error.errno):
        return True
    if isinstance(error, RuntimeError) and str(error) == NO_THREAD:
        return True
    answer = http_answer(error)
    if answer is not None:
        return answer in _HEALING_ANSWERS or answer >= 500
    return not _CONNECTION_ERRORS.isdisjoint(kind.__name__ for kind in type(error).__mro__)


def http_answer(error: BaseException) -> int | None:
    """The HTTP status that a store's client reports, each in its own way."""
    response = getattr(error, "response", None)
    told = response.get("ResponseMetadata", {}).get("HTTPStatusCode") if isinstance(response, dict) else None
    for answer in (told, *(getattr(error, name, None) for name in ("status", "status_code", "code"))):
        if isinstance(answer, int) and 100 <= answer < 600:
            return answer
    return None

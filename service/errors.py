"""Errors of the service, one tree.

ServiceError
├── RequestRefused       the client has to send something else
│   ├── InvalidRequest   a part of the request is invalid
│   │   └── InvalidFeedback  an event breaks the bundle's vocabulary or scale, or the request is empty
│   ├── BodyTooLarge     the body exceeds the limit
│   ├── EncodingUnsupported  the body's encoding is not supported
│   ├── KeyRefused       the API key is absent or invalid
│   ├── ScopeMissing     the API key lacks the required scope
│   ├── RateExceeded     the API key or the user exceeds its rate limit
│   └── NotStored        no data is stored for this user, or no event with this id
├── Unavailable          the same request may succeed later
│   ├── KeyChecksBusy    too many checks of this API key are running
│   ├── StoreUnavailable the user store is unreachable, refused, or timed out
│   ├── Overloaded       too many requests are in progress
│   └── UserBusy         other writers to the same user kept winning until the deadline
├── RecordDamaged        the stored bytes of a user cannot be decoded
├── StoreUnsuitable      the user store breaks the durability promise, or belongs to another catalogue
├── OtherCatalogue       a promoted bundle has another catalogue than the one served
├── AddressInvalid       the address of the user store is invalid
├── SettingInvalid       a setting has an invalid value
├── KeysFileInvalid      the keys file cannot be read or written, or lacks a key
├── CannotListen         the listen address is in use or not local
└── EmbeddedStoreFailed  the embedded store cannot be started or stopped

Messages name the thing, the value and the expectation, and never contain a password or an API key.
``api.problems`` maps the classes to HTTP statuses.
"""

# ruff: noqa: N818 - the names say what happened; "Error" at the end would add nothing

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

_PYDANTIC = re.compile(
    r"(?:Input|String|List|Attributes) should (?:be|have) (.+?)(?: after validation.*|, unable.*|, got .*)?", re.DOTALL
)


class ServiceError(Exception):
    """Base of everything this package raises on purpose."""


class RequestRefused(ServiceError):
    """The client has to send something else."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One invalid part of a request: the field, its value, and the expectation."""

    field: str
    value: object
    expected: str


class InvalidRequest(RequestRefused):
    """Parts of the request are invalid; ``faults`` lists them."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        super().__init__("; ".join(f"{fault.field}: {fault.value!r}, expected {fault.expected}" for fault in faults))
        self.faults = tuple(faults)


class InvalidFeedback(InvalidRequest):
    """Events break the bundle's vocabulary or scale, or the request has neither events nor attributes."""


class BodyTooLarge(RequestRefused):
    """The body exceeds the limit."""


class EncodingUnsupported(RequestRefused):
    """The body's content encoding is not supported."""


class KeyRefused(RequestRefused):
    """The API key is absent (``error`` is None) or invalid (``error`` is the code of RFC 6750)."""

    def __init__(self, message: str, error: str | None) -> None:
        super().__init__(message)
        self.error = error


class ScopeMissing(RequestRefused):
    """The API key has none of the ``required`` scopes."""

    def __init__(self, message: str, required: Sequence[str]) -> None:
        super().__init__(message)
        self.required = tuple(required)


class RateExceeded(RequestRefused):
    """An API key or a user (``by`` says which) exceeds its rate limit, for another ``retry_after_s`` seconds."""

    def __init__(self, message: str, by: str, retry_after_s: float) -> None:
        super().__init__(message)
        self.by, self.retry_after_s = by, retry_after_s


class NotStored(RequestRefused):
    """No data is stored for this user, or no event with this id."""


class Unavailable(ServiceError):
    """The service cannot handle the request now; the same request may succeed later."""


class KeyChecksBusy(Unavailable):
    """Too many checks of this API key are running; whether the key is valid stays open."""


class StoreUnavailable(Unavailable):
    """The user store is unreachable, refused, or timed out; treat writes as not stored.

    The message, for the log, has the store's address; ``detail`` is the text for the client.
    """

    def __init__(self, message: str, detail: str = "user store: refused or unreachable; send it again soon") -> None:
        super().__init__(message)
        self.detail = detail


class Overloaded(Unavailable):
    """Too many requests are in progress; this one had no effect."""


class UserBusy(Unavailable):
    """Other writers to the same user kept winning until the deadline, or the store was slow."""


class RecordDamaged(ServiceError):
    """The stored bytes of a user are not a record of a supported format."""


class StoreUnsuitable(ServiceError):
    """The user store cannot keep the durability promise, or holds users of another catalogue."""


class OtherCatalogue(ServiceError):
    """A promoted bundle has another catalogue than the one served."""


class AddressInvalid(ServiceError):
    """The address of the user store is invalid."""


class SettingInvalid(ServiceError):
    """A setting has an invalid value."""


class KeysFileInvalid(ServiceError):
    """The keys file cannot be read or written, has another format, or lacks the key."""


class CannotListen(ServiceError):
    """The listen address is in use or not local to this machine."""


class EmbeddedStoreFailed(ServiceError):
    """The embedded store cannot be started or stopped; the message names its folder and its log."""


def expectation(message: str) -> str:
    """The expectation in a message of pydantic: "Input should be a valid number" → "a valid number"."""
    match = _PYDANTIC.fullmatch(message)
    return match[1] if match else message[0].lower() + message[1:]

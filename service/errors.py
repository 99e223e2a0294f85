"""Errors of the service, one tree.

ServiceError
├── RequestRefused       the client has to send something else
│   ├── InvalidRequest   a part of a request cannot be what its client meant
│   │   └── InvalidFeedback  an event breaks the bundle's vocabulary or scale, or there is nothing to keep
│   ├── BodyTooLarge     a body is longer than the service reads
│   ├── EncodingUnsupported  a body is encoded in a way that the service does not decode
│   ├── KeyRefused       a request has no API key, or one that is not valid
│   ├── ScopeMissing     its key may not do this
│   └── RateExceeded     its key or its user asked more often than it may
├── KeyChecksBusy        an API key cannot be checked now
├── StoreUnavailable     the user store did not do what it was asked, or not in time
├── Overloaded           more requests are under way than the service takes on
├── UserBusy             what was asked of one user was not done by the deadline
├── RecordDamaged        the stored bytes of a user are no record
├── NotHeld              nothing is held about this user, or no event of this id
├── StoreUnsuitable      the user store cannot keep what the durability promises, or is another catalogue's
├── OtherCatalogue       a bundle to swap to is of another catalogue than the one that is served
├── AddressInvalid       the address of the user store cannot be used
├── SettingInvalid       a setting has a value that it cannot have
├── KeysFileInvalid      the keys file cannot be read, or has no such key
├── CannotListen         the address to listen on is taken, or none of this machine
└── EmbeddedStoreFailed  the embedded store cannot be started or stopped

Messages name the thing, the value and the expectation, and never a password or an API key.
HTTP statuses are the business of ``api``.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

_PYDANTIC = re.compile(
    r"(?:Input|String|List|Attributes) should (?:be|have) (.+?)(?: after validation.*|, unable.*|, got .*)?", re.DOTALL
)


class ServiceError(Exception):
    """Base of everything this package raises on purpose."""


class RequestRefused(ServiceError):  # noqa: N818 - the name says what happened
    """The client has to send something else."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing wrong with a request: the field, the value it had, and what was expected."""

    field: str
    value: object
    expected: str


class InvalidRequest(RequestRefused):
    """A part of a request cannot be what its client meant; ``faults`` says which, and what was expected."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        super().__init__("; ".join(f"{fault.field}: {fault.value!r}, expected {fault.expected}" for fault in faults))
        self.faults = tuple(faults)


class InvalidFeedback(InvalidRequest):
    """Events break the bundle's vocabulary or scale, or there is nothing to keep."""


class BodyTooLarge(RequestRefused):
    """A body is longer than the service reads."""


class EncodingUnsupported(RequestRefused):
    """A body is encoded in a way that the service does not decode."""


class KeyRefused(RequestRefused):
    """A request has no API key (``error`` is None), or one that is not valid (``error`` names it as RFC 6750 does)."""

    def __init__(self, message: str, error: str | None) -> None:
        super().__init__(message)
        self.error = error


class ScopeMissing(RequestRefused):
    """The key of a request has none of the scopes that are ``wanted``."""

    def __init__(self, message: str, wanted: Sequence[str]) -> None:
        super().__init__(message)
        self.wanted = tuple(wanted)


class RateExceeded(RequestRefused):
    """A key or a user (``by`` says which) asked more often than it may; in ``retry_after_s`` seconds it may again."""

    def __init__(self, message: str, by: str, retry_after_s: float) -> None:
        super().__init__(message)
        self.by, self.retry_after_s = by, retry_after_s


class KeyChecksBusy(ServiceError):  # noqa: N818 - the name says what happened
    """Too many checks of one API key are under way; nothing is said about the key."""


class StoreUnavailable(ServiceError):  # noqa: N818 - the name says what happened
    """The user store is unreachable, refused, or did not answer in time; nothing counts as kept.

    The message says where the store is, for the log; ``told`` is what a client may know.
    """

    def __init__(self, message: str, told: str = "user store: refused or unreachable; send it again soon") -> None:
        super().__init__(message)
        self.told = told


class Overloaded(ServiceError):  # noqa: N818 - the name says what happened
    """More requests are under way than the service takes on; nothing was done."""


class UserBusy(ServiceError):  # noqa: N818 - the name says what happened
    """Until the deadline other writers to one user kept winning, or the store was slow."""


class RecordDamaged(ServiceError):  # noqa: N818 - the name says what happened
    """The stored bytes of a user are not a record of this format."""


class NotHeld(ServiceError):  # noqa: N818 - the name says what happened
    """Nothing is held about this user, or no event of this id."""


class StoreUnsuitable(ServiceError):  # noqa: N818 - the name says what happened
    """The user store cannot keep what the durability promises, or holds users of another catalogue."""


class OtherCatalogue(ServiceError):  # noqa: N818 - the name says what happened
    """A bundle to swap to is of another catalogue than the one that is served."""


class AddressInvalid(ServiceError):  # noqa: N818 - the name says what happened
    """The address of the user store cannot be used."""


class SettingInvalid(ServiceError):  # noqa: N818 - the name says what happened
    """A setting has a value that it cannot have."""


class KeysFileInvalid(ServiceError):  # noqa: N818 - the name says what happened
    """The keys file cannot be read or written, is none, or has no such key."""


class CannotListen(ServiceError):  # noqa: N818 - the name says what happened
    """The address to listen on is taken, or is none of this machine's."""


class EmbeddedStoreFailed(ServiceError):  # noqa: N818 - the name says what happened
    """The embedded store cannot be started or stopped; the message names its folder and its log."""


def expectation(message: str) -> str:
    """What was expected, out of a message of pydantic: "Input should be a valid number" → "a valid number"."""
    found = _PYDANTIC.fullmatch(message)
    return found[1] if found else message[0].lower() + message[1:]

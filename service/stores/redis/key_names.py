"""Names of all keys in the store, built only here; a user's three keys are on one node of a cluster."""

from __future__ import annotations

import re

from service.errors import SettingInvalid

PREFIX = "kshot"
# Braces would end up in the hash tag; blanks, quotes and stars are unsafe to paste into redis-cli.
_ACCEPTABLE = re.compile(r"[A-Za-z0-9._:-]{1,64}")


def checked_prefix(prefix: str) -> str:
    """``prefix`` unchanged; raises SettingInvalid if no key may begin with it."""
    if not _ACCEPTABLE.fullmatch(prefix):
        raise SettingInvalid(
            f"redis_prefix (KSHOT_REDIS_PREFIX): {prefix!r}, expected 1 to 64 letters, digits, dots, colons, hyphens "
            "or underscores"
        )
    return prefix


class KeyNames:
    """Names of the keys under one prefix.

    Attributes:
        catalogue: key of the mark of the users' catalogue; it never expires.
        rates: prefix of the keys of rate limits, which expire after two windows.
    """

    def __init__(self, prefix: str = PREFIX) -> None:
        """Take the prefix of every key; raises SettingInvalid if no key may begin with it."""
        self._head = checked_prefix(prefix).encode()
        self.catalogue = f"{prefix}:catalogue"
        self.rates = f"{prefix}:rate"

    def record(self, user_id: str) -> bytes:
        """Key of a user's record."""
        return b"%b:{%b}:user" % (self._head, _tag(user_id))

    def archive(self, user_id: str) -> bytes:
        """Key of the events removed from the record."""
        return b"%b:{%b}:older" % (self._head, _tag(user_id))

    def served(self, user_id: str) -> bytes:
        """Key of the last list served to a user."""
        return b"%b:{%b}:served" % (self._head, _tag(user_id))

    def of_user(self, user_id: str) -> tuple[bytes, bytes, bytes]:
        """All keys of a user: record, archive, served list."""
        return self.record(user_id), self.archive(user_id), self.served(user_id)


def _tag(user_id: str) -> bytes:
    """A user id as a hash tag; escapes the brace that would end the tag early."""
    return user_id.replace("%", "%25").replace("}", "%7D").encode("utf-8", "surrogatepass")

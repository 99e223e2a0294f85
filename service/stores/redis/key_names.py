"""Names of all keys in the store, built here and nowhere else; a user's three are on one node of a cluster."""

from __future__ import annotations

import re

from service.errors import SettingInvalid

PREFIX = "kshot"
# Braces would end up in the hash tag, and blanks, quotes or stars in what people paste into redis-cli.
_ACCEPTABLE = re.compile(r"[A-Za-z0-9._:-]{1,64}")


def checked_prefix(prefix: str) -> str:
    """``prefix`` as it is; raises SettingInvalid if it cannot begin a key."""
    if not _ACCEPTABLE.fullmatch(prefix):
        raise SettingInvalid(
            f"redis_prefix (KSHOT_REDIS_PREFIX): {prefix!r}, expected 1 to 64 letters, digits, dots, colons, hyphens "
            "or underscores"
        )
    return prefix


def record_key(user_id: str, prefix: str = PREFIX) -> bytes:
    """Key of a user's record."""
    return b"%b:{%b}:user" % (prefix.encode(), _tag(user_id))


def older_key(user_id: str, prefix: str = PREFIX) -> bytes:
    """Key of the events that left the record."""
    return b"%b:{%b}:older" % (prefix.encode(), _tag(user_id))


def served_key(user_id: str, prefix: str = PREFIX) -> bytes:
    """Key of the last list served to a user."""
    return b"%b:{%b}:served" % (prefix.encode(), _tag(user_id))


def keys_of(user_id: str, prefix: str = PREFIX) -> tuple[bytes, bytes, bytes]:
    """All keys of a user: record, older events, served list."""
    return record_key(user_id, prefix), older_key(user_id, prefix), served_key(user_id, prefix)


def catalogue_key(prefix: str = PREFIX) -> str:
    """Key of the mark that says which catalogue the users belong to; it stays for good."""
    return f"{prefix}:catalogue"


def rates_prefix(prefix: str = PREFIX) -> str:
    """Beginning of the keys of rate limits; each lives for two windows."""
    return f"{prefix}:rate"


def _tag(user_id: str) -> bytes:
    """A user id as a hash tag, which keeps a user's keys on one node of a cluster; no id may end it early."""
    return user_id.replace("%", "%25").replace("}", "%7D").encode("utf-8", "surrogatepass")

"""The keys under which a user is kept: these three and no others, all on one node of a cluster."""

from __future__ import annotations


def record_key(user_id: str) -> bytes:
    """Key of a user's record."""
    return b"kshot:{%b}:user" % _tag(user_id)


def older_key(user_id: str) -> bytes:
    """Key of the events that left the record."""
    return b"kshot:{%b}:older" % _tag(user_id)


def served_key(user_id: str) -> bytes:
    """Key of the last list served to a user."""
    return b"kshot:{%b}:served" % _tag(user_id)


def keys_of(user_id: str) -> tuple[bytes, bytes, bytes]:
    """All keys of a user: record, older events, served list."""
    return record_key(user_id), older_key(user_id), served_key(user_id)


def _tag(user_id: str) -> bytes:
    """A user id as a hash tag, which keeps a user's keys on one node of a cluster; no id may end it early."""
    return user_id.replace("%", "%25").replace("}", "%7D").encode("utf-8", "surrogatepass")

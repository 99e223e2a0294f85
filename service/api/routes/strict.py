"""A dependency of routes that refuses unknown, repeated and undecodable parameters.

FastAPI alone ignores unknown query parameters, takes the last of repeated ones, and decodes bytes that are not UTF-8 to
U+FFFD, which would make one user of different ids.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from difflib import get_close_matches
from itertools import islice
from urllib.parse import unquote, unquote_to_bytes

from fastapi import Depends, Request

from service.errors import Fault, InvalidRequest

# Key of a scope: the ids of the path before decoding, by name; ``users`` sets it.
SENT_IDS = "kshot.sent_ids"
# Names of the same parameters in other services, too different for a match by spelling.
SYNONYMS = {
    **dict.fromkeys(
        ("n", "limit", "count", "num", "top", "top_k", "topk", "top_n", "size", "length", "page_size"), "k"
    ),
    **dict.fromkeys(("user", "uid", "id", "customer_id", "visitor_id"), "user_id"),
    **dict.fromkeys(("seen", "exclude_seen", "filter_seen"), "include_seen"),
}
TEXT = "text in UTF-8, percent-encoded (é is %C3%A9)"
MAX_FAULTS = 10


def check_request(request: Request) -> None:
    """Raise InvalidRequest for an invalid query or an invalid id in the path."""
    parameters = [field.alias for field in request.scope["route"].dependant.query_params]
    faults = list(
        islice(_faults(request.scope.get(SENT_IDS, {}), request.scope["query_string"], parameters), MAX_FAULTS)
    )
    if faults:
        raise InvalidRequest(faults)


STRICT = Depends(check_request)


def is_text(sent: str) -> bool:
    """Whether ``sent`` (bytes as Latin-1) is percent-encoded UTF-8; bytes beyond ASCII must be encoded, too."""
    try:
        unquote_to_bytes(sent.encode("ascii")).decode("utf-8")
    except UnicodeError:
        return False
    return True


def _faults(ids: dict[str, str], query: bytes, parameters: Sequence[str]) -> Iterator[Fault]:
    yield from (Fault(name, sent, TEXT) for name, sent in ids.items() if not is_text(sent))
    parts = [part.partition("=") for part in query.decode("latin-1").replace("+", " ").split("&") if part]
    for name, _, value in parts:
        decoded = unquote(name)
        if decoded not in parameters:
            yield Fault(decoded, unquote(value), _expected(decoded, parameters))
        elif not is_text(value):
            yield Fault(decoded, value, TEXT)
    for name, count in Counter(unquote(name) for name, _, _ in parts).items():
        if count > 1 and name in parameters:
            yield Fault(name, f"{count} times", "it once")


def _expected(name: str, parameters: Sequence[str]) -> str:
    if not parameters:
        return "no parameters in this query"
    plain = name.strip().casefold().replace("-", "_")
    synonym = SYNONYMS.get(plain)
    nearest = [synonym] if synonym in parameters else get_close_matches(plain, parameters, 1)
    if nearest:
        return f"{nearest[0]} instead, out of the parameters {', '.join(parameters)}"
    return f"one of the parameters {', '.join(parameters)}"

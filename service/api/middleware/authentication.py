"""API keys on requests: every path but the open ones wants a key, and says which scope."""

from __future__ import annotations

import ipaddress
from collections.abc import Set as AbstractSet
from typing import Any

from starlette.types import ASGIApp, Receive, Scope, Send

from service import telemetry
from service.access.gate import Gate
from service.access.keyring import Key
from service.access.keyring import Scope as KeyScope
from service.api.problems import REFUSAL, STATUS, problem
from service.errors import KeyChecksBusy, KeyRefused, ScopeMissing

# Any one of a path's scopes will do. Whatever is not listed is for administrators, so a new route is closed first.
SCOPES: dict[str, tuple[KeyScope, ...]] = {
    "/recommend": (KeyScope.READ,),
    "/feedback": (KeyScope.FEEDBACK,),
    "/metrics": (KeyScope.METRICS, KeyScope.ADMIN),
}
OTHERWISE = (KeyScope.ADMIN,)
PROBES = frozenset({"/health/live", "/health/ready"})
METRICS = frozenset({"/metrics"})

KEY_ID = "kshot.key_id"
SCHEME = b"bearer "
CHALLENGE = 'Bearer realm="kshot"'


class Keys:
    """Wraps the application: a request without the key that its path wants goes no further."""

    def __init__(
        self, app: ASGIApp, *, gate: Gate, unlocked: AbstractSet[str], unlocked_on_loopback: AbstractSet[str]
    ) -> None:
        """Take the paths that need no key beside the probes: at all, and from this machine."""
        self.app, self._gate = app, gate
        self._unlocked, self._unlocked_on_loopback = PROBES | unlocked, unlocked_on_loopback

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or refuse it; the key's id goes along in the scope."""
        if scope["type"] == "http" and not self._is_open(scope):
            try:
                scope[KEY_ID] = (await self._admitted(scope)).id
            except (KeyRefused, ScopeMissing, KeyChecksBusy) as exc:
                telemetry.key_refusals.labels(_reason(exc)).inc()
                await problem(STATUS[type(exc)], str(exc), headers=_headers(exc))(scope, receive, send)
                return
        await self.app(scope, receive, send)

    def _is_open(self, scope: Scope) -> bool:
        path = scope["path"]
        return path in self._unlocked or (path in self._unlocked_on_loopback and _is_from_this_machine(scope))

    async def _admitted(self, scope: Scope) -> Key:
        key = await self._gate.admit(_bearer(scope))
        wanted = SCOPES.get(scope["path"], OTHERWISE)
        if not any(each in key.scopes for each in wanted):
            raise ScopeMissing(
                f"API key {key.id}: scopes {', '.join(key.scopes)}, expected {' or '.join(wanted)}", wanted
            )
        return key


def declare(schema: dict[str, Any], unlocked: AbstractSet[str]) -> None:
    """Say in an OpenAPI ``schema`` which paths want a key, of which scope, and what a refusal looks like."""
    schema["components"]["securitySchemes"] = {
        "key": {"type": "http", "scheme": "bearer", "description": "An API key, made by: kshot keys new"}
    }
    for path, operations in schema["paths"].items():
        if path in PROBES | unlocked:
            continue
        for operation in operations.values():
            operation["security"] = [{"key": []}]
            scopes = " or ".join(SCOPES.get(path, OTHERWISE))
            operation["responses"] |= {
                "401": {"description": "No API key, or one that is not valid", "content": REFUSAL},
                "403": {"description": f"The API key has not the scope {scopes}", "content": REFUSAL},
            }
            operation["responses"].setdefault("503", {"description": "No check of the key now", "content": REFUSAL})


def _bearer(scope: Scope) -> bytes:
    for name, value in scope["headers"]:
        if name == b"authorization" and value[: len(SCHEME)].lower() == SCHEME:
            text: bytes = value[len(SCHEME) :].strip()
            return text
    raise KeyRefused("authorization: absent, expected Bearer and an API key", None)


def _is_from_this_machine(scope: Scope) -> bool:
    client = scope.get("client")
    try:
        return client is not None and ipaddress.ip_address(client[0]).is_loopback
    except ValueError:
        return False


def _headers(exc: Exception) -> dict[str, str]:
    match exc:
        case KeyRefused(error=str(error)):
            return {"WWW-Authenticate": f'{CHALLENGE}, error="{error}"'}
        case ScopeMissing(wanted=wanted):
            return {"WWW-Authenticate": f'{CHALLENGE}, error="insufficient_scope", scope="{" ".join(wanted)}"'}
        case KeyChecksBusy():
            return {"Retry-After": "1"}
        case _:
            return {"WWW-Authenticate": CHALLENGE}


def _reason(exc: Exception) -> str:
    match exc:
        case KeyRefused(error=None):
            return "absent"
        case KeyRefused():
            return "invalid"
        case ScopeMissing():
            return "scope"
        case _:
            return "busy"

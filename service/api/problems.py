"""Errors as responses: the one table of HTTP statuses, and problem details as in RFC 9457."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

import orjson
import structlog
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.routing import Match

from service import telemetry
from service.api.middleware.body import ENCODINGS
from service.api.schemas.problem import Invalid, Problem
from service.errors import (
    BodyTooLarge,
    EncodingUnsupported,
    Fault,
    InvalidRequest,
    KeyRefused,
    NotStored,
    Overloaded,
    RateExceeded,
    RecordDamaged,
    ScopeMissing,
    ServiceError,
    StoreUnavailable,
    Unavailable,
    expectation,
)

log = structlog.get_logger()

STATUS = {
    KeyRefused: HTTPStatus.UNAUTHORIZED,
    ScopeMissing: HTTPStatus.FORBIDDEN,
    NotStored: HTTPStatus.NOT_FOUND,
    BodyTooLarge: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    EncodingUnsupported: HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    RateExceeded: HTTPStatus.TOO_MANY_REQUESTS,
    RecordDamaged: HTTPStatus.INTERNAL_SERVER_ERROR,
    Unavailable: HTTPStatus.SERVICE_UNAVAILABLE,
}
PROBLEM_JSON = "application/problem+json"
# A problem in the documentation of a route: as a response model, and as the content of a response.
RESPONSE: dict[str, Any] = {"model": Problem}
CONTENT = {PROBLEM_JSON: {"schema": {"$ref": "#/components/schemas/Problem"}}}
# Headers by status that tell the client how to try again.
HEADERS = {
    HTTPStatus.SERVICE_UNAVAILABLE: {"Retry-After": "1"},
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE: {"Accept-Encoding": ", ".join(ENCODINGS)},
}
SHOWN_CHARACTERS = 80
METHODS = ("DELETE", "GET", "HEAD", "POST")
NOT_JSON = Invalid(field="body", value="not JSON", expected="valid JSON in UTF-8")


def install(app: FastAPI) -> None:
    """Answer errors of clients and of the user store in ``app`` with problems."""
    app.add_exception_handler(RequestValidationError, _on_invalid_request)
    app.add_exception_handler(HTTPException, _on_http_error)
    app.add_exception_handler(ServiceError, _on_service_error)


def problem(
    status: HTTPStatus,
    detail: str,
    errors: Sequence[Invalid] = (),
    headers: Mapping[str, str] | None = None,
) -> Response:
    """One problem as a response."""
    body = Problem(
        title=status.phrase,
        status=status,
        detail=detail,
        request_id=telemetry.request_id.get(),
        errors=list(errors),
    )
    return Response(orjson.dumps(body.model_dump()), status, headers=headers, media_type=PROBLEM_JSON)


def problem_of(exc: ServiceError) -> Response:
    """An error of the service as a response."""
    if isinstance(exc, InvalidRequest):
        return _invalid([_of_fault(fault) for fault in exc.faults])
    status = status_of(exc)
    # Refusals for lack of capacity are frequent, and counted; a log line for each would add to the load.
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR and not isinstance(exc, Overloaded):
        log.warning("refused", reason=str(exc))
    detail = exc.detail if isinstance(exc, StoreUnavailable) else str(exc)
    return problem(status, detail, headers=HEADERS.get(status))


def status_of(exc: ServiceError) -> HTTPStatus:
    """The HTTP status of an error, by the first of its classes in the table."""
    return next(status for kind, status in STATUS.items() if isinstance(exc, kind))


def _on_invalid_request(_request: Request, exc: Exception) -> Response:
    assert isinstance(exc, RequestValidationError)  # noqa: S101 - registered for this class
    return _invalid([_of_validation(error) for error in exc.errors()])


def _on_service_error(_request: Request, exc: Exception) -> Response:
    assert isinstance(exc, ServiceError)  # noqa: S101 - registered for this class
    return problem_of(exc)


def _on_http_error(request: Request, exc: Exception) -> Response:
    assert isinstance(exc, HTTPException)  # noqa: S101 - registered for this class
    # FastAPI turns most errors of reading and parsing a body into a 400 and keeps the error as its cause.
    cause = exc.__cause__
    if isinstance(cause, ServiceError):
        return problem_of(cause)
    if isinstance(cause, ValueError | RecursionError):
        return _invalid([NOT_JSON])
    return problem(HTTPStatus(exc.status_code), str(exc.detail), headers=_headers(request, exc))


def _headers(request: Request, exc: HTTPException) -> Mapping[str, str] | None:
    """Headers of a refusal; a refused method gets an Allow header with all methods of the path.

    HEAD is allowed wherever GET is, because ``PlainRequests`` turns HEAD into GET.
    """
    if exc.status_code != HTTPStatus.METHOD_NOT_ALLOWED:
        return exc.headers
    allowed = [method for method in METHODS if _is_allowed(request, "GET" if method == "HEAD" else method)]
    return {**(exc.headers or {}), "Allow": ", ".join(allowed)}


def _is_allowed(request: Request, method: str) -> bool:
    scope = {**request.scope, "method": method}
    return any(route.matches(scope)[0] is Match.FULL for route in request.app.router.routes)


def _invalid(errors: Sequence[Invalid]) -> Response:
    first = errors[0]
    more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
    detail = f"{first.field}: {first.value}, expected {first.expected}{more}"
    return problem(HTTPStatus.UNPROCESSABLE_ENTITY, detail, errors)


def _of_validation(error: dict[str, Any]) -> Invalid:
    """One error of FastAPI's validation, in the words of a problem."""
    match error["type"]:
        case "json_invalid":
            position = f"not JSON at character {error['loc'][-1]}"
            return Invalid(field="body", value=position, expected="valid JSON")
        case "missing":
            return Invalid(field=_field(error["loc"]), value="absent", expected="a value")
        case "extra_forbidden":
            expected = "no such field"
        case "model_attributes_type":
            expected = "a JSON object, sent with content-type: application/json"
        case _:
            expected = expectation(error["msg"])
    return Invalid(field=_field(error["loc"]), value=_shown(error["input"]), expected=expected)


def _of_fault(fault: Fault) -> Invalid:
    return Invalid(field=_shortened(fault.field), value=_shown(fault.value), expected=fault.expected)


def _field(location: Sequence[int | str]) -> str:
    """("body", "events", 0, "value") → "events[0].value"."""
    parts = [f"[{part}]" if isinstance(part, int) else f".{part}" for part in location[1:]]
    return _shortened("".join(parts).lstrip(".") or str(location[0]))


def _shown(value: object) -> str:
    """A value as JSON, shortened; a list or an object as its kind."""
    match value:
        case list():
            return f"a list of {len(value)}"
        case dict():
            return "an object"
        case bytes():
            return "text"
        case _:
            return _shortened(json.dumps(value, ensure_ascii=False))


def _shortened(text: str) -> str:
    # A lone surrogate ("\ud800") is valid in JSON text and cannot be encoded as UTF-8.
    sendable = text.encode("utf-8", "backslashreplace").decode()
    return sendable if len(sendable) <= SHOWN_CHARACTERS else f"{sendable[:SHOWN_CHARACTERS]}…"

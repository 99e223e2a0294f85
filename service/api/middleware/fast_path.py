"""The fast path: plain requests to the two hot routes skip FastAPI's machinery.

FastAPI's routing, dependencies and responses cost as much as reading the user, scoring the catalogue and writing the
response together. A plainly valid request goes straight to the route's own function, so that both paths write the same
bytes. Parameters, bounds and defaults come from the signature of that function. All other requests, invalid ones
included, go to the application untouched, so that refusals are written in one place.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol, get_type_hints
from urllib.parse import unquote_plus

from fastapi.routing import APIRoute
from pydantic import BaseModel, ConfigDict, ValidationError, create_model
from starlette.routing import BaseRoute
from starlette.types import ASGIApp, Receive, Scope, Send

from service.api.middleware.body import peek_body
from service.api.problems import problem_of
from service.api.routes.strict import STRICT
from service.errors import ServiceError

HOT_ROUTES = (("GET", "/recommend"), ("POST", "/feedback"))
PLAIN_JSON = {b"application/json", b"application/json; charset=utf-8", b"application/json;charset=utf-8"}

Arguments = dict[str, Any]


class Reader(Protocol):
    """Reads the arguments of a route's function from a request."""

    async def read(self, scope: Scope, receive: Receive) -> tuple[Arguments | None, Receive]:
        """The arguments, None for a request that is not plainly valid, and a ``receive`` for its whole body."""


class HotRoute(NamedTuple):
    """One route and the reader of its arguments."""

    route: APIRoute
    reader: Reader


class FastPath:
    """Calls the functions of the hot routes, inside all other middleware and before the router of ``app``."""

    def __init__(self, app: ASGIApp, *, routes: Sequence[BaseRoute]) -> None:
        """Take the application's own ``routes``: the metrics find a request's route in its scope."""
        self._app = app
        self._hot: dict[tuple[str, str], HotRoute] = {}
        for route in routes:
            if isinstance(route, APIRoute):
                names = {(method, route.path) for method in route.methods or ()}
                self._hot |= {name: HotRoute(route, _reader(route)) for name in names.intersection(HOT_ROUTES)}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a plain request, or pass it on."""
        hot = self._hot.get((scope["method"], scope["path"])) if scope["type"] == "http" else None
        if hot is None:
            await self._app(scope, receive, send)
            return
        arguments, receive = await hot.reader.read(scope, receive)
        if arguments is None:
            await self._app(scope, receive, send)
            return
        scope["route"] = hot.route
        try:
            response = await hot.route.endpoint(**arguments)
        except ServiceError as exc:
            response = problem_of(exc)
        await response(scope, receive, send)


class QueryReader:
    """Reads query parameters, with the types, bounds and defaults of a function's parameters."""

    def __init__(self, parameters: Sequence[inspect.Parameter]) -> None:
        fields: Arguments = {
            parameter.name: (parameter.annotation, ... if parameter.default is parameter.empty else parameter.default)
            for parameter in parameters
        }
        self._model = create_model("Query", __config__=ConfigDict(extra="forbid"), **fields)

    async def read(self, scope: Scope, receive: Receive) -> tuple[Arguments | None, Receive]:
        """See ``Reader``."""
        return self.arguments(scope["query_string"]), receive

    def arguments(self, query: bytes) -> Arguments | None:
        """The arguments in a plainly valid query; None leaves the judgement to FastAPI."""
        try:
            text = query.decode("ascii")
            pairs = [part.split("=", 1) for part in text.split("&")]
            texts = dict(pairs)
        except ValueError:  # not ASCII, or a part without "="
            return None
        if len(texts) != len(pairs):
            return None
        if "%" in text or "+" in text:
            texts = {name: unquote_plus(value) for name, value in texts.items()}
            # A replacement character is either itself or a sign of bytes that are not UTF-8.
            if any("\ufffd" in value for value in texts.values()):
                return None
        try:
            return vars(self._model.model_validate(texts))
        except ValidationError:
            return None


class BodyReader:
    """Reads a JSON body into the one parameter of a function, a pydantic model."""

    def __init__(self, parameter: inspect.Parameter) -> None:
        self._name = parameter.name
        self._model: type[BaseModel] = parameter.annotation

    async def read(self, scope: Scope, receive: Receive) -> tuple[Arguments | None, Receive]:
        """See ``Reader``."""
        if scope["query_string"] or not _is_json(scope):
            return None, receive
        body, receive = await peek_body(receive)
        return self.arguments(body), receive

    def arguments(self, body: bytes) -> Arguments | None:
        """The arguments in a plainly valid body; None leaves the judgement to FastAPI."""
        try:
            return {self._name: self._model.model_validate_json(body)}
        except ValidationError:
            return None


def _reader(route: APIRoute) -> QueryReader | BodyReader:
    if route.dependencies != [STRICT]:
        raise TypeError(
            f"{route.path}: dependencies {route.dependencies}, expected STRICT alone, as a reader checks it"
        )
    parameters = parameters_of(route.endpoint)
    annotation = parameters[0].annotation
    if inspect.isclass(annotation) and issubclass(annotation, BaseModel):
        return BodyReader(parameters[0])
    return QueryReader(parameters)


def parameters_of(function: Callable[..., Any]) -> list[inspect.Parameter]:
    """The parameters of a function, with their annotations resolved."""
    hints = get_type_hints(function, include_extras=True)
    parameters = inspect.signature(function).parameters.values()
    return [parameter.replace(annotation=hints[parameter.name]) for parameter in parameters]


def _is_json(scope: Scope) -> bool:
    types = [value for name, value in scope["headers"] if name == b"content-type"]
    return len(types) == 1 and types[0].lower() in PLAIN_JSON

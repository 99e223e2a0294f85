"""The HTTP contract: fields, headers, documentation."""

from __future__ import annotations

import socket
from typing import Any

import pytest
from running_service import Running

from service.api.schemas.feedback import Feedback, Receipt
from service.api.schemas.recommend import Recommendation


def test_a_list_has_exactly_the_fields_of_the_contract(service: Running, user: str) -> None:
    answer = service.recommend(user, k=1)
    assert list(answer) == ["user_id", "bundle", "source", "state", "items"]
    assert set(answer["items"][0]) == {"item_id", "score", "title"}
    Recommendation.model_validate(answer)


def test_titles_are_those_of_the_catalogue(service: Running, user: str) -> None:
    (item,) = service.recommend(user, k=1)["items"]
    group, number = item["item_id"][1:].split("-")
    assert item["title"] == f"Item {number} of group {group}"


def test_a_receipt_has_exactly_the_fields_of_the_contract(service: Running, user: str) -> None:
    answer = service.give(user, {"item_id": "g1-1", "value": 5, "event_id": "mine"})
    assert answer == {"accepted": 1, "duplicates": 0, "state": {"events": 1, "version": 1}}
    assert list(service.like(user, "g1-2")) == ["accepted", "duplicates", "state", "event_ids"]


def test_unknown_items_are_reported_and_known_ones_accepted(service: Running, user: str) -> None:
    answer = service.like(user, "nothing", "g1-1", "nowhere")
    assert answer["accepted"] == answer["state"]["events"] == 1
    assert answer["unknown"] == [{"index": 0, "item_id": "nothing"}, {"index": 2, "item_id": "nowhere"}]
    Receipt.model_validate(answer)


def test_a_safe_request_id_is_kept(service: Running) -> None:
    answer = service.client.get("/health/live", headers={"X-Request-ID": "trace-1.a_B"})
    assert answer.headers["x-request-id"] == "trace-1.a_B"


@pytest.mark.parametrize("wild", ["", "two words", '{"event":"forged"}', "x" * 65, "na\u00efve"])
def test_an_unsafe_request_id_is_replaced(service: Running, wild: str) -> None:
    answer = service.client.get("/health/live", headers={b"X-Request-ID": wild.encode()})
    assert answer.headers["x-request-id"].isalnum()


def test_every_request_without_an_id_gets_a_new_one(service: Running) -> None:
    ids = {service.client.get("/health/live").headers["x-request-id"] for _ in range(3)}
    assert len(ids) == 3


def test_a_problem_carries_the_id_of_its_request(service: Running) -> None:
    answer = service.client.get("/nowhere", headers={"X-Request-ID": "trace-2"})
    assert answer.json()["request_id"] == answer.headers["x-request-id"] == "trace-2"


def test_readiness_names_bundle_and_store(service: Running, user: str) -> None:
    bundle = service.recommend(user)["bundle"]
    assert service.client.get("/health/ready").json() == {"status": "ready", "bundle": bundle, "store": "up"}


@pytest.fixture(scope="module")
def openapi(service: Running) -> dict[str, Any]:
    schema: dict[str, Any] = service.client.get("/openapi.json").json()
    return schema


@pytest.mark.parametrize(
    ("path", "method"),
    [
        ("/recommend", "get"),
        ("/feedback", "post"),
        ("/metrics", "get"),
        ("/health/live", "get"),
        ("/health/ready", "get"),
    ],
)
def test_every_route_is_documented(openapi: dict[str, Any], path: str, method: str) -> None:
    assert openapi["paths"][path][method]["description"]


@pytest.mark.parametrize(
    ("path", "method", "schema"), [("/recommend", "get", "Recommendation"), ("/feedback", "post", "Receipt")]
)
def test_answers_are_documented_with_their_schema(openapi: dict[str, Any], path: str, method: str, schema: str) -> None:
    content = openapi["paths"][path][method]["responses"]["200"]["content"]["application/json"]
    assert content["schema"]["$ref"] == f"#/components/schemas/{schema}"
    assert schema in openapi["components"]["schemas"]


@pytest.mark.parametrize(("path", "method"), [("/recommend", "get"), ("/feedback", "post")])
def test_refusals_are_documented_as_problems(openapi: dict[str, Any], path: str, method: str) -> None:
    refused = openapi["paths"][path][method]["responses"]["422"]["content"]
    assert {kind: content["schema"]["$ref"] for kind, content in refused.items()} == {
        "application/problem+json": "#/components/schemas/Problem"
    }


def test_the_documented_examples_are_valid(openapi: dict[str, Any]) -> None:
    examples = openapi["components"]["schemas"]["Feedback"]["examples"]
    assert examples
    for example in examples:
        Feedback.model_validate(example)


def test_an_unknown_path_is_a_problem(service: Running) -> None:
    answer = service.client.get("/nowhere")
    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"


def test_another_method_is_refused_with_the_allowed_ones(service: Running) -> None:
    answer = service.client.delete("/feedback")
    assert (answer.status_code, answer.headers["allow"]) == (405, "POST")
    answer = service.client.post("/health/live")
    assert (answer.status_code, answer.headers["allow"]) == (405, "GET, HEAD")


@pytest.mark.parametrize(
    ("path", "allowed"), [("/users/a%2Fb/", "DELETE, GET, HEAD"), ("/openapi.json", "GET, HEAD"), ("/", "GET, HEAD")]
)
def test_every_method_of_a_path_is_named_once(service: Running, path: str, allowed: str) -> None:
    answer = service.client.put(path)
    assert (answer.status_code, answer.headers["allow"]) == (405, allowed)


def test_a_websocket_is_refused_and_disturbs_no_other_client(service: Running) -> None:
    url = service.client.base_url
    with socket.create_connection((url.host, url.port), timeout=5) as connection:
        connection.sendall(
            b"GET /recommend HTTP/1.1\r\nHost: kshot\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
        )
        assert connection.recv(100).startswith(b"HTTP/1.1 4")
    assert service.client.get("/health/live").is_success

"""Bad input gets a problem with the field, the value and the expectation; nothing is stored."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from running_service import Running

GOOD = {"item_id": "g1-1", "value": 5}
JSON = {"content-type": "application/json"}
A_TYPE = "a type out of click, dislike, like, purchase"
A_VALUE = "a value from 1 to 5"
AN_OBJECT = "a JSON object, sent with content-type: application/json"


def refused(response: httpx.Response, status: int = 422) -> list[tuple[str, str, str]]:
    """Field, value and expectation of all errors."""
    problem = response.json()
    assert (response.status_code, problem["status"]) == (status, status), response.text
    assert response.headers["content-type"] == "application/problem+json"
    errors = [(error["field"], error["value"], error["expected"]) for error in problem["errors"]]
    for field, value, expected in errors[:1]:
        assert problem["detail"].startswith(f"{field}: {value}, expected {expected}")
    return errors


def assert_nothing_stored(service: Running, user: str) -> None:
    assert service.recommend(user, k=1)["state"] == {"events": 0, "version": 0}


@pytest.mark.parametrize(
    ("event", "field", "value", "expected"),
    [
        ({"value": 0.5}, "value", "0.5", A_VALUE),
        ({"value": 6}, "value", "6.0", A_VALUE),
        ({"value": -1e300}, "value", "-1e+300", A_VALUE),
        ({"type": "stare"}, "type", '"stare"', A_TYPE),
        ({"type": ""}, "type", '""', A_TYPE),
        ({"type": 5}, "type", "5", "a valid string"),
        ({"type": "like", "value": 5}, "type", '"like"', "a value or a type, not both"),
        ({}, "value", "null", f"{A_VALUE}, or instead of it {A_TYPE}"),
        ({"value": "5"}, "value", '"5"', "a valid number"),
        ({"value": True}, "value", "true", "a valid number"),
        ({"value": [5]}, "value", "a list of 1", "a valid number"),
        ({"value": {"stars": 5}}, "value", "an object", "a valid number"),
        ({"value": float("nan")}, "value", "NaN", "a finite number"),
        ({"value": float("inf")}, "value", "Infinity", "a finite number"),
        ({"value": float("-inf")}, "value", "-Infinity", "a finite number"),
        ({"value": 10**400}, "value", "1" + 79 * "0" + "…", "a valid number"),
        ({"value": 5, "timestamp": -1}, "timestamp", "-1", "greater than or equal to 0"),
        ({"value": 5, "timestamp": "now"}, "timestamp", '"now"', "a valid number"),
        ({"value": 5, "timestamp": float("nan")}, "timestamp", "NaN", "a finite number"),
        ({"value": 5, "rating": 5}, "rating", "5", "no such field"),
        ({"value": 5, "event_id": ""}, "event_id", '""', "at least 1 character"),
        ({"value": 5, "event_id": 257 * "e"}, "event_id", f'"{79 * "e"}…', "at most 256 characters"),
        ({"value": 5, "item_id": 257 * "i"}, "item_id", f'"{79 * "i"}…', "at most 256 characters"),
        ({"value": 5, "item_id": ""}, "item_id", '""', "at least 1 character"),
        ({"value": 5, "item_id": 1}, "item_id", "1", "a valid string"),
        ({"value": 5, "item_id": None}, "item_id", "null", "a valid string"),
        ({"value": 5, "item_id": "\ud800"}, "item_id", r'"\ud800"', "a valid string"),
    ],
)
def test_an_invalid_event_is_refused_by_name_with_its_whole_batch(
    service: Running, user: str, event: dict[str, Any], field: str, value: str, expected: str
) -> None:
    body = json.dumps({"user_id": user, "events": [GOOD, {"item_id": "g1-2"} | event]})
    response = service.client.post("/feedback", content=body, headers=JSON)
    assert refused(response) == [(f"events[1].{field}", value, expected)]
    assert_nothing_stored(service, user)


def test_an_event_without_its_item_is_refused(service: Running, user: str) -> None:
    response = service.post(user, [{"value": 5}])
    assert refused(response) == [("events[0].item_id", "absent", "a value")]
    assert_nothing_stored(service, user)


def test_a_timestamp_over_a_day_ahead_is_refused(service: Running, user: str) -> None:
    ahead = round(time.time()) + 86_400 + 60.0
    ((field, value, expected),) = refused(service.post(user, [GOOD | {"timestamp": ahead}]))
    assert (field, value) == ("events[0].timestamp", str(ahead))
    assert expected.startswith("at most a day ahead of ")
    assert_nothing_stored(service, user)


def test_a_timestamp_less_than_a_day_ahead_is_accepted(service: Running, user: str) -> None:
    assert service.give(user, GOOD | {"timestamp": time.time() + 80_000})["accepted"] == 1


def test_all_errors_are_listed(service: Running, user: str) -> None:
    errors = refused(service.post(user, [{"item_id": "g1-1", "value": 9}, {"item_id": "g1-2", "type": "stare"}]))
    assert [field for field, *_ in errors] == ["events[0].value", "events[1].type"]


def test_feedback_about_unknown_items_only_is_refused(service: Running, user: str) -> None:
    bundle = service.recommend(user)["bundle"]
    response = service.post(user, [{"item_id": name, "value": 5} for name in ("nothing", "nowhere")])
    assert refused(response) == [
        ("events[0].item_id", '"nothing"', f"an item of bundle {bundle}"),
        ("events[1].item_id", '"nowhere"', f"an item of bundle {bundle}"),
    ]
    assert_nothing_stored(service, user)


@pytest.mark.parametrize(
    ("events", "value", "expected"),
    [
        ([], "a list of 0", "at least 1 event, or attributes"),
        (257 * [GOOD], "a list of 257", "at most 256 items"),
        ("many", '"many"', "a valid list"),
        (None, "null", "a valid list"),
    ],
)
def test_a_batch_of_another_size_is_refused(
    service: Running, user: str, events: Any, value: str, expected: str
) -> None:
    assert refused(service.post(user, events)) == [("events", value, expected)]
    assert_nothing_stored(service, user)


def test_a_batch_of_256_events_is_accepted(service: Running, user: str) -> None:
    events = [{"item_id": f"g{n % 8}-{n // 8 % 30}", "value": 5} for n in range(256)]
    assert service.give(user, *events)["accepted"] == 256


@pytest.mark.parametrize(
    ("user_id", "value", "expected"),
    [
        ("", '""', "at least 1 character"),
        (257 * "u", f'"{79 * "u"}…', "at most 256 characters"),
        (7, "7", "a valid string"),
        ("\ud800", r'"\ud800"', "a valid string"),
    ],
)
def test_an_invalid_user_id_is_refused(service: Running, user_id: Any, value: str, expected: str) -> None:
    body = json.dumps({"user_id": user_id, "events": [GOOD]})
    response = service.client.post("/feedback", content=body, headers=JSON)
    assert refused(response) == [("user_id", value, expected)]


@pytest.mark.parametrize(
    ("query", "field", "value", "expected"),
    [
        ({"k": 0}, "k", '"0"', "greater than or equal to 1"),
        ({"k": 501}, "k", '"501"', "less than or equal to 500"),
        ({"k": "ten"}, "k", '"ten"', "a valid integer"),
        ({"include_seen": "perhaps"}, "include_seen", '"perhaps"', "a valid boolean"),
        ({"user_id": ""}, "user_id", '""', "at least 1 character"),
        ({"user_id": 257 * "u"}, "user_id", f'"{79 * "u"}…', "at most 256 characters"),
    ],
)
def test_an_invalid_query_is_refused(
    service: Running, query: dict[str, Any], field: str, value: str, expected: str
) -> None:
    response = service.client.get("/recommend", params={"user_id": "ann"} | query)
    assert refused(response) == [(field, value, expected)]


def test_a_query_without_a_user_is_refused(service: Running) -> None:
    assert refused(service.client.get("/recommend")) == [("user_id", "absent", "a value")]


@pytest.mark.parametrize(
    ("body", "value", "expected"),
    [
        (b"", "absent", "a value"),
        (b"user_id=ann", "not JSON at character 0", "valid JSON"),
        (b'{"user_id":', "not JSON at character 11", "valid JSON"),
        (b'{"user_id":"\xff"}', "not JSON", "valid JSON in UTF-8"),
        (b"9" * 5000, "not JSON", "valid JSON in UTF-8"),
        (b"[" * 100_000, "not JSON", "valid JSON in UTF-8"),
        (b"[]", "a list of 0", AN_OBJECT),
        (b"null", "null", AN_OBJECT),
        (b'"text"', '"text"', AN_OBJECT),
    ],
    ids=lambda part: repr(part[:12]),
)
def test_a_body_other_than_a_json_object_is_refused(service: Running, body: bytes, value: str, expected: str) -> None:
    response = service.client.post("/feedback", content=body, headers=JSON)
    assert refused(response) == [("body", value, expected)]


def test_json_with_another_content_type_is_refused_with_the_expected_one(service: Running) -> None:
    response = service.client.post("/feedback", content=b"{}", headers={"content-type": "text/plain"})
    assert refused(response) == [("body", "text", AN_OBJECT)]


def in_pieces(body: bytes) -> Iterator[bytes]:
    """The body in chunks; from a generator httpx sends them without a Content-Length."""
    for start in range(0, len(body), 65_536):
        yield body[start : start + 65_536]


@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_over_a_mebibyte_is_refused(service: Running, user: str, chunked: bool) -> None:
    body = json.dumps({"user_id": user, "events": [GOOD]}).encode().ljust((1 << 20) + 1)
    response = service.client.post("/feedback", content=in_pieces(body) if chunked else body, headers=JSON)
    assert refused(response, 413) == []
    assert response.json()["detail"] == "body: over 1048576 bytes, expected at most that; send fewer events"
    assert_nothing_stored(service, user)


@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_of_a_mebibyte_is_accepted(service: Running, user: str, chunked: bool) -> None:
    body = json.dumps({"user_id": user, "events": [GOOD]}).encode().ljust(1 << 20)
    response = service.client.post("/feedback", content=in_pieces(body) if chunked else body, headers=JSON)
    assert response.json()["accepted"] == 1

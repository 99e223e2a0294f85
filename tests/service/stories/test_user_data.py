"""A user's data can be read, forgotten event by event, and erased."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from redis import Redis
from running_service import Running, running, wait_until

from service.api.schemas.users import Erasure, UserData
from service.core.history import digest_name, event_digest
from service.stores.embedded import EmbeddedStore
from service.stores.redis.key_names import KeyNames

KEYS = KeyNames()
EVENTS = [
    {"item_id": f"g{n % 3}-{n % 12}", "value": 1 + n % 5, "timestamp": 1.7e9 + 3600 * n, "event_id": f"click/{n}"}
    for n in range(30)
]


def path_of(user: str, event_id: str | None = None) -> str:
    """Path of a user or of one of their events, percent-encoded."""
    path = f"/users/{quote(user, safe='')}"
    return path if event_id is None else f"{path}/events/{quote(event_id, safe='')}"


def data_of(service: Running, user: str) -> dict[str, Any]:
    answer = service.client.get(path_of(user))
    assert answer.status_code == 200, answer.text
    UserData.model_validate(answer.json())
    data: dict[str, Any] = answer.json()
    return data


def unlearn(service: Running, user: str, event_id: str) -> httpx.Response:
    return service.client.delete(path_of(user, event_id))


def erase(service: Running, user: str) -> list[str]:
    answer = service.client.delete(path_of(user))
    assert answer.status_code == 200, answer.text
    Erasure.model_validate(answer.json())
    erased: list[str] = answer.json()["erased"]
    return erased


def test_all_data_of_a_user_is_shown(service: Running, user: str) -> None:
    service.give(user, EVENTS[0], EVENTS[1], EVENTS[0] | {"event_id": "again", "value": 5, "timestamp": 1.75e9})
    service.client.post("/feedback", json={"user_id": user, "attributes": {"guild": "guild 1"}})
    served = service.recommend(user, k=3)
    data = data_of(service, user)
    assert [(event["item_id"], event["value"], event["timestamp"], event["recent"]) for event in data["events"]] == [
        ("g0-0", 1, 1.7e9, False),
        ("g1-1", 2, 1.7e9 + 3600, True),
        ("g0-0", 5, 1.75e9, True),
    ]
    assert (data["user_id"], data["version"], data["attributes"]) == (user, 2, {"guild": "guild 1"})
    assert data["known_event_ids"] == [data["events"][0]["event_id"]]
    assert data["state"]["bundle"] == served["bundle"]
    assert 364 * 86_400 < data["expires_in_s"] <= 365 * 86_400
    wait_until(lambda: data_of(service, user)["served"] == [item["item_id"] for item in served["items"]])


def test_user_data_is_not_cached(service: Running, user: str) -> None:
    service.like(user, "g1-1")
    assert service.client.get(path_of(user)).headers["cache-control"] == "no-store"


def test_a_user_without_data_is_a_404(service: Running, user: str) -> None:
    answer = service.client.get(path_of(user))
    assert (answer.status_code, answer.headers["content-type"]) == (404, "application/problem+json")


def test_an_event_without_an_id_gets_one(service: Running, user: str) -> None:
    third = {"item_id": "g1-1", "value": 5, "event_id": "third"}
    ids = service.give(user, {"item_id": "g2-2", "value": 5}, {"item_id": "nowhere", "value": 5}, third)["event_ids"]
    assert (len(ids[0]), ids[1], ids[2]) == (20, None, "third")
    again = service.give(user, {"item_id": "g2-2", "value": 5, "event_id": ids[0]})
    assert (again["accepted"], again["duplicates"]) == (0, 1)
    assert ids[0] in [event["event_id"] for event in data_of(service, user)["events"]]


def test_generated_ids_differ(service: Running, user: str) -> None:
    ids = service.like(user, *(f"g1-{number}" for number in range(20)))["event_ids"]
    assert len(set(ids)) == 20


def content_of(data: dict[str, Any]) -> dict[str, Any]:
    """User data without the user's id, version, expiry and served list."""
    return {name: value for name, value in data.items() if name not in ("user_id", "version", "expires_in_s", "served")}


@pytest.mark.parametrize("number", [0, 7, 9, 12, 29])
def test_unlearning_an_event_equals_never_having_had_it(service: Running, user: str, number: int) -> None:
    """For replaced and replacing events, the first and the last; to the last bit of the state."""
    never = f"{user} never"
    service.give(user, *EVENTS)
    service.give(never, *(event for event in EVENTS if event is not EVENTS[number]))
    answer = unlearn(service, user, f"click/{number}")
    assert answer.status_code == 200, answer.text
    assert content_of(data_of(service, user)) == content_of(data_of(service, never))
    answered, expected = service.recommend(user, k=240), service.recommend(never, k=240)
    assert answered["items"] == expected["items"]
    assert answered["state"] == answer.json()
    assert answered["state"]["events"] == expected["state"]["events"]


def test_exactly_the_unlearned_events_are_gone_after_concurrent_writes(workers: Running, user: str) -> None:
    """Through two workers, one connection per request, all at once."""
    old, new = EVENTS[:12], [event | {"event_id": f"new/{number}"} for number, event in enumerate(EVENTS[12:24])]
    workers.give(user, *old)
    address = workers.client.base_url

    def act(number: int) -> int:
        if number % 2:
            return httpx.delete(address.join(path_of(user, old[number // 2]["event_id"])), timeout=20).status_code
        body = {"user_id": user, "events": [new[number // 2]]}
        return httpx.post(address.join("/feedback"), json=body, timeout=20).status_code

    with ThreadPoolExecutor(24) as pool:
        assert set(pool.map(act, range(24))) == {200}
    data, again = data_of(workers, user), f"{user} again"
    assert sorted(event["event_id"] for event in data["events"]) == sorted(names_of(new))
    for event in data["events"]:
        workers.give(again, {name: event[name] for name in ("item_id", "value", "timestamp", "event_id")})
    assert content_of(data_of(workers, again)) == content_of(data)


def test_concurrent_writes_restore_nothing_from_before_an_erasure(workers: Running, user: str) -> None:
    """A writer that read the user before the erasure writes nothing of it afterwards."""
    address, before = workers.client.base_url, [event | {"event_id": f"before/{n}"} for n, event in enumerate(EVENTS)]
    workers.give(user, *before)

    def act(number: int) -> int:
        if number == 12:
            return httpx.delete(address.join(path_of(user)), timeout=20).status_code
        body = {"user_id": user, "events": [EVENTS[number]]}
        return httpx.post(address.join("/feedback"), json=body, timeout=20).status_code

    with ThreadPoolExecutor(24) as pool:
        assert set(pool.map(act, range(24))) == {200}
    workers.give(user, EVENTS[24])
    stored = {event["event_id"] for event in data_of(workers, user)["events"]}
    assert set(names_of(EVENTS[24:25])) <= stored <= set(names_of(EVENTS))


def names_of(events: list[dict[str, Any]]) -> list[str]:
    """The ids of these events in the user data."""
    return [digest_name(event_digest(event["event_id"])) for event in events]


def test_an_event_is_unlearned_by_its_id_in_the_user_data(service: Running, user: str) -> None:
    service.give(user, *EVENTS[:3])
    shown = data_of(service, user)["events"][1]["event_id"]
    assert unlearn(service, user, shown).json() == {"events": 2, "version": 2}
    assert [event["item_id"] for event in data_of(service, user)["events"]] == ["g0-0", "g2-2"]


def test_an_unlearned_item_is_recommended_again(service: Running, user: str) -> None:
    service.give(user, *EVENTS[:2])
    assert "g1-1" not in service.items(user, k=240)
    unlearn(service, user, "click/1")
    assert "g1-1" in service.items(user, k=240)


def test_an_event_is_unlearned_once(service: Running, user: str) -> None:
    service.give(user, *EVENTS[:2])
    assert unlearn(service, user, "click/1").status_code == 200
    again = unlearn(service, user, "click/1")
    assert (again.status_code, again.headers["content-type"]) == (404, "application/problem+json")
    assert again.json()["detail"].startswith("event_id: no such event of this user")


def test_an_event_of_a_new_user_is_a_404(service: Running, user: str) -> None:
    assert unlearn(service, user, "click/1").status_code == 404


def test_a_user_whose_only_event_is_unlearned_is_a_new_user(service: Running, user: str) -> None:
    cold = service.recommend(f"{user} never")
    service.give(user, EVENTS[0])
    service.recommend(user)
    assert unlearn(service, user, "click/0").json() == {"events": 0, "version": 0}
    assert service.client.get(path_of(user)).status_code == 404
    assert service.recommend(user) == cold | {"user_id": user}


def test_an_erased_user_is_a_new_user_and_may_come_back(service: Running, user: str) -> None:
    cold = service.recommend(f"{user} never")
    service.give(user, *EVENTS)
    assert erase(service, user) == ["record", "older events"]
    assert service.recommend(user) == cold | {"user_id": user}
    assert service.give(user, EVENTS[0])["state"] == {"events": 1, "version": 1}


def test_erasing_a_new_user_is_allowed(service: Running, user: str) -> None:
    assert erase(service, user) == []


@pytest.mark.parametrize(
    "awkward", ["a/b", "a/events/b", "/", "%2F", "Zoë {tag} 日本", "a%2Fb\x00c", "?k=1", "#", " ", "x" * 256]
)
def test_any_text_in_a_path_is_a_user_or_an_event(service: Running, awkward: str) -> None:
    erase(service, awkward)  # other tests use these names too
    service.give(awkward, EVENTS[0], EVENTS[1] | {"event_id": awkward})
    assert data_of(service, awkward)["user_id"] == awkward
    assert unlearn(service, awkward, awkward).json()["events"] == 1
    assert "record" in erase(service, awkward)
    assert service.client.get(path_of(awkward)).status_code == 404


def test_an_id_that_is_too_long_is_a_named_problem(service: Running) -> None:
    answer = service.client.delete(path_of("x" * 257))
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"] == "user_id"


def test_the_routes_are_documented(service: Running) -> None:
    paths = service.client.get("/openapi.json").json()["paths"]
    assert set(paths["/users/{user_id}"]) == {"get", "delete"}
    assert set(paths["/users/{user_id}/events/{event_id}"]) == {"delete"}
    assert "application/problem+json" in paths["/users/{user_id}"]["get"]["responses"]["404"]["content"]


@pytest.fixture
def on_users(trained_store: Path, users: EmbeddedStore, tmp_path: Path) -> Iterator[Running]:
    with running(trained_store, tmp_path, "--redis", users.url, "--workers", 2) as started:
        yield started


def everything_in(client: Redis) -> bytes:
    """Every key of the store with its value, as one text to search, without the mark of the catalogue."""
    dumped = []
    for key in set(client.scan_iter()) - {KEYS.catalogue.encode()}:
        value = client.lrange(key, 0, -1) if client.type(key) == b"list" else [client.get(key)]
        dumped += [key, *value]
    return b"\n".join(dumped)


def test_an_erased_user_leaves_no_trace(on_users: Running, client: Redis) -> None:
    """Neither under the user's keys nor under any others."""
    on_users.give("bystander", EVENTS[4])
    before = set(client.scan_iter())
    on_users.give("who-was-here", *EVENTS, {"item_id": "g7-7", "value": 5})
    on_users.client.post("/feedback", json={"user_id": "who-was-here", "attributes": {"guild": "guild 5"}})
    on_users.recommend("who-was-here")
    wait_until(lambda: client.exists(*KEYS.of_user("who-was-here")) == 3)
    assert b"who-was-here" in everything_in(client)
    assert erase(on_users, "who-was-here") == ["record", "older events", "served list"]
    assert set(client.scan_iter()) == before
    assert not any(trace in everything_in(client) for trace in (b"who-was-here", b"g7-7", b"guild 5"))
    assert "who-was-here" not in on_users.log.read_text()


def test_damaged_data_is_not_shown_and_can_be_erased(on_users: Running, client: Redis, user: str) -> None:
    client.set(KEYS.record(user), b"damaged")
    client.rpush(KEYS.archive(user), b"damaged")
    assert on_users.client.get(path_of(user)).status_code == 500
    assert unlearn(on_users, user, "click/1").status_code == 500
    assert erase(on_users, user) == ["record", "older events"]
    assert on_users.like(user, "g1-1")["accepted"] == 1


def test_sending_the_shown_events_again_gives_the_same_state(service: Running, user: str) -> None:
    """The user data is complete: its events alone give the same state."""
    service.give(user, *EVENTS)
    before = data_of(service, user)
    erase(service, user)
    events = [
        {name: event[name] for name in ("item_id", "value", "timestamp", "event_id")} for event in before["events"]
    ]
    service.give(user, *events)
    assert content_of(data_of(service, user)) == content_of(json.loads(json.dumps(before)))

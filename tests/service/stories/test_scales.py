"""Repeated, late and very large values through HTTP, and the scale on which a stored value is read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from resealed import rewrite_manifest
from running_service import Running, running, wait_until

from model_store.bundle import Registry
from model_store.bundle.manifest import read_manifest

OFTEN = {"KSHOT_RELOAD_EVERY_S": "0.05"}
DAY_S = 86_400.0
START = 1.6e9


def change_feedback(registry: Registry, version: str, **changes: object) -> None:
    """Change a bundle's feedback spec, as another training would."""
    folder = registry.folder(version)
    rewrite_manifest(folder, feedback=read_manifest(folder).feedback.model_dump() | changes)


def vector(service: Running, user_id: str) -> list[float]:
    """The state adapted to a user's data."""
    answer = service.client.get(f"/users/{user_id}").json()
    state: list[float] = answer["state"]["vector"]
    return state


def values(service: Running, user_id: str) -> list[tuple[str, float, bool]]:
    events = service.client.get(f"/users/{user_id}").json()["events"]
    return [(event["item_id"], event["value"], event["recent"]) for event in events]


def at(item_id: str, value: float, day: float) -> dict[str, Any]:
    return {"item_id": item_id, "value": value, "timestamp": START + day * DAY_S}


def test_a_late_older_rating_is_stored_beside_the_newer_one(service: Running, user: str) -> None:
    service.give(user, at("g1-1", 5, 3), at("g2-1", 4, 2))
    before = vector(service, user)
    service.give(user, at("g1-1", 1, 0))
    assert vector(service, user) == before
    assert values(service, user) == [("g1-1", 5.0, True), ("g2-1", 4.0, True), ("g1-1", 1.0, False)]


def test_the_order_in_which_ratings_arrive_does_not_matter(service: Running, user: str) -> None:
    events = [at("g1-1", 5, 3), at("g2-1", 2, 1), at("g1-2", 4, 2), at("g2-1", 5, 0)]
    service.give(f"{user}-sorted", *sorted(events, key=lambda event: event["timestamp"]))
    for event in events:
        service.give(f"{user}-late", event)
    assert vector(service, f"{user}-late") == vector(service, f"{user}-sorted")
    assert service.items(f"{user}-late") == service.items(f"{user}-sorted")


def test_a_late_rating_unlearned_leaves_no_trace(service: Running, user: str) -> None:
    service.give(user, at("g1-1", 5, 3))
    before = service.client.get(f"/users/{user}").json()["state"]
    service.give(user, at("g1-1", 1, 0) | {"event_id": "late"})
    assert service.client.delete(f"/users/{user}/events/late").is_success
    assert service.client.get(f"/users/{user}").json()["state"] == before
    assert values(service, user) == [("g1-1", 5.0, True)]


@pytest.fixture
def counting(store: Path, tmp_path: Path) -> Any:
    """A service whose bundle was trained on counts from 1 to 5."""
    registry = Registry(store)
    change_feedback(registry, registry.live(), kind="counts", liked_at_least=1.0)
    with running(store, tmp_path / "counting") as started:
        yield started


def test_counts_add_up_as_in_training(counting: Running, user: str) -> None:
    for _ in range(4):
        counting.give(f"{user}-one-by-one", at("g1-1", 1, 1))
    counting.give(f"{user}-at-once", at("g1-1", 4, 1))
    assert vector(counting, f"{user}-one-by-one") == vector(counting, f"{user}-at-once")
    assert [value for _, value, _ in values(counting, f"{user}-one-by-one")] == [1.0] * 4


def test_a_view_after_a_purchase_does_not_cancel_it(counting: Running, user: str) -> None:
    counting.give(f"{user}-both", at("g1-1", 4, 1), at("g1-1", 1, 2))
    counting.give(f"{user}-sum", at("g1-1", 5, 2))
    assert vector(counting, f"{user}-both") == vector(counting, f"{user}-sum")


def test_a_count_beyond_training_is_accepted_and_read_as_the_highest(counting: Running, user: str) -> None:
    counting.give(f"{user}-huge", at("g1-1", 1e30, 1))
    counting.give(f"{user}-highest", at("g1-1", 5, 1))
    assert vector(counting, f"{user}-huge") == vector(counting, f"{user}-highest")
    assert values(counting, f"{user}-huge")[0][1] == pytest.approx(1e30)


@pytest.mark.parametrize("value", [0.5, -1, 1e300])
def test_an_invalid_count_is_refused_by_name(counting: Running, user: str, value: float) -> None:
    answer = counting.post(user, [at("g1-1", value, 1)])
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"] == "events[0].value"


def test_a_value_counts_on_a_new_scale_as_on_its_old_one(
    two_bundles: tuple[Registry, str], tmp_path: Path, user: str
) -> None:
    registry, other = two_bundles
    doubled = {"value_min": 2.0, "value_max": 10.0, "liked_at_least": 8.0}
    change_feedback(registry, other, **doubled)
    first = registry.live()
    with running(registry.store, tmp_path / "scales", env=OFTEN) as service:
        service.give(f"{user}-before", at("g1-1", 5, 1), at("g2-1", 1, 2))
        on_first = service.recommend(f"{user}-before")
        registry.promote(other)
        wait_until(lambda: service.recommend(user)["bundle"] == other)
        service.give(f"{user}-after", at("g1-1", 10, 1), at("g2-1", 2, 2))
        assert service.recommend(f"{user}-before")["items"] == service.recommend(f"{user}-after")["items"]
        assert service.client.get(f"/users/{user}-before").json()["events"][0]["scale"] == {
            "kind": "ratings", "low": 1.0, "high": 5.0, "liked": 4.0
        }  # fmt: skip
        registry.rollback()
        wait_until(lambda: service.recommend(user)["bundle"] == first)
        assert service.recommend(f"{user}-before") == on_first

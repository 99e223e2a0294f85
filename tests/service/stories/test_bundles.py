"""Bundles swap under load: no request fails, no user is lost, and a rollback restores the same lists."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
from damaged_bundles import damage_score
from running_service import Running, groups, running, wait_until

from model_store.bundle import Registry

OFTEN = {"KSHOT_RELOAD_EVERY_S": "0.05"}
EVENTS = [{"item_id": f"g{n % 3}-{n}", "value": 1 + n % 5, "timestamp": 1.7e9 + 3600 * n} for n in range(12)]


@contextmanager
def load(service: Running) -> Iterator[list[httpx.Response]]:
    """Request lists and feedback without a pause while the block runs; yields the answers."""
    answers: list[httpx.Response] = []
    done = threading.Event()

    def send_requests() -> None:
        with httpx.Client(base_url=service.client.base_url, timeout=20) as client:
            for number in iter(lambda: len(answers), -1):
                if done.is_set():
                    return
                body = {"user_id": f"load-{number % 20}", "events": [{"item_id": f"g1-{number % 30}", "value": 5}]}
                answers.append(client.post("/feedback", json=body))
                answers.append(client.get("/recommend", params={"user_id": f"load-{number % 20}"}))

    client_thread = threading.Thread(target=send_requests)
    client_thread.start()
    try:
        yield answers
    finally:
        done.set()
        client_thread.join()


def test_bundles_swap_under_load_and_back_and_nothing_is_lost(
    two_bundles: tuple[Registry, str], tmp_path: Path, user: str
) -> None:
    registry, other = two_bundles
    first = registry.live()
    with running(registry.store, tmp_path / "swapping", "--workers", 2, env=OFTEN) as service:

        def workers_on(version: str) -> bool:
            return service.metrics().get(("kshot_bundle_info", (version,))) == 2

        service.give(user, *EVENTS)
        before = service.client.get("/recommend", params={"user_id": user}).content
        wait_until(lambda: workers_on(first))
        with load(service) as answers:
            wait_until(lambda: len(answers) >= 2)  # feedback, and a list
            registry.promote(other)
            wait_until(lambda: workers_on(other))
            swapped = service.recommend(user)
            wait_until(lambda: any(answer.json().get("bundle") == other for answer in answers))
            registry.rollback()
            wait_until(lambda: workers_on(first))
        assert {answer.status_code for answer in answers} == {200}
        assert {answer.json()["bundle"] for answer in answers[1::2]} == {first, other}
        assert service.client.get("/recommend", params={"user_id": user}).content == before
        wait_until(lambda: service.metrics()["kshot_bundle_reloads_total", ("ok",)] == 4)

    registry.promote(other)
    with running(registry.store, tmp_path / "fresh") as fresh:
        fresh.give(user, *EVENTS)
        assert swapped == fresh.recommend(user)


def test_a_damaged_bundle_is_refused_once_and_the_old_one_serves_on(
    two_bundles: tuple[Registry, str], tmp_path: Path, user: str
) -> None:
    registry, other = two_bundles
    first = registry.live()
    with running(registry.store, tmp_path, env=OFTEN) as service:
        before = service.recommend(user)
        damage_score(registry, other)
        registry.promote(other)
        wait_until(lambda: service.has_logged("bundle refused"))
        (refused,) = [line for line in service.logged() if line["event"] == "bundle refused"]
        assert (refused["level"], refused["version"], refused["serving"]) == ("error", other, first)
        assert "score.onnx: sha256" in refused["reason"]
        assert service.recommend(user) == before
        metrics = service.metrics()
        assert metrics["kshot_bundle_reloads_total", ("refused",)] == 1
        assert metrics["kshot_bundle_info", (first,)] == 1


def test_a_user_of_the_last_bundle_is_adapted_by_the_new_one_at_the_first_touch(
    two_bundles: tuple[Registry, str], tmp_path: Path, user: str
) -> None:
    registry, other = two_bundles
    with running(registry.store, tmp_path) as service:
        service.like(user, "g3-1")
    registry.promote(other)
    with running(registry.store, tmp_path) as service:
        answer = service.recommend(user, k=5)
        assert (answer["bundle"], answer["source"]) == (other, "adapted")
        assert answer["state"] == {"events": 1, "version": 1}
        assert groups([item["item_id"] for item in answer["items"]]) == {3}
        service.recommend(user)
        assert service.metrics()["kshot_adapt_seconds_count", ()] == 1
        assert service.metrics()["kshot_store_hits_total", ()] == 1

"""Every event counts once: resent, sent concurrently, sent by many writers."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import httpx
from running_service import Running

FIRST = {"item_id": "g1-1", "value": 5, "event_id": "first"}


def test_an_event_that_is_sent_again_counts_once(service: Running, user: str) -> None:
    state = service.give(user, FIRST)["state"]
    assert service.give(user, FIRST) == {"accepted": 0, "duplicates": 1, "state": state}


def test_an_event_twice_in_one_batch_counts_once(service: Running, user: str) -> None:
    answer = service.give(user, FIRST, FIRST | {"item_id": "g1-2"})
    assert (answer["accepted"], answer["duplicates"], answer["state"]["events"]) == (1, 1, 1)


def test_new_events_beside_a_duplicate_are_accepted(service: Running, user: str) -> None:
    service.give(user, FIRST)
    answer = service.give(user, FIRST, FIRST | {"event_id": "second", "item_id": "g1-2"})
    assert (answer["accepted"], answer["duplicates"], answer["state"]["events"]) == (1, 1, 2)


def test_another_user_may_have_the_same_event_id(service: Running, user: str) -> None:
    service.give(user, FIRST)
    assert service.give(f"{user}-2", FIRST)["accepted"] == 1


def test_events_without_an_id_are_never_duplicates(service: Running, user: str) -> None:
    service.like(user, "g1-1")
    assert service.like(user, "g1-1")["accepted"] == 1


def post_concurrently(service: Running, user: str, events: list[dict[str, object]]) -> list[httpx.Response]:
    """Post every event in a request and on a connection of its own, all at once."""

    def post(event: dict[str, object]) -> httpx.Response:
        return httpx.post(
            service.client.base_url.join("/feedback"), json={"user_id": user, "events": [event]}, timeout=20
        )

    with ThreadPoolExecutor(len(events)) as writers:
        return list(writers.map(post, events))


def test_an_event_sent_many_times_at_once_to_two_workers_counts_once(workers: Running, user: str) -> None:
    answers = [answer.json() for answer in post_concurrently(workers, user, 20 * [FIRST])]
    assert sum(answer["accepted"] for answer in answers) == 1
    assert sum(answer["duplicates"] for answer in answers) == 19
    assert workers.recommend(user)["state"] == {"events": 1, "version": 1}


def test_many_writers_to_one_user_through_two_workers_lose_nothing(workers: Running, user: str) -> None:
    item_ids = [f"g{n % 8}-{n // 8}" for n in range(40)]
    answers = post_concurrently(workers, user, [{"item_id": item_id, "value": 5} for item_id in item_ids])
    assert [answer.status_code for answer in answers] == 40 * [200]
    assert sorted(answer.json()["state"]["version"] for answer in answers) == list(range(1, 41))
    assert workers.recommend(user)["state"] == {"events": 40, "version": 40}
    assert not set(item_ids) & set(workers.items(user, k=240))

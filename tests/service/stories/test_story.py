"""The story: a new user sends one event, and the very next list is personal."""

from __future__ import annotations

import httpx
import pytest
from running_service import Running, groups


def test_an_unknown_user_gets_the_cold_list(service: Running, user: str) -> None:
    answer = service.recommend(user)
    assert answer["source"] == "cold"
    assert answer["state"] == {"events": 0, "version": 0}
    assert len(answer["items"]) == 20


def test_the_cold_list_spans_groups(service: Running, user: str) -> None:
    assert len(groups(service.items(user))) > 1


@pytest.mark.parametrize("item_id", ["g0-3", "g3-7", "g7-29"])
def test_one_liked_item_turns_the_next_list_to_its_group(service: Running, user: str, item_id: str) -> None:
    service.like(user, item_id)
    answer = service.recommend(user)
    assert answer["source"] == "adapted"
    assert groups([item["item_id"] for item in answer["items"]]) == groups([item_id])


def test_a_type_of_the_vocabulary_counts_as_its_value(service: Running, user: str) -> None:
    service.give(user, {"item_id": "g3-1", "type": "like"})
    assert groups(service.items(user)) == {3}


def test_a_disliked_item_keeps_its_group_out_of_the_list(service: Running, user: str) -> None:
    service.give(user, {"item_id": "g3-1", "value": 1})
    assert 3 not in groups(service.items(user))


def test_a_change_of_mind_counts_from_the_next_list_on(service: Running, user: str) -> None:
    service.like(user, "g3-1")
    service.give(user, {"item_id": "g3-1", "value": 1})
    assert 3 not in groups(service.items(user))


def test_an_item_with_feedback_is_not_recommended_again(service: Running, user: str) -> None:
    best = service.items(user, k=1)
    service.like(user, *best)
    assert not set(best) & set(service.items(user, k=240))


def test_an_item_with_feedback_comes_back_on_request(service: Running, user: str) -> None:
    service.like(user, "g3-1")
    assert "g3-1" in service.items(user, k=240, include_seen=True)


@pytest.mark.parametrize("k", [1, 7, 100])
def test_a_list_has_the_requested_number_of_distinct_items(service: Running, user: str, k: int) -> None:
    items = service.items(user, k=k)
    assert len(items) == len(set(items)) == k


def test_a_list_longer_than_the_catalogue_ends_with_it(service: Running, user: str) -> None:
    service.like(user, "g3-1")
    assert len(service.items(user, k=500)) == 239


def test_scores_descend(service: Running, user: str) -> None:
    service.like(user, "g3-1", "g4-1")
    scores = [item["score"] for item in service.recommend(user, k=240)["items"]]
    assert scores == sorted(scores, reverse=True)


def test_users_do_not_affect_other_users(service: Running, user: str) -> None:
    cold = service.items(user)
    service.like(f"{user}-2", "g3-1")
    assert service.items(user) == cold


@pytest.mark.parametrize("awkward", ["Zoë {tag} 日本", "a%2Fb\x00c", "x" * 256, " ", "}{"])
def test_any_text_is_a_user_id(service: Running, awkward: str) -> None:
    service.like(awkward, "g3-1")
    answer = service.recommend(awkward)
    assert (answer["user_id"], answer["source"]) == (awkward, "adapted")


def test_every_list_after_a_feedback_reflects_it_whichever_worker_answers(workers: Running, user: str) -> None:
    for count in range(1, 31):
        # One connection per request, so that both workers answer.
        with httpx.Client(base_url=workers.client.base_url) as writer:
            event = {"item_id": f"g{count % 8}-{count % 30}", "value": 4}
            receipt = writer.post("/feedback", json={"user_id": user, "events": [event]}).json()
        with httpx.Client(base_url=workers.client.base_url) as reader:
            answer = reader.get("/recommend", params={"user_id": user, "k": 240}).json()
        assert answer["state"] == receipt["state"] == {"events": count, "version": count}
        assert event["item_id"] not in [item["item_id"] for item in answer["items"]]

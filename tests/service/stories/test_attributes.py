"""Attributes, end to end: a world in which a user's guild decides what the user likes, and a service that gets it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import made_up
import pytest
import torch
from made_up import guild
from rich.console import Console
from running_service import Running, groups, running

from model_store.bundle import Registry, open_bundle
from model_store.config import JudgingConfig, TrainingConfig
from model_store.data.sources import load
from model_store.export import write_draft
from model_store.flows.train_bundle import train_bundle
from model_store.meta.network import build
from model_store.meta.parts.dense import Dense

CONFIG = TrainingConfig(max_epochs=30, dim=16, anchors=32, neighbours=20)
SHOTS = (0, 1, 3)


@pytest.fixture(scope="module")
def guilds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the world's ``source`` and a ``store`` with a bundle trained on it."""
    folder = tmp_path_factory.mktemp("guilds")
    source = made_up.write_users(made_up.write_source(folder / "source"))
    train_bundle(str(source), folder / "store", CONFIG, JudgingConfig(shots=SHOTS), Console(quiet=True))
    return folder


@pytest.fixture(scope="module")
def service(guilds: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with running(guilds / "store", tmp_path_factory.mktemp("service")) as started:
        yield started


def post(service: Running, user: str, **body: Any) -> httpx.Response:
    return service.client.post("/feedback", json={"user_id": user} | body)


def send(service: Running, user: str, attributes: dict[str, Any], **body: Any) -> dict[str, Any]:
    answer = post(service, user, attributes=attributes, **body)
    assert answer.status_code == 200, answer.text
    receipt: dict[str, Any] = answer.json()
    return receipt


@pytest.mark.parametrize("group", [0, 3, 7])
def test_the_list_before_the_first_event_is_about_the_users_guild(service: Running, user: str, group: int) -> None:
    receipt = send(service, user, {"guild": guild(group)})
    assert receipt == {"accepted": 0, "duplicates": 0, "state": {"events": 0, "version": 1}}
    answer = service.recommend(user)
    assert (answer["source"], answer["state"]) == ("adapted", receipt["state"])
    assert groups([item["item_id"] for item in answer["items"]]) == {group}


def test_without_attributes_the_list_is_cold_and_spans_guilds(service: Running, user: str) -> None:
    answer = service.recommend(user)
    assert answer["source"] == "cold"
    assert len(groups([item["item_id"] for item in answer["items"]])) > 1


def test_an_event_is_enough_without_attributes_too(service: Running, user: str) -> None:
    service.like(user, "g3-1")
    assert groups(service.items(user)) == {3}


def test_attributes_stay_when_events_follow(service: Running, user: str) -> None:
    send(service, user, {"guild": guild(3)})
    service.like(user, "g3-1")
    service.like(f"{user}-2", "g3-1")
    assert service.recommend(user)["items"] != service.recommend(f"{user}-2")["items"]


def test_events_and_attributes_may_share_a_request(service: Running, user: str) -> None:
    receipt = send(service, user, {"guild": guild(3)}, events=[{"item_id": "g3-1", "value": 5}])
    assert receipt["state"] == {"events": 1, "version": 1}
    send(service, f"{user}-2", {"guild": guild(3)})
    service.like(f"{user}-2", "g3-1")
    assert service.recommend(user)["items"] == service.recommend(f"{user}-2")["items"]


def test_attributes_replace_the_old_ones(service: Running, user: str) -> None:
    send(service, user, {"guild": guild(3), "lucky_number": 7})
    send(service, user, {"guild": guild(5)})
    send(service, f"{user}-2", {"guild": guild(5)})
    assert service.recommend(user)["items"] == service.recommend(f"{user}-2")["items"]


def test_empty_attributes_delete_the_old_ones(service: Running, user: str) -> None:
    cold = service.recommend(user)
    send(service, user, {"guild": guild(3)})
    send(service, user, {})
    answer = service.recommend(user)
    assert (answer["source"], answer["items"]) == ("cold", cold["items"])


def test_the_same_attributes_again_change_nothing(service: Running, user: str) -> None:
    first = send(service, user, {"guild": guild(3)})
    assert send(service, user, {"guild": guild(3)})["state"] == first["state"]


def test_unknown_attributes_are_reported_and_the_rest_counts(service: Running, user: str) -> None:
    receipt = send(service, user, {"guild": [guild(3), "bakers"], "shoe": 43, "lucky_number": 7})
    assert receipt["unknown_attributes"] == [{"name": "guild", "value": "bakers"}, {"name": "shoe", "value": "43"}]
    assert groups(service.items(user)) == {3}


def test_attributes_count_without_an_item_of_the_catalogue(service: Running, user: str) -> None:
    receipt = send(service, user, {"guild": guild(3)}, events=[{"item_id": "nothing", "value": 5}])
    assert receipt["unknown"] == [{"index": 0, "item_id": "nothing"}]
    assert groups(service.items(user)) == {3}


A_VALUE = "text of at most 256 characters, a finite number, a boolean or a list of such texts"


@pytest.mark.parametrize(
    ("body", "field", "value", "expected"),
    [
        ({}, "events", "a list of 0", "at least 1 event, or attributes"),
        ({"events": []}, "events", "a list of 0", "at least 1 event, or attributes"),
        ({"attributes": "F"}, "attributes", '"F"', "a valid dictionary"),
        ({"attributes": {"guild": None}}, "attributes.guild", "null", A_VALUE),
        ({"attributes": {"guild": {"a": 1}}}, "attributes.guild", "an object", A_VALUE),
        ({"attributes": {"guild": ["a", 1]}}, "attributes.guild", "a list of 2", A_VALUE),
        ({"attributes": {"guild": 257 * "g"}}, "attributes.guild", f'"{79 * "g"}…', A_VALUE),
        ({"attributes": {257 * "g": 1}}, f"attributes.{69 * 'g'}…", f'"{79 * "g"}…', "at most 256 characters"),
        (
            {"attributes": {"guild": 32 * [125 * "g"]}},
            "attributes",
            "an object",
            "at most 4096 bytes as JSON, not 4107",
        ),
    ],
)
def test_invalid_attributes_are_refused_and_nothing_is_stored(
    service: Running, user: str, body: dict[str, Any], field: str, value: str, expected: str
) -> None:
    answer = post(service, user, **body)
    assert answer.status_code == 422
    assert answer.json()["errors"] == [{"field": field, "value": value, "expected": expected}]
    assert service.recommend(user, k=1)["state"] == {"events": 0, "version": 0}


@pytest.mark.parametrize("wild", ["NaN", "Infinity", "1" + 400 * "0", r'"\ud800"'])
def test_values_beyond_json_are_refused(service: Running, user: str, wild: str) -> None:
    body = f'{{"user_id":"{user}","attributes":{{"guild":{wild}}}}}'
    answer = service.client.post("/feedback", content=body, headers={"content-type": "application/json"})
    assert [error["expected"] for error in answer.json()["errors"]] == [A_VALUE]


def test_the_published_curve_is_personal_before_the_first_event(guilds: Path) -> None:
    figures = open_bundle(Registry(guilds / "store").live_folder()).manifest.results
    assert figures["kshot"]["0"]["ndcg@10"] > 0.8
    assert figures["popularity"]["0"]["ndcg@10"] < 0.3


def test_a_new_bundle_adapts_to_earlier_attributes(guilds: Path, tmp_path: Path, user: str) -> None:
    """The new one is untrained, so that its lists differ from those of the old one."""
    registry, dataset = Registry(guilds / "store"), load(str(guilds / "source")).dataset
    attributes = {"guild": guild(3), "lucky_number": 7}
    with running(registry.store, tmp_path) as service:
        send(service, user, attributes)
    network = build(dataset, dataset.events, CONFIG, SHOTS)
    torch.nn.init.normal_(network.part(Dense).adaptation.scaled_attributes, generator=torch.Generator().manual_seed(0))
    with write_draft(registry, dataset, network, CONFIG) as draft:
        other = draft.publish(registry, results={})
    try:
        with running(registry.store, tmp_path) as service:
            answer = service.recommend(user)
            send(service, f"{user}-2", attributes)
            assert (answer["bundle"], answer["source"]) == (other, "adapted")
            assert answer["items"] == service.recommend(f"{user}-2")["items"]
            assert answer["items"] != service.recommend(f"{user}-3")["items"]
    finally:
        registry.rollback()


def test_a_bundle_without_attributes_stores_them_for_later_bundles(
    trained_store: Path, tmp_path: Path, user: str
) -> None:
    with running(trained_store, tmp_path) as service:
        cold = service.recommend(user)
        receipt = send(service, user, {"guild": guild(3)})
        assert receipt["unknown_attributes"] == [{"name": "guild", "value": guild(3)}]
        assert service.recommend(user)["items"] == cold["items"]

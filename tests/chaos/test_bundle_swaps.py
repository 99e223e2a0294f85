"""Bundles come and go under load: no request fails, and every list is the one that its bundle alone would give."""

from __future__ import annotations

import itertools
import shutil
import threading
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import made_up
import pytest
from running_service import DEADLINE_S, Running, running, wait_until

from model_store.bundle import Registry, open_bundle
from model_store.config import TrainingConfig
from model_store.data.sources import load
from model_store.export import write_draft
from model_store.meta.network import build

OFTEN = {"KSHOT_RELOAD_EVERY_S": "0.05"}
CLIENTS = 3
EVENTS_EACH = 6
VANISHING, KEPT, NEW = range(5), range(5, 30), range(30, 35)
Listed = list[tuple[str, float]]


@pytest.fixture(scope="module")
def three_bundles(trained_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with three bundles: the trained one, one without some of its items and with others, one with all."""
    folder = tmp_path_factory.mktemp("three")
    store = Path(shutil.copytree(trained_store, folder / "store"))
    first = Registry(store).live()
    for dim, numbers in ((8, range(KEPT.start, NEW.stop)), (16, range(NEW.stop))):
        source = made_up.write_source(folder / f"source-{dim}", numbers=numbers)
        dataset, config = load(str(source)).dataset, TrainingConfig(dim=dim, anchors=16, neighbours=10)
        with write_draft(
            Registry(store), dataset, build(dataset, dataset.events, config, (0, 1, 3, 5)), config
        ) as made:
            made.publish(Registry(store), results={})
    Registry(store).promote(first)
    return store


@pytest.fixture
def registry(three_bundles: Path, tmp_path: Path) -> Registry:
    """A copy whose bundles may come to harm."""
    return Registry(Path(shutil.copytree(three_bundles, tmp_path / "store")))


def events_of(user_id: str) -> list[dict[str, Any]]:
    """What a user does, in order; veterans begin with items that one of the bundles does not have."""
    seed = int(user_id.split("-")[1])
    items = [f"g{(seed + n // 4) % 8}-{KEPT[(7 * seed + n) % len(KEPT)]}" for n in range(EVENTS_EACH)]
    if user_id.startswith("veteran"):
        items = [f"g{seed % 8}-{number}" for number in VANISHING] + items
    return [
        {"item_id": item, "value": 1 + (seed + n) % 5, "timestamp": 1.7e9 + 3600 * n, "event_id": f"e{n}"}
        for n, item in enumerate(items)
    ]


def listed(answer: dict[str, Any]) -> Listed:
    """Items and scores, every digit that the service tells."""
    return [(item["item_id"], item["score"]) for item in answer["items"]]


@dataclass
class Seen:
    """What clients saw: failures, and every list by bundle, user and number of events."""

    failures: list[str] = field(default_factory=list)
    requests: int = 0
    given: Counter[str] = field(default_factory=Counter)
    lists: dict[str, dict[tuple[str, int], set[tuple[tuple[str, float], ...]]]] = field(
        default_factory=lambda: defaultdict(lambda: defaultdict(set))
    )

    def note(self, answer: httpx.Response, events: int | None = None) -> None:
        self.requests += 1
        if answer.status_code != 200:
            self.failures.append(answer.text)
        elif events is not None:
            told = answer.json()
            self.lists[told["bundle"]][told["user_id"], events].add(tuple(listed(told)))
            self.given[told["bundle"]] += 1


def use(service: Running, client_number: int, veterans: list[str], seen: Seen, over: threading.Event) -> None:
    """A client whose users come one after the other: an event, their list, the list of a veteran."""
    veteran = itertools.cycle(veterans)
    with httpx.Client(base_url=service.client.base_url, timeout=DEADLINE_S) as client:
        for number in itertools.count(client_number, CLIENTS):
            user_id = f"newcomer-{number}"
            for known, event in enumerate(events_of(user_id), 1):
                if over.is_set():
                    return
                seen.note(client.post("/feedback", json={"user_id": user_id, "events": [event]}))
                seen.note(client.get("/recommend", params={"user_id": user_id}), known)
                old = next(veteran)
                seen.note(client.get("/recommend", params={"user_id": old}), len(events_of(old)))


@contextmanager
def load_on(service: Running, veterans: list[str]) -> Iterator[Seen]:
    """Clients without a pause while the block runs."""
    seen, over = Seen(), threading.Event()
    clients = [threading.Thread(target=use, args=(service, n, veterans, seen, over)) for n in range(CLIENTS)]
    for client in clients:
        client.start()
    try:
        yield seen
    finally:
        over.set()
        for client in clients:
            client.join()


def replayed(service: Running, wanted: dict[tuple[str, int], Any]) -> dict[tuple[str, int], Listed]:
    """The lists of a service that never knew another bundle, by user and number of events."""
    found = {}
    for user_id, events in sorted(wanted):
        name = f"{user_id}-after-{events}"
        service.give(name, *events_of(user_id)[:events])
        found[user_id, events] = listed(service.recommend(name))
    return found


def test_bundles_swap_under_load_and_every_list_is_that_of_its_bundle(
    registry: Registry, tmp_path: Path, sized: Any, tell: Any, progress: Any
) -> None:
    swaps = sized(4, 50)
    versions = [manifest.version for manifest in registry.manifests()]
    items = {version: set(open_bundle(registry.folder(version)).catalogue.ids) for version in versions}
    veterans = [f"veteran-{number}" for number in range(9)]
    registry.promote(versions[0])
    with running(registry.store, tmp_path / "swapping", "--workers", 2, env=OFTEN) as service:
        for user_id in veterans:
            service.give(user_id, *events_of(user_id))
        with load_on(service, veterans) as seen:
            wait_until(lambda: seen.given[versions[0]])
            for swap in range(swaps):
                if swap % 3 == 2:
                    live = registry.rollback()
                else:
                    live = versions[(versions.index(registry.live()) + 1) % 3]
                    registry.promote(live)
                wait_until(lambda live=live: service.metrics().get(("kshot_bundle_info", (live,))) == 2)
                lists = seen.given[live]
                wait_until(lambda live=live, lists=lists: seen.given[live] > lists)
                progress(swap + 1, swaps)
        assert not [line for line in service.logged() if line["level"] == "error"]

    compared = 0
    for version, lists in seen.lists.items():
        registry.promote(version)
        with running(registry.store, tmp_path / f"only-{version}") as fresh:
            expected = replayed(fresh, lists)
        for of_user, found in lists.items():
            assert found == {tuple(expected[of_user])}, (version, of_user)
            assert {item for each in found for item, _ in each} <= items[version]
            compared += 1
    tell(swaps=swaps, requests=seen.requests, failed=len(seen.failures), lists_compared=compared, wrong=0)
    assert seen.failures == []
    assert set(seen.lists) == set(versions)


def test_a_live_bundle_that_is_removed_from_the_disk_serves_on(registry: Registry, tmp_path: Path, tell: Any) -> None:
    gone = registry.live()
    other = next(manifest.version for manifest in registry.manifests() if manifest.version != gone)
    with running(registry.store, tmp_path / "pruned", env=OFTEN) as service:
        service.like("ann", "g1-10")
        before = service.recommend("ann")
        shutil.rmtree(registry.folder(gone))
        assert service.recommend("ann") == before
        registry.promote(other)
        wait_until(lambda: service.recommend("ann")["bundle"] == other)
        (registry.store / "live").write_text(gone)
        wait_until(lambda: service.has_logged("bundle refused"))
        assert service.recommend("ann")["bundle"] == other
        (refused,) = [line for line in service.logged() if line["event"] == "bundle refused"]
        tell(refused=refused["reason"].partition("; ")[0].partition(": ")[2])


def test_a_bundle_that_is_still_being_copied_is_taken_when_it_is_whole(registry: Registry, tmp_path: Path) -> None:
    late = next(manifest.version for manifest in registry.manifests() if manifest.version != registry.live())
    whole = registry.folder(late).rename(tmp_path / "whole")
    half = registry.bundles / late
    with running(registry.store, tmp_path / "copying", env=OFTEN) as service:
        first = service.recommend("ann")["bundle"]
        half.mkdir()
        registry.promote(late)
        for path in sorted(whole.iterdir(), key=lambda path: path.name != "manifest.json"):
            assert service.recommend("ann")["bundle"] == first
            shutil.copy(path, half)
            wait_until(lambda: service.has_logged("bundle refused"))
        wait_until(lambda: service.recommend("ann")["bundle"] == late)


def test_promotions_at_once_leave_one_story(registry: Registry, sized: Any, tell: Any) -> None:
    versions = [manifest.version for manifest in registry.manifests()]
    rounds = sized(20, 200)

    def promote_all(first: int) -> None:
        for number in range(rounds):
            Registry(registry.store).promote(versions[(first + number) % 3])

    promoting = [threading.Thread(target=promote_all, args=(first,)) for first in range(3)]
    for thread in promoting:
        thread.start()
    for thread in promoting:
        thread.join()
    history = registry._history()
    tell(promotions=3 * rounds, history=len(history))
    assert registry.live() == history[-1]
    assert all(one != after for one, after in itertools.pairwise(history))
    assert set(history) == set(versions)

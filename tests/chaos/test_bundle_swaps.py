"""Bundles are swapped under load: no request fails, and every list is the one that its bundle alone would serve."""

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

FAST_RELOAD = {"KSHOT_RELOAD_EVERY_S": "0.05"}
CLIENTS = 3
EVENTS_PER_USER = 6
VANISHING, KEPT, NEW = range(5), range(5, 30), range(30, 35)
Listed = list[tuple[str, float]]


@pytest.fixture(scope="module")
def three_bundles(trained_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundles folder with three bundles: the trained one, one with other items, and one with all items."""
    folder = tmp_path_factory.mktemp("three")
    store = Path(shutil.copytree(trained_store, folder / "store"))
    first = Registry(store).live()
    for dim, numbers in ((8, range(KEPT.start, NEW.stop)), (16, range(NEW.stop))):
        source = made_up.write_source(folder / f"source-{dim}", numbers=numbers)
        dataset, config = load(str(source)).dataset, TrainingConfig(dim=dim, anchors=16, neighbours=10)
        with write_draft(
            Registry(store), dataset, build(dataset, dataset.events, config, (0, 1, 3, 5)), config
        ) as draft:
            draft.publish(Registry(store), results={})
    Registry(store).promote(first)
    return store


@pytest.fixture
def registry(three_bundles: Path, tmp_path: Path) -> Registry:
    """A copy with bundles to damage."""
    return Registry(Path(shutil.copytree(three_bundles, tmp_path / "store")))


def events_of(user_id: str) -> list[dict[str, Any]]:
    """Events of a user in order; veterans begin with items that one of the bundles does not have."""
    seed = int(user_id.split("-")[1])
    items = [f"g{(seed + n // 4) % 8}-{KEPT[(7 * seed + n) % len(KEPT)]}" for n in range(EVENTS_PER_USER)]
    if user_id.startswith("veteran"):
        items = [f"g{seed % 8}-{number}" for number in VANISHING] + items
    return [
        {"item_id": item, "value": 1 + (seed + n) % 5, "timestamp": 1.7e9 + 3600 * n, "event_id": f"e{n}"}
        for n, item in enumerate(items)
    ]


def listed(response: dict[str, Any]) -> Listed:
    """Items and scores with all their digits."""
    return [(item["item_id"], item["score"]) for item in response["items"]]


@dataclass
class Observations:
    """Responses to the clients: failures, and every list by bundle, user and number of events."""

    failures: list[str] = field(default_factory=list)
    requests: int = 0
    lists_by_bundle: Counter[str] = field(default_factory=Counter)
    lists: dict[str, dict[tuple[str, int], set[tuple[tuple[str, float], ...]]]] = field(
        default_factory=lambda: defaultdict(lambda: defaultdict(set))
    )

    def record(self, response: httpx.Response, events: int | None = None) -> None:
        self.requests += 1
        if response.status_code != 200:
            self.failures.append(response.text)
        elif events is not None:
            body = response.json()
            self.lists[body["bundle"]][body["user_id"], events].add(tuple(listed(body)))
            self.lists_by_bundle[body["bundle"]] += 1


def use(
    service: Running, client_number: int, veterans: list[str], observations: Observations, over: threading.Event
) -> None:
    """A client that creates users in turn: an event, the user's list, the list of a veteran."""
    veteran = itertools.cycle(veterans)
    with httpx.Client(base_url=service.client.base_url, timeout=DEADLINE_S) as client:
        for number in itertools.count(client_number, CLIENTS):
            user_id = f"newcomer-{number}"
            for events, event in enumerate(events_of(user_id), 1):
                if over.is_set():
                    return
                observations.record(client.post("/feedback", json={"user_id": user_id, "events": [event]}))
                observations.record(client.get("/recommend", params={"user_id": user_id}), events)
                other = next(veteran)
                observations.record(client.get("/recommend", params={"user_id": other}), len(events_of(other)))


@contextmanager
def load_on(service: Running, veterans: list[str]) -> Iterator[Observations]:
    """Run clients without pauses during the context."""
    observations, over = Observations(), threading.Event()
    clients = [threading.Thread(target=use, args=(service, n, veterans, observations, over)) for n in range(CLIENTS)]
    for client in clients:
        client.start()
    try:
        yield observations
    finally:
        over.set()
        for client in clients:
            client.join()


def replayed(service: Running, users: dict[tuple[str, int], Any]) -> dict[tuple[str, int], Listed]:
    """Lists of a service that never had another bundle, by user and number of events."""
    lists = {}
    for user_id, events in sorted(users):
        name = f"{user_id}-after-{events}"
        service.give(name, *events_of(user_id)[:events])
        lists[user_id, events] = listed(service.recommend(name))
    return lists


def test_bundles_swap_under_load_and_every_list_is_that_of_its_bundle(
    registry: Registry, tmp_path: Path, sized: Any, record_counts: Any, progress: Any
) -> None:
    swaps = sized(4, 50)
    versions = [manifest.version for manifest in registry.manifests()]
    items = {version: set(open_bundle(registry.folder(version)).catalogue.ids) for version in versions}
    veterans = [f"veteran-{number}" for number in range(9)]
    registry.promote(versions[0])
    with running(registry.store, tmp_path / "swapping", "--workers", 2, env=FAST_RELOAD) as service:
        for user_id in veterans:
            service.give(user_id, *events_of(user_id))
        with load_on(service, veterans) as observations:
            wait_until(lambda: observations.lists_by_bundle[versions[0]])
            for swap in range(swaps):
                if swap % 3 == 2:
                    live = registry.rollback()
                else:
                    live = versions[(versions.index(registry.live()) + 1) % 3]
                    registry.promote(live)
                wait_until(lambda live=live: service.metrics().get(("kshot_bundle_info", (live,))) == 2)
                lists = observations.lists_by_bundle[live]
                wait_until(lambda live=live, lists=lists: observations.lists_by_bundle[live] > lists)
                progress(swap + 1, swaps)
        assert not [line for line in service.logged() if line["level"] == "error"]

    compared = 0
    for version, lists in observations.lists.items():
        registry.promote(version)
        with running(registry.store, tmp_path / f"only-{version}") as fresh:
            expected = replayed(fresh, lists)
        for user, served in lists.items():
            assert served == {tuple(expected[user])}, (version, user)
            assert {item for ranking in served for item, _ in ranking} <= items[version]
            compared += 1
    record_counts(
        swaps=swaps, requests=observations.requests, failed=len(observations.failures), lists_compared=compared, wrong=0
    )
    assert observations.failures == []
    assert set(observations.lists) == set(versions)


def test_a_live_bundle_removed_from_the_disk_still_serves(
    registry: Registry, tmp_path: Path, record_counts: Any
) -> None:
    removed = registry.live()
    other = next(manifest.version for manifest in registry.manifests() if manifest.version != removed)
    with running(registry.store, tmp_path / "pruned", env=FAST_RELOAD) as service:
        service.like("ann", "g1-10")
        before = service.recommend("ann")
        shutil.rmtree(registry.folder(removed))
        assert service.recommend("ann") == before
        registry.promote(other)
        wait_until(lambda: service.recommend("ann")["bundle"] == other)
        (registry.store / "live").write_text(removed)
        wait_until(lambda: service.has_logged("bundle refused"))
        assert service.recommend("ann")["bundle"] == other
        (refused,) = [line for line in service.logged() if line["event"] == "bundle refused"]
        record_counts(refused=refused["reason"].partition("; ")[0].partition(": ")[2])


def test_a_bundle_is_loaded_when_its_copy_is_complete(registry: Registry, tmp_path: Path) -> None:
    late = next(manifest.version for manifest in registry.manifests() if manifest.version != registry.live())
    complete = registry.folder(late).rename(tmp_path / "complete")
    partial = registry.bundles / late
    with running(registry.store, tmp_path / "copying", env=FAST_RELOAD) as service:
        first = service.recommend("ann")["bundle"]
        partial.mkdir()
        registry.promote(late)
        for path in sorted(complete.iterdir(), key=lambda path: path.name != "manifest.json"):
            assert service.recommend("ann")["bundle"] == first
            shutil.copy(path, partial)
            wait_until(lambda: service.has_logged("bundle refused"))
        wait_until(lambda: service.recommend("ann")["bundle"] == late)


def test_concurrent_promotions_leave_one_history(registry: Registry, sized: Any, record_counts: Any) -> None:
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
    record_counts(promotions=3 * rounds, history=len(history))
    assert registry.live() == history[-1]
    assert all(version != after for version, after in itertools.pairwise(history))
    assert set(history) == set(versions)

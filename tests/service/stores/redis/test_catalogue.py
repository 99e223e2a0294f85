"""The mark that keeps a second catalogue out of a user store, on a real server."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest
from other_catalogue import add_other_catalogue
from redis import Redis
from store_servers import ConnectedUserStore, connect, free_port, valkey_on_tcp
from structlog.testing import capture_logs

from model_store.bundle import Registry
from service.catalogue.snapshot import Snapshot
from service.core.history import append
from service.core.values import EMPTY, Event, Events
from service.errors import StoreUnavailable, StoreUnsuitable
from service.scoring.model import BundleModel
from service.stores.embedded import EmbeddedStore
from service.stores.redis.catalogue import CatalogueMarking
from service.stores.redis.connection import StoreAddress
from service.stores.redis.key_names import KeyNames

pytestmark = pytest.mark.anyio

KEYS = KeyNames()
RECORD = append(EMPTY, Events.of([Event("g1-1", 1.0, 1.7e9, 1)]), 10).record


@dataclass
class Serving:
    """Holds a live snapshot."""

    snapshot: Snapshot


@pytest.fixture(scope="module")
def films(trained_store: Path) -> Serving:
    return Serving(Snapshot(BundleModel.load(Registry(trained_store).live_folder(), 1)))


@pytest.fixture(scope="module")
def soaps(trained_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Serving:
    """The same ids under other titles."""
    registry = Registry(Path(shutil.copytree(trained_store, tmp_path_factory.mktemp("other") / "store")))
    return Serving(Snapshot(BundleModel.load(registry.folder(add_other_catalogue(registry)), 1)))


def check(url: str, serving: Serving, timeout_s: float = 5) -> None:
    CatalogueMarking(serving, KEYS).check(StoreAddress(url), timeout_s)


def connected(url: str, serving: Serving, prefix: str = "kshot") -> ConnectedUserStore:
    return connect(url, prefix=prefix, check=CatalogueMarking(serving, KeyNames(prefix)).check_connection)


def test_the_second_catalogue_on_a_store_is_refused_with_a_remedy(
    embedded: EmbeddedStore, admin: Redis, films: Serving, soaps: Serving
) -> None:
    for _ in range(2):
        check(embedded.url, films)
    before = admin.get("kshot:catalogue")
    with pytest.raises(StoreUnsuitable, match=r"another catalogue.*--redis-prefix.*redis-cli DEL kshot:catalogue"):
        check(embedded.url, soaps)
    assert admin.get("kshot:catalogue") == before
    assert admin.ttl("kshot:catalogue") == -1
    admin.delete("kshot:catalogue")  # as the message says
    check(embedded.url, soaps)


async def test_under_two_prefixes_two_catalogues_are_separate(
    embedded: EmbeddedStore, admin: Redis, films: Serving, soaps: Serving
) -> None:
    first, second = connected(embedded.url, films, "films"), connected(embedded.url, soaps, "soaps")
    assert await first.replace("ann", RECORD, 0)
    first.note_served("ann", ["g1-1"], RECORD.revision)
    assert await second.read("ann") is EMPTY
    assert await second.replace("ann", RECORD, 0)
    assert await second.erase("ann") == ("record",)
    assert (await first.read("ann")).revision == RECORD.revision
    await first.close()
    await second.close()
    allowed = {*KeyNames("films").of_user("ann"), b"films:catalogue", b"soaps:catalogue"}
    assert set(admin.keys()) <= allowed


async def test_a_store_that_was_away_at_the_start_is_compared_on_connection(
    tmp_path: Path, films: Serving, soaps: Serving
) -> None:
    port = free_port()
    url = f"redis://127.0.0.1:{port}"
    with capture_logs() as logged:
        check(url, soaps, 0.5)
    assert [line["event"] for line in logged] == ["catalogue of the user store not checked"]
    late = connected(url, soaps)
    with valkey_on_tcp(tmp_path / "store", port) as admin:
        check(url, films)
        for operation in (late.read("ann"), late.replace("ann", RECORD, 0), late.erase("ann"), late.ping()):
            with pytest.raises(StoreUnavailable, match="users of another catalogue"):
                await operation
        assert admin.keys() == [b"kshot:catalogue"]
        await late.close()


async def test_the_first_connection_marks_a_store_without_a_mark(
    embedded: EmbeddedStore, admin: Redis, films: Serving, soaps: Serving
) -> None:
    first, second = connected(embedded.url, films), connected(embedded.url, soaps)
    assert await first.read("ann") is EMPTY
    with pytest.raises(StoreUnavailable, match="users of another catalogue"):
        await second.read("ann")
    await first.close()
    await second.close()
    assert admin.exists(KEYS.catalogue) == 1


async def test_a_full_store_without_a_mark_still_answers(embedded: EmbeddedStore, admin: Redis, films: Serving) -> None:
    admin.config_set("maxmemory", "1")
    check(embedded.url, films)
    store = connected(embedded.url, films)
    assert await store.read("ann") is EMPTY
    await store.close()


async def test_the_mark_follows_the_live_bundle_and_no_other(
    embedded: EmbeddedStore, admin: Redis, films: Serving, soaps: Serving
) -> None:
    store = connect(embedded.url)
    marking, other = CatalogueMarking(films, KEYS), CatalogueMarking(soaps, KEYS)
    admin.set(KEYS.catalogue, b"")
    await marking.renew(store.client)  # a damaged mark is left as it is
    assert admin.get(KEYS.catalogue) == b""
    admin.delete(KEYS.catalogue)
    await marking.renew(store.client)
    marked = admin.get(KEYS.catalogue)
    assert films.snapshot.version.encode() in marked
    with capture_logs() as logged:
        await other.renew(store.client)
    assert [line["event"] for line in logged] == ["catalogue of the user store not marked"]
    assert admin.get(KEYS.catalogue) == marked
    await store.close()


async def test_a_mark_that_cannot_be_renewed_is_logged(films: Serving) -> None:
    store = connect(f"redis://127.0.0.1:{free_port()}")
    with capture_logs() as logged:
        await CatalogueMarking(films, KEYS).renew(store.client)
    assert [line["event"] for line in logged] == ["catalogue of the user store not marked"]
    await store.close()


def test_a_key_of_another_program_is_named(embedded: EmbeddedStore, admin: Redis, films: Serving) -> None:
    admin.set("kshot:catalogue", "a list of books")
    with pytest.raises(StoreUnsuitable, match=r"key kshot:catalogue is not the mark of a catalogue.*redis-cli DEL"):
        check(embedded.url, films)

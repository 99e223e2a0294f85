"""The mark that keeps a second catalogue out of a user store, on a real server."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from other_catalogue import add_other_catalogue
from redis import Redis
from store_servers import free_port, valkey_on_tcp
from structlog.testing import capture_logs

from model_store.bundle import Registry
from service.core.history import append
from service.core.values import EMPTY, Event, Events
from service.errors import SettingInvalid, StoreUnavailable, StoreUnsuitable
from service.scoring.model import Model
from service.stores.embedded import EmbeddedStore
from service.stores.redis.catalogue import CatalogueMarking
from service.stores.redis.client import RedisStore
from service.stores.redis.key_names import catalogue_key, checked_prefix, keys_of

pytestmark = pytest.mark.anyio

RECORD = append(EMPTY, Events.of([Event("g1-1", 1.0, 1.7e9, 1)]), 10).record


@dataclass
class Serving:
    """A holder of a live bundle."""

    model: Model


@pytest.fixture(scope="module")
def films(trained_store: Path) -> Serving:
    return Serving(Model.load(Registry(trained_store).live_folder(), 1))


@pytest.fixture(scope="module")
def soaps(trained_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Serving:
    """The same ids under other titles."""
    registry = Registry(Path(shutil.copytree(trained_store, tmp_path_factory.mktemp("other") / "store")))
    return Serving(Model.load(registry.folder(add_other_catalogue(registry)), 1))


@pytest.fixture
def admin(embedded: EmbeddedStore) -> Iterator[Redis]:
    with Redis.from_url(embedded.url) as client:
        yield client


def connected(url: str, serving: Serving, prefix: str = "kshot") -> RedisStore:
    marking = CatalogueMarking(serving, prefix)
    return RedisStore.connect(url, timeout_s=5, ttl_s=100, served_ttl_s=100, prefix=prefix, marking=marking)


def test_the_second_catalogue_on_a_store_is_refused_with_what_to_do(
    embedded: EmbeddedStore, admin: Redis, films: Serving, soaps: Serving
) -> None:
    for _ in range(2):
        CatalogueMarking(films).check(embedded.url, {}, 5)
    before = admin.get("kshot:catalogue")
    with pytest.raises(StoreUnsuitable, match=r"another catalogue.*--redis-prefix.*redis-cli DEL kshot:catalogue"):
        CatalogueMarking(soaps).check(embedded.url, {}, 5)
    assert admin.get("kshot:catalogue") == before
    assert admin.ttl("kshot:catalogue") == -1
    admin.delete("kshot:catalogue")  # as the message says
    CatalogueMarking(soaps).check(embedded.url, {}, 5)


async def test_under_two_prefixes_two_catalogues_see_nothing_of_each_other(
    embedded: EmbeddedStore, admin: Redis, films: Serving, soaps: Serving
) -> None:
    one, two = connected(embedded.url, films, "films"), connected(embedded.url, soaps, "soaps")
    assert await one.replace("ann", RECORD, 0)
    one.note_served("ann", ["g1-1"], RECORD.revision)
    assert await two.read("ann") is EMPTY
    assert await two.replace("ann", RECORD, 0)
    assert await two.erase("ann") == ("record",)
    assert (await one.read("ann")).revision == RECORD.revision
    await one.close()
    await two.close()
    allowed = {*keys_of("ann", "films"), b"films:catalogue", b"soaps:catalogue"}
    assert set(admin.keys()) <= allowed


async def test_a_store_that_was_not_there_at_the_start_is_compared_when_it_comes(
    tmp_path: Path, films: Serving, soaps: Serving
) -> None:
    port = free_port()
    url = f"redis://127.0.0.1:{port}"
    with capture_logs() as logged:
        CatalogueMarking(soaps).check(url, {}, 0.5)
    assert [line["event"] for line in logged] == ["catalogue of the user store not checked"]
    late = connected(url, soaps)
    with valkey_on_tcp(tmp_path / "store", port) as admin:
        CatalogueMarking(films).check(url, {}, 5)
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
    assert admin.exists(catalogue_key()) == 1


async def test_a_full_store_without_a_mark_still_answers(embedded: EmbeddedStore, admin: Redis, films: Serving) -> None:
    admin.config_set("maxmemory", "1")
    CatalogueMarking(films).check(embedded.url, {}, 5)
    store = connected(embedded.url, films)
    assert await store.read("ann") is EMPTY
    await store.close()


async def test_the_mark_follows_the_live_bundle_and_nobody_elses(
    embedded: EmbeddedStore, admin: Redis, films: Serving, soaps: Serving
) -> None:
    store, other = connected(embedded.url, films), connected(embedded.url, soaps)
    admin.set(catalogue_key(), b"")
    await store.mark_catalogue()  # an unreadable mark is nobody's
    assert admin.get(catalogue_key()) == b""
    admin.delete(catalogue_key())
    await store.mark_catalogue()
    marked = admin.get(catalogue_key())
    assert films.model.version.encode() in marked
    with capture_logs() as logged:
        await other.mark_catalogue()
    assert [line["event"] for line in logged] == ["catalogue of the user store not marked"]
    assert admin.get(catalogue_key()) == marked
    await store.close()
    await other.close()


def test_a_key_of_something_else_is_named(embedded: EmbeddedStore, admin: Redis, films: Serving) -> None:
    admin.set("kshot:catalogue", "a list of books")
    with pytest.raises(StoreUnsuitable, match=r"key kshot:catalogue is not the mark of a catalogue.*redis-cli DEL"):
        CatalogueMarking(films).check(embedded.url, {}, 5)


@pytest.mark.parametrize("prefix", ["", "a b", "a{b}", "shop*", "shop/1", "é", 65 * "a", "a\n"])
def test_a_prefix_that_would_break_a_key_is_refused(prefix: str) -> None:
    with pytest.raises(SettingInvalid, match=r"redis_prefix .KSHOT_REDIS_PREFIX.: .*expected 1 to 64 letters"):
        checked_prefix(prefix)


def test_the_prefix_that_nobody_set_is_the_one_of_stores_from_before() -> None:
    assert keys_of("ann") == (b"kshot:{ann}:user", b"kshot:{ann}:older", b"kshot:{ann}:served")
    assert keys_of("a}b", checked_prefix("staging:shop-1")) == (
        *(b"staging:shop-1:{a%7Db}:user", b"staging:shop-1:{a%7Db}:older", b"staging:shop-1:{a%7Db}:served"),
    )

"""Two catalogues on one user store: the second service is refused, and so is a swap to another catalogue."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from other_catalogue import add_other_catalogue
from redis import Redis
from running_service import complaint, running, wait_until

from model_store.bundle import Registry
from service.stores.embedded import EmbeddedStore


@pytest.fixture
def soaps(trained_store: Path, tmp_path: Path) -> Path:
    """Bundles folder whose live bundle has the ids of the trained one under other titles."""
    registry = Registry(Path(shutil.copytree(trained_store, tmp_path / "soaps")))
    registry.promote(add_other_catalogue(registry))
    return registry.store


@pytest.mark.parametrize("workers", [1, 2])
def test_the_second_catalogue_on_a_user_store_does_not_start(
    trained_store: Path, soaps: Path, users: EmbeddedStore, tmp_path: Path, workers: int
) -> None:
    with running(trained_store, tmp_path / "films", "--redis", users.url, "--workers", workers) as service:
        service.like("ann", "g1-1")
        message = complaint("--bundles", soaps, "--port", 0, "--redis", users.url, "--workers", workers)
        assert message.startswith("the user store holds users of another catalogue")
        assert message.endswith("redis-cli DEL kshot:catalogue")
        with running(soaps, tmp_path / "other", "--redis", users.url, "--redis-prefix", "soaps") as other:
            assert other.recommend("ann")["source"] == "cold"
            other.like("ann", "g2-2")
            assert other.client.delete("/users/ann").json()["erased"]
        assert service.recommend("ann")["source"] == "adapted"


def test_a_retrained_bundle_has_its_users_at_the_next_start(
    second_version: tuple[Path, str], users: EmbeddedStore, tmp_path: Path
) -> None:
    store, other = second_version
    registry = Registry(Path(shutil.copytree(store, tmp_path / "store")))
    for version in (registry.live(), other, registry.live()):
        registry.promote(version)
        with running(registry.store, tmp_path / version, "--redis", users.url) as service:
            service.like("ann", "g1-1")
            assert (service.recommend("ann")["source"], service.recommend("ann")["bundle"]) == ("adapted", version)


def test_a_bundle_of_another_catalogue_is_not_swapped_to(store: Path, tmp_path: Path) -> None:
    registry = Registry(store)
    first, other = registry.live(), add_other_catalogue(registry)
    with running(store, tmp_path / "service", env={"KSHOT_RELOAD_EVERY_S": "0.05"}) as service:
        service.like("ann", "g1-1")
        registry.promote(other)
        wait_until(lambda: service.has_logged("bundle refused"))
        (refused,) = (line for line in service.logged() if line["event"] == "bundle refused")
        assert (refused["version"], refused["serving"]) == (other, first)
        assert refused["reason"].startswith(f"bundle {other}: contains almost none of the items of bundle {first}")
        assert service.recommend("ann")["source"] == "adapted"
        assert service.metrics()["kshot_bundle_reloads_total", ("refused",)] == 1


def test_the_mark_follows_a_swap(two_bundles: tuple[Registry, str], users: EmbeddedStore, tmp_path: Path) -> None:
    registry, other = two_bundles
    with (
        Redis.from_url(users.url) as admin,
        running(
            registry.store, tmp_path / "service", "--redis", users.url, env={"KSHOT_RELOAD_EVERY_S": "0.05"}
        ) as service,
    ):
        assert f'"bundle":"{registry.live()}"'.encode() in admin.get("kshot:catalogue")
        registry.promote(other)
        wait_until(lambda: f'"bundle":"{other}"'.encode() in admin.get("kshot:catalogue"))
        assert service.recommend("ann")["bundle"] == other

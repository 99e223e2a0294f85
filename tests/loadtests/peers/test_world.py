"""Worlds of users, items and events for the peers."""

from __future__ import annotations

from pathlib import Path

import pytest

from loadtests.peers.world import TASTES, World, made_up_world, world_of


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return made_up_world(60, 600, 0, tmp_path_factory.mktemp("world"))


def test_liked_items_are_of_the_users_taste(world: World) -> None:
    assert len(world.liked) == len(world.user_ids) == 60
    assert all(len({int(item_id) % TASTES for item_id in liked}) == 1 for liked in world.liked)


def test_a_world_is_a_source_of_kshot_train(world: World, tmp_path: Path) -> None:
    loaded = world_of(str(world.folder), tmp_path / "loaded")
    assert sorted(loaded.user_ids) == sorted(world.user_ids)
    assert loaded.events().height == world.events().height

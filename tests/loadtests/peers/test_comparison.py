"""The comparison asks every peer the same, and says what it found: judged on a peer whose answers are known."""

from __future__ import annotations

import json
import shutil
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from loadtests.peers import environment
from loadtests.peers.comparison import PEERS, table
from loadtests.peers.measure import Load, measure
from loadtests.peers.peer import USER, Peer, PeerError, Request
from loadtests.peers.world import TASTES, World, made_up_world, world_of

LOAD = Load(seconds=1, warm_up=1, connections=2, k=3)


class Handler(BaseHTTPRequestHandler):
    """Known users get a list; others 404 until they are told of or trained with."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        known: dict[str, list[str]] = self.server.known  # type: ignore[attr-defined]
        if self.path == "/tell":
            known[body["user"]] = body["items"]
        found = known.get(body["user"])
        answer = json.dumps(found or []).encode()
        self.send_response(200 if found else 404)
        self.send_header("content-length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_arguments: Any) -> None:
        pass


class Known(Peer):
    """Answers with what it was told; learning makes it know every user of a world."""

    name = "known"
    note = "of this test"
    can_be_told = True

    def install(self) -> None:
        self.learned: list[World] = []

    def learn(self, world: World) -> None:
        self.learned.append(world)

    def start(self, world: World) -> None:
        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.known = {user_id: ["1", "2", "3"] for user_id in world.user_ids}  # type: ignore[attr-defined]
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        self._running.callback(server.server_close)
        self._running.callback(thread.join)
        self._running.callback(server.shutdown)
        self.url = f"http://127.0.0.1:{server.server_port}"

    def ask(self, k: int) -> Request:
        return Request("POST", "/list", json.dumps({"user": USER, "k": k}))

    def tell(self, item_ids: list[str]) -> Request | None:
        return Request("POST", "/tell", json.dumps({"user": USER, "items": item_ids})) if self.can_be_told else None

    def item_ids(self, answer: bytes) -> list[str]:
        return json.loads(answer)


class Trained(Known):
    """The same, but it can only be trained."""

    can_be_told = False


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return made_up_world(60, 600, 0, tmp_path_factory.mktemp("world"))


@pytest.fixture(params=[Known, Trained])
def measured(request: pytest.FixtureRequest, world: World, tmp_path: Path) -> tuple[Known, dict[str, Any]]:
    if shutil.which("wrk") is None:
        pytest.skip("wrk is not installed")
    peer = request.param(tmp_path / "peer", None)
    peer.install()
    peer.start(world)
    try:
        return peer, measure(peer, world, LOAD, tmp_path)
    finally:
        peer.stop()


def test_known_users_are_asked_without_a_failure(measured: tuple[Known, dict[str, Any]]) -> None:
    _, found = measured
    assert found["recommend"]["failures"] == 0
    assert found["recommend"]["rate"] > 0


def test_a_refusal_of_new_users_is_told_by_its_status(measured: tuple[Known, dict[str, Any]]) -> None:
    _, found = measured
    assert found["new_user"] == {"status": 404, "items": 0}


def test_a_peer_that_can_be_told_is_told_and_another_is_trained_again(
    measured: tuple[Known, dict[str, Any]], world: World
) -> None:
    peer, found = measured
    adaptation = found["adaptation"]
    assert adaptation["seconds"] > 0
    if peer.can_be_told:
        assert (adaptation["how"], peer.learned) == ("feedback", [])
        assert adaptation["personal"] > 0.5
    else:
        assert adaptation["how"] == "training again"
        (joined,) = peer.learned
        assert set(joined.user_ids) - set(world.user_ids) == {"920000000"}
        assert len(joined.events()) == len(world.events()) + adaptation["events"]


def test_the_table_has_a_row_for_each_peer_and_the_reason_of_an_absent_one(
    measured: tuple[Known, dict[str, Any]],
) -> None:
    _, found = measured
    rows = {"known": {"name": "known", "training_s": 1.0, **found}, "gone": {"name": "gone", "absent": "no wheel"}}
    text = table(rows)
    assert "| known | " in text
    assert "| status 404 |" in text
    assert "gone: not measured: no wheel" in text


def test_liked_items_are_of_a_users_own_taste(world: World) -> None:
    assert len(world.liked) == len(world.user_ids) == 60
    assert all(len({int(item_id) % TASTES for item_id in liked}) == 1 for liked in world.liked)


def test_a_world_is_a_source_of_kshot_train(world: World, tmp_path: Path) -> None:
    again = world_of(str(world.folder), tmp_path / "again")
    assert sorted(again.user_ids) == sorted(world.user_ids)
    assert again.events().height == world.events().height


def test_a_peer_that_cannot_be_installed_says_what_pip_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environment, "CACHE", tmp_path)
    with pytest.raises(PeerError, match=r"nowhere\.whl"):
        environment.environment("absent", [str(tmp_path / "nowhere.whl")])


def test_every_peer_of_the_issue_is_there() -> None:
    assert {peer.name for peer in PEERS.values()} == {"kshot", "recotem", "LibRecommender", "FastAPI + implicit"}

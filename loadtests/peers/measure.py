"""Measurements of a peer: throughput, the list of a new user, the time from feedback to a changed list."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from loadtests.kit.wrk import drive
from loadtests.peers.peer import Peer, Request
from loadtests.peers.world import World

NEW_USERS = 20
# Ids of users outside every world. They are whole numbers, because libserving takes no others.
WITHOUT_EVENTS, WITH_FEEDBACK, RETRAINED_USER = 900_000_000, 910_000_000, "920000000"
FEEDBACK_EVENTS = 5
RETRAINING_DEADLINE_S = 900.0
POLL_S = 0.02
JSON = {"content-type": "application/json"}


@dataclass(frozen=True)
class Load:
    """Load on a peer: seconds, connections, length of a list."""

    seconds: int
    warm_up: int
    connections: int
    k: int


def measure_peer(peer: Peer, world: World, load: Load, folder: Path) -> dict[str, Any]:
    """All figures of a running peer."""
    with httpx.Client(base_url=peer.url, timeout=30.0, headers=JSON) as client:
        session = _Session(peer, client, load.k)
        return {
            "note": peer.note,
            "recommend": _rate(peer, world, load, folder),
            "new_user": _new_user(session),
            "adaptation": _adaptation(session, world, folder),
        }


@dataclass(frozen=True)
class _Session:
    peer: Peer
    client: httpx.Client
    k: int

    def send(self, request: Request, user_id: str) -> httpx.Response:
        filled = request.of(user_id)
        return self.client.request(filled.method, filled.path, content=filled.body or None)

    def recommend(self, user_id: str) -> list[str] | None:
        """The user's list; None after an error status."""
        return self._list(self.send(self.peer.recommend(self.k), user_id))

    def recommend_for(self, item_ids: list[str]) -> list[str] | None:
        request = self.peer.recommend_for(item_ids, self.k)
        return self._list(self.send(request, "")) if request else None

    def _list(self, response: httpx.Response) -> list[str] | None:
        return self.peer.item_ids(response.content) if response.is_success else None


def _rate(peer: Peer, world: World, load: Load, folder: Path) -> dict[str, float]:
    """Load of wrk for the world's users, after a warm-up."""
    users = folder / "users"
    users.write_text("".join(f"{user_id}\n" for user_id in world.user_ids), encoding="utf-8")
    request = peer.recommend(load.k)
    arguments = [request.method, request.path, request.body, users]
    drive(peer.url, "user_list.lua", arguments, seconds=load.warm_up, connections=load.connections)
    return drive(peer.url, "user_list.lua", arguments, seconds=load.seconds, connections=load.connections).as_json()


def _new_user(session: _Session) -> dict[str, Any]:
    """Lists of two users without events."""
    response = session.send(session.peer.recommend(session.k), str(WITHOUT_EVENTS))
    if not response.is_success:
        return {"status": response.status_code, "items": 0}
    lists = [session.recommend(str(WITHOUT_EVENTS + number)) for number in (1, 2)]
    return {"status": response.status_code, "items": len(lists[0] or []), "same_for_all": lists[0] == lists[1]}


def _adaptation(session: _Session, world: World, folder: Path) -> dict[str, Any]:
    """Time from a new user's feedback to a changed list."""
    tastes = [liked[:FEEDBACK_EVENTS] for liked in world.liked if len(liked) >= FEEDBACK_EVENTS]
    tastes = tastes[:: max(1, len(world.liked) // NEW_USERS)]
    figures: dict[str, Any] = {"events": FEEDBACK_EVENTS}
    if session.peer.feedback(tastes[0]) is not None:
        return figures | _by_feedback(session, tastes[:NEW_USERS])
    if session.peer.recommend_for(tastes[0], session.k) is not None:
        figures["with_request"] = _by_request(session, tastes[:NEW_USERS])
    return figures | _by_retraining(session, world, tastes[0], folder)


def _by_feedback(session: _Session, tastes: list[list[str]]) -> dict[str, Any]:
    seconds, lists = [], []
    for number, taste in enumerate(tastes):
        user_id = str(WITH_FEEDBACK + number)
        before, feedback = session.recommend(user_id), session.peer.feedback(taste)
        assert feedback is not None  # noqa: S101 - checked by the caller
        started = time.perf_counter()
        session.send(feedback, user_id).raise_for_status()
        lists.append(_changed_list(lambda user_id=user_id: session.recommend(user_id), before))  # type: ignore[misc]
        seconds.append(time.perf_counter() - started)
    return {"how": "feedback", "seconds": statistics.median(seconds), "personal": _personal(lists)}


def _by_request(session: _Session, tastes: list[list[str]]) -> dict[str, Any]:
    seconds, lists = [], []
    for taste in tastes:
        started = time.perf_counter()
        lists.append(session.recommend_for(taste) or [])
        seconds.append(time.perf_counter() - started)
    return {"seconds": statistics.median(seconds), "personal": _personal(lists)}


def _by_retraining(session: _Session, world: World, taste: list[str], folder: Path) -> dict[str, Any]:
    """Train again on the world with one user more, load the model, and wait for the user's list."""
    joined = world.joined_by(RETRAINED_USER, taste, folder / "joined")
    before = session.recommend(RETRAINED_USER)
    started = time.perf_counter()
    session.peer.train(joined)
    training_s = time.perf_counter() - started
    session.peer.reload(joined)
    with httpx.Client(base_url=session.peer.url, timeout=30.0, headers=JSON) as client:
        reloaded = _Session(session.peer, client, session.k)
        _changed_list(lambda: reloaded.recommend(RETRAINED_USER), before)
    return {"how": "training again", "seconds": time.perf_counter() - started, "training_s": training_s}


def _changed_list(recommend: Callable[[], list[str] | None], before: list[str] | None) -> list[str]:
    """Poll until there is a list that differs from ``before``."""
    deadline = time.monotonic() + RETRAINING_DEADLINE_S
    while (now := recommend()) is None or now == before:
        if time.monotonic() > deadline:
            raise TimeoutError(f"the list is the same after {RETRAINING_DEADLINE_S:g} s, expected another one")
        time.sleep(POLL_S)
    return now


def _personal(lists: list[list[str]]) -> float:
    """Share of a list that is absent from the list of the next new user, mean over the new users."""
    pairs = zip(lists, lists[1:] + lists[:1], strict=True)
    return round(statistics.fmean(1 - len({*one} & {*other}) / max(len(one), 1) for one, other in pairs), 3)

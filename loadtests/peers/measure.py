"""The questions put to every peer: how fast, what does a new user get, when does the list follow the feedback."""

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
# Ids of users whom no world has; whole numbers, since libserving takes no others.
STRANGERS, TOLD, JOINED = 900_000_000, 910_000_000, "920000000"
FEEDBACK = 5
RELEARN_DEADLINE_S = 900.0
POLL_S = 0.02
JSON = {"content-type": "application/json"}


@dataclass(frozen=True)
class Load:
    """How hard a peer is driven: seconds, connections, length of a list."""

    seconds: int
    warm_up: int
    connections: int
    k: int


def measure(peer: Peer, world: World, load: Load, folder: Path) -> dict[str, Any]:
    """All figures of one running peer."""
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
        asked = request.of(user_id)
        return self.client.request(asked.method, asked.path, content=asked.body or None)

    def ask(self, user_id: str) -> list[str] | None:
        """The user's list; None where the server refuses one."""
        return self._list(self.send(self.peer.ask(self.k), user_id))

    def ask_with(self, item_ids: list[str]) -> list[str] | None:
        request = self.peer.ask_with(item_ids, self.k)
        return self._list(self.send(request, "")) if request else None

    def _list(self, answer: httpx.Response) -> list[str] | None:
        return self.peer.item_ids(answer.content) if answer.is_success else None


def _rate(peer: Peer, world: World, load: Load, folder: Path) -> dict[str, float]:
    """Drive it with wrk for the known users, after a warm-up."""
    users = folder / "users"
    users.write_text("".join(f"{user_id}\n" for user_id in world.user_ids), encoding="utf-8")
    request = peer.ask(load.k)
    arguments = [request.method, request.path, request.body, str(users)]
    drive(peer.url, "user_list.lua", arguments, seconds=load.warm_up, connections=load.connections)
    return drive(peer.url, "user_list.lua", arguments, seconds=load.seconds, connections=load.connections).as_json()


def _new_user(session: _Session) -> dict[str, Any]:
    """What two users get whom the peer has never heard of."""
    answer = session.send(session.peer.ask(session.k), str(STRANGERS))
    if not answer.is_success:
        return {"status": answer.status_code, "items": 0}
    lists = [session.ask(str(STRANGERS + number)) for number in (1, 2)]
    return {"status": answer.status_code, "items": len(lists[0] or []), "same_for_all": lists[0] == lists[1]}


def _adaptation(session: _Session, world: World, folder: Path) -> dict[str, Any]:
    """From a new user's feedback to a changed list."""
    tastes = [liked[:FEEDBACK] for liked in world.liked if len(liked) >= FEEDBACK][
        :: max(1, len(world.liked) // NEW_USERS)
    ]
    found: dict[str, Any] = {"events": FEEDBACK}
    if session.peer.tell(tastes[0]) is not None:
        return found | _by_feedback(session, tastes[:NEW_USERS])
    if session.peer.ask_with(tastes[0], session.k) is not None:
        found["with_question"] = _by_question(session, tastes[:NEW_USERS])
    return found | _by_relearning(session, world, tastes[0], folder)


def _by_feedback(session: _Session, tastes: list[list[str]]) -> dict[str, Any]:
    took, lists = [], []
    for number, taste in enumerate(tastes):
        user_id = str(TOLD + number)
        before, told = session.ask(user_id), session.peer.tell(taste)
        assert told is not None  # noqa: S101 - asked by the caller
        started = time.perf_counter()
        session.send(told, user_id).raise_for_status()
        lists.append(_until(lambda user_id=user_id: session.ask(user_id), before))  # type: ignore[misc]
        took.append(time.perf_counter() - started)
    return {"how": "feedback", "seconds": statistics.median(took), "personal": _personal(lists)}


def _by_question(session: _Session, tastes: list[list[str]]) -> dict[str, Any]:
    took, lists = [], []
    for taste in tastes:
        started = time.perf_counter()
        lists.append(session.ask_with(taste) or [])
        took.append(time.perf_counter() - started)
    return {"seconds": statistics.median(took), "personal": _personal(lists)}


def _by_relearning(session: _Session, world: World, taste: list[str], folder: Path) -> dict[str, Any]:
    """Train again on a world with the new user, as often as one wants lists to follow."""
    joined = world.joined_by(JOINED, taste, folder / "joined")
    before = session.ask(JOINED)
    started = time.perf_counter()
    session.peer.learn(joined)
    learned = time.perf_counter() - started
    session.peer.take_up(joined)
    with httpx.Client(base_url=session.peer.url, timeout=30.0, headers=JSON) as client:
        again = _Session(session.peer, client, session.k)
        _until(lambda: again.ask(JOINED), before)
    return {"how": "training again", "seconds": time.perf_counter() - started, "training_s": learned}


def _until(ask: Callable[[], list[str] | None], before: list[str] | None) -> list[str]:
    """Ask until there is a list, and another one than before."""
    deadline = time.monotonic() + RELEARN_DEADLINE_S
    while (now := ask()) is None or now == before:
        if time.monotonic() > deadline:
            raise TimeoutError(f"the list is the same after {RELEARN_DEADLINE_S:g} s, expected another one")
        time.sleep(POLL_S)
    return now


def _personal(lists: list[list[str]]) -> float:
    """Share of a list that the list of the next new user does not hold, mean over the new users."""
    pairs = zip(lists, lists[1:] + lists[:1], strict=True)
    return round(statistics.fmean(1 - len({*one} & {*other}) / max(len(one), 1) for one, other in pairs), 3)

"""What the comparison asks of every peer."""

from __future__ import annotations

from abc import ABC, abstractmethod
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from loadtests.peers.world import World

USER = "{user}"


class PeerError(Exception):
    """A peer cannot be installed, trained or started here; the message says what was tried and what came of it."""


@dataclass(frozen=True)
class Request:
    """An HTTP request; ``{user}`` in path and body stands for the user's id.

    Attributes:
        method: "GET" or "POST".
        path: with the query.
        body: JSON, or nothing.
    """

    method: str
    path: str
    body: str = ""

    def of(self, user_id: str) -> Request:
        """The same request for one user."""
        return Request(self.method, self.path.replace(USER, user_id), self.body.replace(USER, user_id))


class Peer(ABC):
    """A recommender that learns a world and then answers for its users and for new ones.

    Attributes:
        name: as in the table.
        note: what a reader must know to judge the figures.
        core: where its server is pinned to.
        url: its base address while it runs.
    """

    name: ClassVar[str]
    note: ClassVar[str]

    def __init__(self, folder: Path, core: int | None) -> None:
        """Work in ``folder``, which is gone after the comparison."""
        self.folder = folder
        self.core = core
        self.url = ""
        self._running = ExitStack()
        folder.mkdir(parents=True, exist_ok=True)

    @abstractmethod
    def install(self) -> None:
        """Make its environment; raises PeerError."""

    @abstractmethod
    def learn(self, world: World) -> None:
        """Train on a world, as a nightly job would."""

    @abstractmethod
    def start(self, world: World) -> None:
        """Serve what was learned; every user of the world is known afterwards."""

    @abstractmethod
    def ask(self, k: int) -> Request:
        """A list of ``k`` items for the user."""

    @abstractmethod
    def item_ids(self, answer: bytes) -> list[str]:
        """The item ids of an answer to :meth:`ask`, best first."""

    def tell(self, item_ids: list[str]) -> Request | None:
        """Feedback: the user likes these. None where the server cannot be told."""
        del item_ids
        return None

    def ask_with(self, item_ids: list[str], k: int) -> Request | None:
        """A list for whoever likes these, kept nowhere. None where the server takes no such question."""
        del item_ids, k
        return None

    def take_up(self, world: World) -> None:
        """Bring what was learned again into the running service; the plain way is a new start."""
        self.stop()
        self.start(world)

    def stop(self) -> None:
        """End everything that :meth:`start` started."""
        self._running.close()

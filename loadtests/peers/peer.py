"""The interface of a peer in the comparison."""

from __future__ import annotations

from abc import ABC, abstractmethod
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from loadtests.kit.errors import LoadTestError
from loadtests.peers.world import World

USER = "{user}"


class PeerError(LoadTestError):
    """A peer cannot be installed, trained or started here; the message has the command and its output."""


@dataclass(frozen=True)
class Request:
    """An HTTP request; ``{user}`` in path and body is a placeholder for the user's id.

    Attributes:
        method: "GET" or "POST".
        path: with the query.
        body: JSON, or empty.
    """

    method: str
    path: str
    body: str = ""

    def of(self, user_id: str) -> Request:
        """The same request for one user."""
        return Request(self.method, self.path.replace(USER, user_id), self.body.replace(USER, user_id))


class Peer(ABC):
    """A recommender that trains on a world, then serves the world's users and new users.

    Attributes:
        name: name in the table.
        note: context that a reader needs to judge the figures.
        core: core of its server.
        url: base address while it runs.
    """

    name: ClassVar[str]
    note: ClassVar[str]

    def __init__(self, folder: Path, core: int | None) -> None:
        """Work in ``folder``, which is deleted after the comparison."""
        self.folder = folder
        self.core = core
        self.url = ""
        self._running = ExitStack()
        folder.mkdir(parents=True, exist_ok=True)

    @abstractmethod
    def install(self) -> None:
        """Install into an environment; raises PeerError."""

    @abstractmethod
    def train(self, world: World) -> None:
        """Train on a world, as a nightly job would."""

    @abstractmethod
    def start(self, world: World) -> None:
        """Serve the trained model; every user of the world has a list afterwards."""

    @abstractmethod
    def recommend(self, k: int) -> Request:
        """Request for a list of ``k`` items for the user."""

    @abstractmethod
    def item_ids(self, body: bytes) -> list[str]:
        """Item ids in the response to :meth:`recommend`, best first."""

    def feedback(self, item_ids: list[str]) -> Request | None:
        """Feedback that the user likes some items; None if the server takes no feedback."""
        del item_ids
        return None

    def recommend_for(self, item_ids: list[str], k: int) -> Request | None:
        """Request for a list that suits liked items, without storing them; None if the server has no such request."""
        del item_ids, k
        return None

    def reload(self, world: World) -> None:
        """Load the newly trained model into the running server; by default through a restart."""
        self.stop()
        self.start(world)

    def stop(self) -> None:
        """Stop everything that :meth:`start` started."""
        self._running.close()

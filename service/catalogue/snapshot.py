"""The catalogue and model of a request: immutable, so that a request sees one state from beginning to end."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from model_store.bundle import AllowedRows, Biases, FeedbackSpec, UserSupport, Value
from service.core.ports import Model
from service.core.support import support_of
from service.core.values import Events


@dataclass(frozen=True, slots=True)
class Overlay:
    """Changes to a bundle's catalogue since the bundle was built; always empty so far."""


NO_CHANGES = Overlay()


class LocatedEvents(NamedTuple):
    """A user's events on the catalogue of a snapshot.

    Attributes:
        rows: int64 (S,), row of each event's item; ``UNKNOWN_ROW`` for items the catalogue lacks.
        support: the events that the model can adapt to.
    """

    rows: NDArray[np.int64]
    support: UserSupport


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One state of the catalogue: a bundle's model, and an overlay of its catalogue.

    The flows use a snapshot instead of the model.
    """

    model: Model
    overlay: Overlay = NO_CHANGES

    @property
    def version(self) -> str:
        """The bundle's version."""
        return self.model.version

    @property
    def feedback(self) -> FeedbackSpec:
        """The bundle's scale and vocabulary of feedback."""
        return self.model.manifest.feedback

    @property
    def max_support(self) -> int:
        """Most events of a record."""
        return self.model.manifest.limits.max_support

    def rows(self, item_ids: Iterable[str]) -> NDArray[np.int64]:
        """Rows of items, int64 (N,); ``UNKNOWN_ROW`` for items the catalogue lacks."""
        return self.model.catalogue.rows(item_ids)

    def item_ids(self, rows: list[int]) -> list[str]:
        """Item ids of ``rows``."""
        return self.model.catalogue.ids.at(rows)

    def open_json(self, rows: list[int]) -> list[bytes]:
        """The items of ``rows`` as JSON objects without the closing brace, so that fields can follow."""
        return self.model.catalogue.open_json(rows)

    def unknown_attributes(self, attributes: Mapping[str, Value]) -> list[tuple[str, str]]:
        """Name and text of the attributes that the bundle does not know."""
        return self.model.attributes.unknown(attributes)

    def locate(self, events: Events) -> LocatedEvents:
        """The rows of a user's events, and the support to adapt to."""
        rows = self.rows(events.item_ids)
        return LocatedEvents(rows, support_of(events, rows, self.feedback.scale, self.max_support))

    async def adapt(self, support: UserSupport, attributes: Mapping[str, Value]) -> NDArray[np.float32]:
        """See ``Model``."""
        return await self.model.adapt(support, attributes)

    async def rank(
        self,
        user_state: NDArray[np.float32],
        support: UserSupport,
        biases: Biases,
        count: int,
        allowed: AllowedRows | None = None,
    ) -> tuple[list[int], list[float]]:
        """See ``Model``."""
        return await self.model.rank(user_state, support, biases, count, allowed)


class LiveSnapshot(Protocol):
    """Holds the live snapshot."""

    @property
    def snapshot(self) -> Snapshot:
        """The snapshot for a new request, which holds it until its end."""

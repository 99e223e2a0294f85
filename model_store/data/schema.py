"""Data as the rest of the model store uses it: integer codes and flat arrays, users in CSR form."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from model_store.bundle.manifest import DataFingerprint, FeedbackSpec


@dataclass(frozen=True)
class ItemFeatures:
    """Sparse content features of the items, in CSR form.

    Attributes:
        names: feature name by index, e.g. "categories=Comedy", "year=1990s".
        indptr: int64 (n_items + 1,).
        indices: int64 (nnz,), feature of each entry.
        weights: float32 (nnz,); each item's weights have unit L2 norm.
    """

    names: list[str]
    indptr: NDArray[np.int64]
    indices: NDArray[np.int64]
    weights: NDArray[np.float32]


@dataclass(frozen=True)
class UserAttributes:
    """Attributes of users, in CSR form by user code.

    Attributes:
        names: attribute name by id, e.g. "gender=F", "age=18..24".
        indptr: int64 (n_users + 1,).
        ids: int64 (nnz,), attribute of each entry.
        weights: float32 (nnz,); the weights of a user with any have unit L2 norm.
    """

    names: list[str]
    indptr: NDArray[np.int64]
    ids: NDArray[np.int64]
    weights: NDArray[np.float32]

    def select(self, users: NDArray[np.int64]) -> UserAttributes:
        """Those of ``users`` only, in that order."""
        indptr, places = _runs(self.indptr, users)
        return UserAttributes(self.names, indptr, self.ids[places], self.weights[places])

    def padded(self, users: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Ids int64 and weights float32 of ``users``, (B, A) both with A ≥ 1, padded with id 0 of weight 0."""
        indptr, places = _runs(self.indptr, users)
        lengths = np.diff(indptr)
        filled = np.arange(max(1, lengths.max(initial=0))) < lengths[:, None]
        ids, weights = np.zeros(filled.shape, dtype=np.int64), np.zeros(filled.shape, dtype=np.float32)
        ids[filled], weights[filled] = self.ids[places], self.weights[places]
        return ids, weights


@dataclass(frozen=True)
class Events:
    """Events of many users, each user's run in time order (or in a seeded random order without time).

    Attributes:
        indptr: int64 (n_users + 1,), where each user's run starts.
        items: int32 (n_events,), row of the item.
        values: float32 (n_events,), on the data's own scale.
        times: float64 (n_events,), seconds; all zeros where the data has no time.
        attributes: what else is known about the same users; None where the data has nothing about users.
        weights: float32 (n_events,), in 0 … 1, how much each event counts as a like where types of event differ in
            value; None where all count alike.
    """

    indptr: NDArray[np.int64]
    items: NDArray[np.int32]
    values: NDArray[np.float32]
    times: NDArray[np.float64]
    attributes: UserAttributes | None = None
    weights: NDArray[np.float32] | None = None

    @property
    def n_users(self) -> int:
        """Number of users."""
        return len(self.indptr) - 1

    def lengths(self) -> NDArray[np.int64]:
        """Events of each user, int64 (n_users,)."""
        return np.diff(self.indptr)

    def user(self, user: int) -> slice:
        """Slice of the events of ``user``."""
        return slice(int(self.indptr[user]), int(self.indptr[user + 1]))

    def select(self, users: NDArray[np.int64]) -> Events:
        """The events of ``users`` only, in that order."""
        indptr, places = _runs(self.indptr, users)
        attributes = self.attributes and self.attributes.select(users)
        return replace(self.at(places, indptr), attributes=attributes)

    def at(self, places: NDArray[np.int64] | NDArray[np.bool_], indptr: NDArray[np.int64]) -> Events:
        """The events at ``places`` as runs of users by ``indptr``, of whom no attributes are known."""
        weights = None if self.weights is None else self.weights[places]
        return Events(indptr, self.items[places], self.values[places], self.times[places], weights=weights)


def _runs(indptr: NDArray[np.int64], users: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The runs of ``users`` put one after the other: their own ``indptr``, and the place of each entry."""
    lengths = np.diff(indptr)[users]
    starts = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    return starts, np.repeat(indptr[users] - starts[:-1], lengths) + np.arange(starts[-1])


@dataclass(frozen=True)
class Dataset:
    """One cleaned data source.

    Attributes:
        user_ids: stable id by user code, same order as ``events``.
        item_ids: stable id by item row: the whole catalogue, items without events included.
        titles: title by item row, "" where there is none.
        events: deduplicated events of all users.
        has_order: whether events stand in a real order (time or seq), not a random one.
        has_time: whether ``events.times`` are real times.
        feedback: scale, threshold of what counts as liked, and the vocabulary of event types.
        features: content features of the items.
        fingerprint: source, SHA-256 of the cleaned events and attributes, and counts.
    """

    user_ids: list[str]
    item_ids: list[str]
    titles: list[str]
    events: Events
    has_order: bool
    has_time: bool
    feedback: FeedbackSpec
    features: ItemFeatures
    fingerprint: DataFingerprint

    @property
    def n_items(self) -> int:
        """Rows of the catalogue."""
        return len(self.item_ids)

    @property
    def attributes(self) -> UserAttributes | None:
        """Attributes of the users by user code; None where the data has none."""
        return self.events.attributes

    @property
    def attribute_names(self) -> list[str]:
        """Attribute name by id; none where the data has nothing about users."""
        return self.attributes.names if self.attributes else []

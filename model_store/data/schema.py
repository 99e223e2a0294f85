"""Cleaned data as integer codes and flat arrays in CSR form, one run of entries per user or item."""

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
        weights: float32 (nnz,); each user's weights have unit L2 norm.
    """

    names: list[str]
    indptr: NDArray[np.int64]
    ids: NDArray[np.int64]
    weights: NDArray[np.float32]

    def select(self, users: NDArray[np.int64]) -> UserAttributes:
        """Select the attributes of ``users``, in that order."""
        indptr, positions = _runs(self.indptr, users)
        return UserAttributes(self.names, indptr, self.ids[positions], self.weights[positions])

    def padded(self, users: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Attribute ids int64 (B, A) and weights float32 (B, A) of ``users``, A ≥ 1; padding is id 0 of weight 0."""
        indptr, positions = _runs(self.indptr, users)
        lengths = np.diff(indptr)
        filled = np.arange(max(1, lengths.max(initial=0))) < lengths[:, None]
        ids, weights = np.zeros(filled.shape, dtype=np.int64), np.zeros(filled.shape, dtype=np.float32)
        ids[filled], weights[filled] = self.ids[positions], self.weights[positions]
        return ids, weights


@dataclass(frozen=True)
class Events:
    """Events of many users in CSR form; a user's events are in time order, or in a seeded random order without times.

    Attributes:
        indptr: int64 (n_users + 1,), start of each user's run.
        items: int32 (n_events,), row of the item.
        values: float32 (n_events,), on the data's scale.
        times: float64 (n_events,), seconds; all zeros if the data has no times.
        attributes: attributes of the same users; None if the data has none.
        weights: float32 (n_events,), 0 … 1, weight of each event as a like if event types differ in value; None if all
            events count alike.
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
        """Number of events per user, int64 (n_users,)."""
        return np.diff(self.indptr)

    def user(self, user: int) -> slice:
        """Slice of the events of ``user``."""
        return slice(int(self.indptr[user]), int(self.indptr[user + 1]))

    def select(self, users: NDArray[np.int64]) -> Events:
        """Select the events of ``users``, in that order."""
        indptr, positions = _runs(self.indptr, users)
        attributes = self.attributes and self.attributes.select(users)
        return replace(self.at(positions, indptr), attributes=attributes)

    def at(self, positions: NDArray[np.int64] | NDArray[np.bool_], indptr: NDArray[np.int64]) -> Events:
        """Select the events at ``positions``, grouped into users by ``indptr``; attributes are dropped."""
        weights = None if self.weights is None else self.weights[positions]
        return Events(indptr, self.items[positions], self.values[positions], self.times[positions], weights=weights)


def _runs(indptr: NDArray[np.int64], users: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Concatenate the runs of ``users``: return the new ``indptr``, and each entry's position in the old arrays."""
    lengths = np.diff(indptr)[users]
    starts = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    return starts, np.repeat(indptr[users] - starts[:-1], lengths) + np.arange(starts[-1])


@dataclass(frozen=True)
class Dataset:
    """A cleaned data source.

    Attributes:
        user_ids: stable id by user code, in the order of ``events``.
        item_ids: stable id by item row, including items without events.
        titles: title by item row, "" for items without one.
        events: events of all users, one per user-item pair.
        has_order: whether events are ordered by time or seq rather than at random.
        has_time: whether ``events.times`` are real times.
        feedback: scale of the values, threshold for likes, and vocabulary of event types.
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
        """Number of rows of the catalogue."""
        return len(self.item_ids)

    @property
    def attributes(self) -> UserAttributes | None:
        """Attributes of the users by user code; None if the data has none."""
        return self.events.attributes

    @property
    def attribute_names(self) -> list[str]:
        """Attribute name by id; empty if the data has no user attributes."""
        return self.attributes.names if self.attributes else []

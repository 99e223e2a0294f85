"""The protocol for items without history: a tenth of the items is held out of training, and only these are ranked.

The held-out items stay in the catalogue with their content, but all their events are removed. A validation or test
user's support is the first k of the remaining events, and the query is the held-out items that the user liked.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from model_store.data.schema import Dataset
from model_store.errors import DataError
from model_store.evaluation.protocol import KShot, Tasks, fewer_shots

HELD_OUT_SHARE = 0.1
MORE_EVENTS = "expected users with several events: add events, or such users"

Mask = NDArray[np.bool_]


def hold_out(dataset: Dataset, seed: int) -> Mask:
    """Draw a tenth of the items that have events, bool (n_items,).

    Raises:
        DataError: no item has content, so the model could not rank new items.
    """
    if not len(dataset.features.indices):
        raise DataError(
            f"{dataset.fingerprint.source}: no item has a feature, expected columns beside item_id and title "
            "in items.parquet or items.csv; without features new items cannot be ranked"
        )
    with_events = np.unique(dataset.events.items)
    count = max(1, round(HELD_OUT_SHARE * len(with_events)))
    held_out = np.zeros(dataset.n_items, dtype=np.bool_)
    held_out[np.random.default_rng(seed).choice(with_events, count, replace=False)] = True
    return held_out


def without_items(dataset: Dataset, held_out: Mask) -> Dataset:
    """The data set without the events of the held-out items; users and catalogue stay."""
    events = dataset.events
    kept = ~held_out[events.items]
    before = np.concatenate([[0], np.cumsum(kept)])
    return replace(dataset, events=events.at(kept, before[events.indptr]))


def new_item_tasks(dataset: Dataset, held_out: Mask, users: NDArray[np.int64], protocol: KShot) -> Tasks:
    """Tasks of those of ``users`` who have enough other events and liked a held-out item.

    Args:
        dataset: all data, with the events of the held-out items.
        held_out: bool (n_items,), the items to rank.
        users: validation or test users.
        protocol: the k, and the least number of other events.

    Returns:
        Tasks that rank the held-out items only: every other item is masked, and ``n_items`` counts the held-out ones.

    Raises:
        DataError: there is no such user.
    """
    events = dataset.events
    remaining = without_items(dataset, held_out).events
    lengths = remaining.lengths()
    in_query = held_out[events.items] & (events.values >= dataset.feedback.liked_at_least)
    queries = [events.items[events.user(int(user))][in_query[events.user(int(user))]] for user in users]
    enough = lengths[users] >= protocol.min_events
    chosen = [index for index, query in enumerate(queries) if enough[index] and len(query)]
    if not chosen:
        longest = max((lengths[user] for user, query in zip(users, queries, strict=True) if len(query)), default=0)
        raise DataError(
            f"none of {len(users)} users has {protocol.min_events} events and likes one of the {held_out.sum()} items "
            f"held out of training; {fewer_shots(protocol, lambda fewer: fewer.min_events <= longest) or MORE_EVENTS}"
        )
    masked = np.flatnonzero(~held_out).astype(np.int32)
    queries = [queries[index] for index in chosen]
    return Tasks(protocol, remaining, users[chosen], queries, [masked] * len(chosen), int(held_out.sum()))

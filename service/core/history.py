"""How a user's history grows: one event an item, duplicates once, a bounded window, no item forgotten."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from model_store.bundle import Value
from service.core.values import Events, UserRecord

# A record knows at most 512 keys, so a new event is taken for an old one once in 2⁴⁰ / 512, two thousand million times.
KEY_BYTES = 5
DIGEST_BYTES = 8  # records of former formats hold all of them


class Appended(NamedTuple):
    """A longer history.

    Attributes:
        record: the new record without a state, or the old one as it was if nothing in it changed.
        accepted: places, in the batch, of the events that counted.
        duplicates: number of events that had been accepted before.
    """

    record: UserRecord
    accepted: tuple[int, ...]
    duplicates: int


def event_key(event_id: str) -> int:
    """Key of a client's event id: 40 bits of its BLAKE2b, too many for two of a user's to meet."""
    digest = hashlib.blake2b(event_id.encode("utf-8", "surrogatepass"), digest_size=DIGEST_BYTES).digest()
    return int.from_bytes(digest[:KEY_BYTES], "little")


def append(
    record: UserRecord, batch: Events, max_support: int, attributes: Mapping[str, Value] | None = None
) -> Appended:
    """Append a batch in its order of arrival: what comes last is most recent, whatever its timestamp.

    An event about an item that has one already replaces it (as in training, where the last event of a user
    and an item wins) and becomes the most recent. Beyond ``max_support`` events the oldest is dropped to
    ``seen``.

    Keys of replaced and dropped events are remembered too, the last ``max_support`` of them: so an event that
    is sent again within the next ``max_support`` accepted ones is always known.

    ``attributes`` replace all that were known; None leaves them.
    """
    window = {row[0]: row for row in record.events.rows()}
    seen = dict.fromkeys(record.seen)
    retired = record.retired.tolist()
    known = {*retired, *record.events.keys.tolist()}
    accepted = []
    for place, row in enumerate(batch.rows()):
        item_id, *_, key = row
        if key in known:
            continue
        known.add(key)
        accepted.append(place)
        leaving = [window.pop(item_id, None)]
        window[item_id] = row
        seen.pop(item_id, None)
        while len(window) > max_support:
            oldest = next(iter(window))
            leaving.append(window.pop(oldest))
            seen[oldest] = None
        retired += [row[-1] for row in leaving if row]
    duplicates = len(batch) - len(accepted)
    known_of = record.attributes if attributes is None else attributes
    if not accepted and known_of == record.attributes:
        return Appended(record, (), duplicates)
    keys = np.array(retired[-max_support:], dtype=np.uint64)
    grown = UserRecord(record.revision + 1, Events.of(list(window.values())), keys, tuple(seen), None, known_of)
    return Appended(grown, tuple(accepted), duplicates)

"""The support: the events of a user that a model adapts to, encoded alike for training, evaluation and service.

Events stand in time order, the oldest first; a limit keeps the most recent ones. The supports of a batch of users are
padded at the back, to a multiple of ``EVENT_BLOCK``, because sequence models read them that way:

- LSTM and GRU of ONNX, and packed sequences of torch, read the first ``lengths`` events of a user. They meet every
  event in order and the padding never.
- Position i is the i-th event of the support, whoever else is in the batch.
- A causal convolution or Transformer needs no mask, because padding follows all events.

Blocks of zeros behind the events change no sum of floats. So no bit of a user's result depends on the batch.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from model_store.bundle.attributes import NO_ATTRIBUTES, Encoded

# Events per block of padding. Processors compute with whole vectors, and onnxruntime in blocks of four: a multiple of
# 16 never leaves a rest, which would be rounded otherwise.
EVENT_BLOCK = 16
SECONDS_PER_DAY = 86_400.0

Float = NDArray[np.float32]
Int = NDArray[np.int64]
Number = TypeVar("Number", np.float32, np.int64)


class UserSupport(NamedTuple):
    """The support of one user, without padding.

    Attributes:
        rows: int64 (S,), rows of the catalogue, the oldest event first.
        values: float32 (S,), feedback values on the bundle's scale.
        ages: float32 (S,), days before the most recent of these events. They depend on the events alone, so a replay
            gives the same bits at any time.
        attributes: attributes of the user.
    """

    rows: Int
    values: Float
    ages: Float
    attributes: Encoded = NO_ATTRIBUTES

    @classmethod
    def encode(
        cls,
        rows: Int,
        values: Float,
        times: NDArray[np.float64],
        limit: int | None = None,
        attributes: Encoded = NO_ATTRIBUTES,
    ) -> Self:
        """Encode the events of one user.

        Args:
            rows: int64 (N,), row of each event's item.
            values: float32 (N,), on the bundle's scale.
            times: float64 (N,), seconds. Events of one time keep their order.
            limit: number of events to keep, at least 1, the most recent ones; None keeps all.
            attributes: attributes of the user.
        """
        seconds = times.tolist()
        if seconds != sorted(seconds):
            by_time = np.argsort(times, kind="stable")
            rows, values, times = rows[by_time], values[by_time], times[by_time]
        if limit is not None and len(rows) > limit:
            rows, values, times = rows[-limit:], values[-limit:], times[-limit:]
        ages = ((times[-1:] - times) / SECONDS_PER_DAY).astype(np.float32)
        return cls(rows, values, ages, attributes)

    @property
    def shots(self) -> int:
        """Number of events, k."""
        return len(self.rows)


NO_SUPPORT = UserSupport(
    np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.float32), np.zeros(0, dtype=np.float32), NO_ATTRIBUTES
)


@dataclass(frozen=True, slots=True)
class Support:
    """The supports of a batch of B users, padded at the back with zeros.

    Attributes:
        rows: int64 (B, S), rows of the catalogue, the oldest event first; S is a multiple of ``EVENT_BLOCK``.
        values: float32 (B, S), feedback values on the bundle's scale.
        ages: float32 (B, S), days before the user's most recent event.
        mask: float32 (B, S), 1 for an event and 0 for padding.
        attribute_ids: int64 (B, A), attributes of the users; A is a multiple of ``EVENT_BLOCK``.
        attribute_weights: float32 (B, A), 0 for padding.
    """

    rows: Int
    values: Float
    ages: Float
    mask: Float
    attribute_ids: Int
    attribute_weights: Float

    @classmethod
    def of(cls, users: Sequence[UserSupport]) -> Self:
        """Pad the supports of ``users`` to one width."""
        rows = padded([user.rows for user in users], np.int64)
        lengths = np.fromiter((len(user.rows) for user in users), dtype=np.int64, count=len(users))
        return cls(
            rows,
            padded([user.values for user in users], np.float32),
            padded([user.ages for user in users], np.float32),
            (np.arange(rows.shape[1]) < lengths[:, None]).astype(np.float32),
            padded([user.attributes.ids for user in users], np.int64),
            padded([user.attributes.weights for user in users], np.float32),
        )

    def __len__(self) -> int:
        """Number of users."""
        return len(self.rows)

    @property
    def lengths(self) -> Int:
        """Number of events of each user, k, int64 (B,)."""
        lengths: Int = self.mask.sum(axis=1).astype(np.int64)
        return lengths

    def select(self, users: Int) -> Support:
        """The supports of ``users`` only, indices into the batch; the width stays."""
        return Support(
            self.rows[users],
            self.values[users],
            self.ages[users],
            self.mask[users],
            self.attribute_ids[users],
            self.attribute_weights[users],
        )

    def narrowed(self, width: int) -> Support:
        """The first ``width`` positions only, at least as many as the longest support has events."""
        return replace(
            self,
            rows=self.rows[:, :width],
            values=self.values[:, :width],
            ages=self.ages[:, :width],
            mask=self.mask[:, :width],
        )

    def users(self) -> Iterator[UserSupport]:
        """Each user's support without the padding of its events."""
        for user, length in enumerate(self.lengths.tolist()):
            yield UserSupport(
                self.rows[user, :length],
                self.values[user, :length],
                self.ages[user, :length],
                Encoded(self.attribute_ids[user], self.attribute_weights[user]),
            )


def padded(arrays: Sequence[NDArray[Number]], dtype: type[Number]) -> NDArray[Number]:
    """Arrays (length,) as the rows of one (B, S), with zeros behind them; S ≥ 1 is a multiple of ``EVENT_BLOCK``."""
    longest = max(map(len, arrays), default=0)
    filled = np.zeros((len(arrays), max(longest + -longest % EVENT_BLOCK, EVENT_BLOCK)), dtype)
    for row, array in zip(filled, arrays, strict=True):
        row[: len(array)] = array
    return filled

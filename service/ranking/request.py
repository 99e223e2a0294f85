"""The input of the pipeline: a request for a list, and its user."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from service.catalogue.snapshot import LocatedEvents
from service.core.values import UserRecord


class ListRequest(NamedTuple):
    """A request for a list.

    Attributes:
        user_id: the user.
        k: length of the list.
        include_seen: also recommend items with feedback.
    """

    user_id: str
    k: int
    include_seen: bool = False


class AdaptedUser(NamedTuple):
    """A user with a state of the snapshot's model.

    Attributes:
        record: the user's record.
        events: the record's events on the snapshot's catalogue.
        state: float32 (state_dim,).
    """

    record: UserRecord
    events: LocatedEvents
    state: NDArray[np.float32]

"""The pipeline of a list: biases, then the best rows by score."""

from __future__ import annotations

from service.catalogue.snapshot import Snapshot
from service.ranking.biases import biases_of
from service.ranking.request import AdaptedUser, ListRequest
from service.ranking.slate import Slate


async def make_slate(request: ListRequest, user: AdaptedUser, snapshot: Snapshot) -> Slate:
    """The best ``request.k`` rows for a user; fewer if the catalogue has no more.

    Filters belong before :meth:`Snapshot.rank`, so that a filtered list still has k rows; stages that reorder a slate
    belong after it.
    """
    biases = biases_of(request, user, snapshot)
    rows, scores = await snapshot.rank(user.state, user.events.support, biases, request.k)
    return Slate(rows, scores)

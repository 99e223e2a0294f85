"""Results of the MeLU protocol: the schema of ``kshot evaluate --protocol melu --json``.

===============  =======================================================================================================
key              value
===============  =======================================================================================================
``data``         the data summary, as ``kshot inspect --json`` has it
``protocol``     ``name``, ``ratings`` [least, most], ``query``, ``order``, ``seed``, ``items``, ``new_items`` (``rule``
                 and ``count``), ``users`` (quadrant → number)
``models``       model → quadrant → ``mae``, ``mae_interval`` [low, high], ``ndcg@1``, ``ndcg@3``, ``ndcg@5``
``published``    the same as published elsewhere, where known; ``mae`` only
``training``     ``l2``, ``epochs``, ``seconds``, ``history`` (an object per epoch), ``config``
===============  =======================================================================================================
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator, PlainSerializer

from model_store.config import RatingConfig
from model_store.evaluation.figures import Figures
from model_store.reports.documents import DataSummary, Document, FiguresAsJson, Section
from model_store.studies.ratings.fitting import Epoch

_FIGURES = FiguresAsJson("_interval")
QuadrantFigures = dict[str, Annotated[Figures, BeforeValidator(_FIGURES.read), PlainSerializer(_FIGURES.write)]]
"""Quadrant → metric → figure."""


def _all_settings(config: RatingConfig) -> dict[str, Any]:
    return config.model_dump(mode="json")


class NewItemsRule(Section):
    """How new items were told apart, and their number."""

    rule: str
    count: int


class RatingProtocol(Section):
    """Settings of the protocol, and the number of users per quadrant.

    Attributes:
        name: "melu".
        ratings: least and most ratings of a user.
        query: ratings to predict, per user.
        order: order of the events.
        seed: seed of the split.
        items: number of items.
        new_items: the items that count as new.
        users: quadrant → number of users.
    """

    name: str
    ratings: tuple[int, int]
    query: int
    order: str
    seed: int
    items: int
    new_items: NewItemsRule
    users: dict[str, int]


class RatingTraining(Section):
    """The training that validation users chose, and all epochs that were tried."""

    l2: float
    epochs: int
    seconds: float
    history: tuple[Epoch, ...]
    config: Annotated[RatingConfig, PlainSerializer(_all_settings)]


class RatingResults(Document):
    """Results of the MeLU protocol; the module's docstring describes the keys."""

    data: DataSummary
    protocol: RatingProtocol
    models: dict[str, QuadrantFigures]
    published: dict[str, QuadrantFigures]
    training: RatingTraining

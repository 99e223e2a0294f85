"""What a training or evaluation run may be told; read once by the command line, frozen from there on."""

from __future__ import annotations

import csv
from enum import StrEnum
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from model_store.errors import DataError

COLUMNS = ("user_id", "item_id", "value", "timestamp", "seq", "event", "title")


class Sweep(StrEnum):
    """How many candidates of each baseline are tried on the validation users."""

    QUICK = "quick"
    FULL = "full"


class IndexName(StrEnum):
    """How a bundle finds the best items: by reading the whole catalogue, or only what an index finds."""

    EXACT = "exact"
    APPROXIMATE = "approximate"


class EvaluationProtocol(StrEnum):
    """What a model is asked: to know new users, to place new items, or to predict ratings as in the MeLU paper."""

    KSHOT = "kshot"
    NEW_ITEMS = "new-items"
    MELU = "melu"


class AlgorithmName(StrEnum):
    """The algorithms of ``meta.algorithms``."""

    KSHOT = "kshot"
    MAML = "maml"
    FOMAML = "fomaml"
    REPTILE = "reptile"
    ANIL = "anil"
    MATCHING = "matching"
    JOINT = "joint"


class EpisodeOrder(StrEnum):
    """Which of a user's events are the support of an episode, and which its query."""

    SHUFFLED = "shuffled"
    CHRONOLOGICAL = "chronological"
    AUTO = "auto"


class ReadOptions(BaseModel):
    """How the tables of a source are read, where that does not follow from the tables themselves."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    columns: dict[str, str] = Field(
        default={}, description="name in the source by the name it has here, e.g. user_id: userId"
    )
    encoding: str = Field(default="utf-8", description="encoding of CSV files, by its name in Python, e.g. latin-1")
    feedback: Literal["ratings", "counts", "clicks"] | None = Field(
        default=None, description="what the values are; decided by the data if absent"
    )
    liked_from: float | None = Field(
        default=None, description="value from which an event counts as liked; decided by the data if absent"
    )


DEFAULT_READ_OPTIONS = ReadOptions()


class JudgingConfig(BaseModel):
    """Settings of one evaluation."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    shots: tuple[int, ...] | None = Field(default=None, description="the k to evaluate; chosen from the data if absent")
    max_items: int = Field(
        default=5000, ge=2, description="most liked items that baselines with dense item-item matrices cover"
    )
    sweep: Sweep = Field(default=Sweep.QUICK, description="size of the search for each baseline's hyperparameters")
    ablations: bool = Field(default=False, description="whether variants that take a training are evaluated too")


def columns_of(text: str) -> dict[str, str]:
    """Parse "user_id=userId,item_id=movieId"; a part that holds a comma stands in double quotes.

    Raises:
        DataError: naming the part and the names that columns have here.
    """
    columns: dict[str, str] = {}
    for part in _parts(text):
        name, equals, source_name = part.partition("=")
        twice = name.strip() in columns or source_name in columns.values()
        if not equals or not source_name or name.strip() not in COLUMNS or twice:
            raise DataError(
                f"--columns {text!r}: part {part!r}, expected NAME=COLUMN with a column of the data and a NAME out of "
                f"{', '.join(COLUMNS)}, both not named before; e.g. user_id=userId,item_id=movieId"
            )
        columns[name.strip()] = source_name
    return columns


def _parts(text: str) -> list[str]:
    """Parts of ``--columns`` between commas."""
    try:
        return next(csv.reader([text], skipinitialspace=True), [])
    except csv.Error as exc:
        raise DataError(f"--columns {text!r}: cannot be read ({exc}); expected NAME=COLUMN,NAME=COLUMN") from exc


class TrainingConfig(BaseModel):
    """Settings of one meta-training run. The defaults are what the published figures were made with."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    seed: int = Field(0, ge=0, description="one seed gives one result: split, episodes, start, dropout")
    algorithm: AlgorithmName = Field(AlgorithmName.KSHOT, description="how the starting point is learned")
    dim: int = Field(64, ge=4, le=512, description="length of an item vector's learned part")
    content: bool = Field(default=True, description="whether item features take part in the item vectors")
    inner_steps: int = Field(4, ge=1, le=16, description="gradient steps of the inner loop")
    anchors: int = Field(256, ge=8, le=4096, description="learned points that stand for the catalogue inside the loop")
    neighbours: int = Field(100, ge=1, le=500, description="neighbours kept for each item in the sparse memory")
    max_support: int = Field(256, ge=20, le=1024, description="events of a user that the inner loop reads")
    max_shots: int = Field(50, ge=1, description="largest support in a training episode")
    episodes: EpisodeOrder = Field(
        EpisodeOrder.AUTO,
        description="support: any events, the first ones, or, where events have an order, what serves validation users",
    )
    forgetting: bool = Field(
        default=True, description="whether the popularity prior may count what users liked last more than what before"
    )
    half_life: float | None = Field(
        None,
        gt=0,
        description="events of a user after which a like counts half in the prior; chosen from data if forgetting",
    )
    batch_users: int = Field(128, ge=1, description="episodes in one outer step")
    learning_rate: float = Field(2e-3, gt=0, description="Adam step of the outer loop")
    l2: float = Field(4.0, ge=0, description="weight of the mean squared norm of the item vectors in the loss")
    attribute_l2: float = Field(1e-4, ge=0, description="weight of the squared norm of the attributes' vectors")
    attribute_dropout: float = Field(
        0.5, ge=0, le=1, description="share of users of whom an outer step knows no attributes"
    )
    dropout: float = Field(0.4, ge=0, lt=1, description="share of adapted weights dropped in an outer step")
    entropy: float = Field(0.0, ge=0, le=1, description="how far queries are drawn towards the long tail; 1 is uniform")
    cross_fit_below: int = Field(
        500, ge=0, description="validation users under which training users take part in the calibration"
    )
    max_epochs: int = Field(200, ge=1, description="passes over the training users, at most")
    patience: int = Field(10, ge=1, description="validations without a better one before training stops")
    index: IndexName = Field(IndexName.EXACT, description="how the bundle finds the best items")
    time_budget_s: float = Field(400.0, gt=0, description="seconds after which the outer loop stops with its best")


class RatingConfig(BaseModel):
    """Settings of the rating model, which the MeLU protocol judges."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    seed: int = Field(0, ge=0, description="one seed gives one result: split, episodes, start")
    content: bool = Field(default=True, description="whether item features take part in the item vectors")
    dim: int = Field(16, ge=1, le=512, description="length of an item vector")
    inner_steps: int = Field(6, ge=1, le=64, description="gradient steps of the inner loop")
    id_dropout: float = Field(0.2, ge=0, le=1, description="share of episodes that do without id parts")
    batch_users: int = Field(64, ge=1, description="episodes in one outer step")
    learning_rate: float = Field(3e-3, gt=0, description="Adam step of the outer loop")
    l2: tuple[float, ...] = Field((16.0, 64.0, 256.0), description="penalties on squared norms to choose from")
    max_epochs: int = Field(200, ge=1, description="passes over the training users with one penalty, at most")
    patience: int = Field(3, ge=1, description="validations without a better one before training stops")

"""Options of training, evaluation and data reading: the command line fills them in once, then they are frozen."""

from __future__ import annotations

import csv
from enum import StrEnum
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from model_store.errors import DataError

COLUMNS = ("user_id", "item_id", "value", "timestamp", "seq", "event", "title")


class Sweep(StrEnum):
    """Number of candidates of each baseline that are tried on the validation users."""

    QUICK = "quick"
    FULL = "full"


class IndexName(StrEnum):
    """First stage of a bundle: score the whole catalogue, or only candidates from an approximate index."""

    EXACT = "exact"
    APPROXIMATE = "approximate"


class EvaluationProtocol(StrEnum):
    """Task of an evaluation: rank for new users, rank new items, or predict ratings as in the MeLU paper."""

    KSHOT = "kshot"
    NEW_ITEMS = "new-items"
    MELU = "melu"


class AlgorithmName(StrEnum):
    """Algorithms of ``meta.algorithms``."""

    KSHOT = "kshot"
    MAML = "maml"
    FOMAML = "fomaml"
    REPTILE = "reptile"
    ANIL = "anil"
    MATCHING = "matching"
    JOINT = "joint"


class BackboneName(StrEnum):
    """The backbones of ``meta.backbones``."""

    IDENTITY = "identity"


class EpisodeOrder(StrEnum):
    """Order in which a user's events are split into the support and the query of an episode."""

    SHUFFLED = "shuffled"
    CHRONOLOGICAL = "chronological"
    AUTO = "auto"


class ReadOptions(BaseModel):
    """Options for reading a source's tables; they replace decisions made from the tables' content."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    columns: dict[str, str] = Field(
        default={}, description="column names of the source, by the names of the data schema, e.g. user_id: userId"
    )
    encoding: str = Field(default="utf-8", description="Python's name for the encoding of CSV files, e.g. latin-1")
    feedback: Literal["ratings", "counts", "clicks"] | None = Field(
        default=None, description="kind of the values; detected from the data if absent"
    )
    liked_from: float | None = Field(
        default=None, description="lowest value that counts as liked; detected from the data if absent"
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
    """Parse "user_id=userId,item_id=movieId"; parts that contain a comma must be in double quotes.

    Raises:
        DataError: a part is malformed; the message names the part and the allowed names.
    """
    columns: dict[str, str] = {}
    for part in _parts(text):
        name, equals, source_name = part.partition("=")
        is_repeated = name.strip() in columns or source_name in columns.values()
        if not equals or not source_name or name.strip() not in COLUMNS or is_repeated:
            raise DataError(
                f"--columns {text!r}: part {part!r}, expected NAME=COLUMN with a column of the data and one of the "
                f"names {', '.join(COLUMNS)}, both at most once; e.g. user_id=userId,item_id=movieId"
            )
        columns[name.strip()] = source_name
    return columns


def _parts(text: str) -> list[str]:
    """Split ``--columns`` at commas outside of quotes."""
    try:
        return next(csv.reader([text], skipinitialspace=True), [])
    except csv.Error as exc:
        raise DataError(f"--columns {text!r}: cannot be read ({exc}); expected NAME=COLUMN,NAME=COLUMN") from exc


class TrainingConfig(BaseModel):
    """Settings of one meta-training run; the published figures use the defaults."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    seed: int = Field(0, ge=0, description="seed of split, episodes, initialisation and dropout")
    algorithm: AlgorithmName = Field(AlgorithmName.KSHOT, description="algorithm that learns the initialisation")
    backbone: BackboneName = Field(BackboneName.IDENTITY, description="network between item vectors and inner loop")
    dim: int = Field(64, ge=4, le=512, description="length of an item vector's learned part")
    content: bool = Field(default=True, description="whether item vectors include a part from the item features")
    inner_steps: int = Field(4, ge=1, le=16, description="gradient steps of the inner loop")
    anchors: int = Field(
        256, ge=8, le=4096, description="learned vectors that represent the catalogue in the inner loop"
    )
    neighbours: int = Field(100, ge=1, le=500, description="neighbours per item in the sparse memory")
    max_support: int = Field(256, ge=20, le=1024, description="most events per user that the inner loop reads")
    max_shots: int = Field(50, ge=1, description="largest support in a training episode")
    episodes: EpisodeOrder = Field(
        EpisodeOrder.AUTO,
        description="support: random events, first events, or, in ordered data, the better of both on validation users",
    )
    forgetting: bool = Field(
        default=True, description="whether the popularity prior may weigh recent likes more than earlier ones"
    )
    half_life: float | None = Field(
        None,
        gt=0,
        description="number of a user's later events that halves a like's weight in the prior; chosen if absent",
    )
    batch_users: int = Field(128, ge=1, description="episodes per outer step")
    learning_rate: float = Field(2e-3, gt=0, description="Adam's learning rate in the outer loop")
    l2: float = Field(4.0, ge=0, description="weight of the mean squared norm of the item vectors in the loss")
    attribute_l2: float = Field(1e-4, ge=0, description="weight of the attribute vectors' squared norm in the loss")
    attribute_dropout: float = Field(
        0.5, ge=0, le=1, description="share of users whose attributes are hidden in an outer step"
    )
    dropout: float = Field(0.4, ge=0, lt=1, description="share of adapted weights dropped per outer step")
    entropy: float = Field(
        0.0, ge=0, le=1, description="entropy of sampled query items, from 0 (as in the data) to 1 (uniform)"
    )
    cross_fit_below: int = Field(
        500, ge=0, description="number of validation users below which training users join the calibration"
    )
    max_epochs: int = Field(200, ge=1, description="most passes over the training users")
    patience: int = Field(10, ge=1, description="validations without improvement before training stops")
    index: IndexName = Field(IndexName.EXACT, description="first stage of the bundle: exact or approximate")
    time_budget_s: float = Field(400.0, gt=0, description="seconds after which the outer loop stops and keeps its best")


class RatingConfig(BaseModel):
    """Settings of the rating model, which the MeLU protocol evaluates."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    seed: int = Field(0, ge=0, description="seed of split, episodes and initialisation")
    content: bool = Field(default=True, description="whether item vectors include a part from the item features")
    dim: int = Field(16, ge=1, le=512, description="length of an item vector")
    inner_steps: int = Field(6, ge=1, le=64, description="gradient steps of the inner loop")
    id_dropout: float = Field(0.2, ge=0, le=1, description="share of episodes without the id parts of items")
    batch_users: int = Field(64, ge=1, description="episodes per outer step")
    learning_rate: float = Field(3e-3, gt=0, description="Adam's learning rate in the outer loop")
    l2: tuple[float, ...] = Field((16.0, 64.0, 256.0), description="candidate penalties on squared norms")
    max_epochs: int = Field(200, ge=1, description="most passes over the training users per penalty")
    patience: int = Field(3, ge=1, description="validations without improvement before training stops")

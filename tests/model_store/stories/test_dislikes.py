"""Items that everybody rated worst never lead the list of a new user, whatever the scale looks like.

In the made-up world most ratings are of bad items: whoever takes ratings for counts finds these the most popular.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from numpy.typing import NDArray
from rich.console import Console

from model_store.bundle import Registry, open_bundle
from model_store.config import JudgingConfig, TrainingConfig
from model_store.data.episodes import pack_support
from model_store.data.sources import prepare
from model_store.evaluation.recommenders import ServedModel
from model_store.flows.train_bundle import train_bundle
from model_store.meta.network import build
from model_store.tables.table import Table, Tables

CONFIG = TrainingConfig(max_epochs=1, dim=8, anchors=16, neighbours=10, cross_fit_below=0)
USERS, GOOD, BAD, BEST = 80, 15, 15, 5

Values = NDArray[np.float64]


def ratings() -> tuple[Values, pl.DataFrame]:
    """How much each event's user liked its item, 0 … 1, and the events: ten of bad items and six of good ones each."""
    rng = np.random.default_rng(7)
    rows, liking = [], []
    for user in range(USERS):
        for kind, chosen, low, high in (("bad", 10, 0.0, 0.3), ("good", 6, 0.75, 1.0)):
            for number in rng.permutation(GOOD if kind == "good" else BAD)[:chosen]:
                rows.append((f"u{user}", f"{kind}-{number:02}"))
                liking.append(rng.uniform(low, high))
    return np.array(liking), pl.DataFrame(rows, schema=["user_id", "item_id"], orient="row")


def with_some(share: float, mark: float, scale: Callable[[Values], Values]) -> Callable[[Values], Values]:
    """A scale on which a share of the events has ``mark`` instead of a rating."""
    return lambda liking: np.where(np.random.default_rng(1).random(len(liking)) < share, mark, scale(liking))


def stars(liking: Values) -> Values:
    return 1 + np.round(4 * liking)


def of_ten(liking: Values) -> Values:
    return 1 + np.round(9 * liking)


def complaints(liking: Values) -> Values:
    return np.where(liking < 0.25, 1, stars(liking))


def one_row_of(mark: float) -> Callable[[Values], Values]:
    return lambda liking: np.where(np.arange(len(liking)) == 3, mark, of_ten(liking))


SCALES: dict[str, Callable[[Values], Values]] = {
    "1 to 5": stars,
    "mostly 1 of 5": complaints,
    "half stars": lambda liking: 0.5 + np.round(9 * liking) / 2,
    "1 to 10": of_ten,
    "2 to 10": lambda liking: 2 * stars(liking),
    "decimals to 10": lambda liking: (1 + 9 * liking).round(2),
    "0 to 100": lambda liking: np.round(100 * liking),
    "-10 to 10": lambda liking: (20 * liking - 10).round(2),
    "thumbs": np.round,
    "plus and minus": lambda liking: 2 * np.round(liking) - 1,
    "1 and 5 alone": lambda liking: 1 + 4 * np.round(liking),
    "a share": lambda liking: liking.round(3),
    "1 to 10, one 99": one_row_of(99),
    "1 to 10, one -1": one_row_of(-1),
    "1 to 10, one 1e38": one_row_of(1e38),
    "1 to 10, many 0": with_some(0.6, 0, of_ten),
    "1 to 10, many -1": with_some(0.2, -1, of_ten),
    "-10 to 10, many 99": with_some(0.4, 99, lambda liking: (20 * liking - 10).round(2)),
    "1 to 5, many 1e38": with_some(0.2, 1e38, stars),
}


@pytest.mark.parametrize("scale", SCALES)
def test_popularity_is_of_likes_on_every_scale(scale: str) -> None:
    liking, events = ratings()
    table = Table("made up", events.with_columns(value=pl.Series(SCALES[scale](liking))))
    dataset = prepare("made up", Tables(table, None)).dataset
    prior = build(dataset, dataset.events, CONFIG, (0, 1, 3)).encoder.prior.squeeze(1)
    best = [dataset.item_ids[item] for item in prior.argsort(descending=True)[:BEST].tolist()]
    assert all(item.startswith("good") for item in best), best


def test_the_first_list_of_a_bundle_trained_on_complaints_has_none_of_the_worst_items(tmp_path: Path) -> None:
    liking, events = ratings()
    (tmp_path / "data").mkdir()
    events.with_columns(value=pl.Series(complaints(liking))).write_csv(tmp_path / "data" / "interactions.csv")
    train_bundle(
        str(tmp_path / "data"), tmp_path / "store", CONFIG, JudgingConfig(shots=(0, 1, 3)), Console(quiet=True)
    )
    bundle = open_bundle(Registry(tmp_path / "store").live_folder())
    feedback = bundle.manifest.feedback
    assert (feedback.kind, feedback.value_min, feedback.value_max, feedback.liked_at_least) == ("ratings", 1, 5, 4)
    dataset = prepare("made up", Tables(Table("made up", events.with_columns(value=1.0)), None)).dataset
    nothing = pack_support(dataset.events, [np.arange(0)], np.array([0]))
    (rows,) = ServedModel(bundle.runtime).rank(nothing, [np.zeros(0, np.int32)], [None], BEST)
    best = [bundle.catalogue.ids[row] for row in rows[0].tolist()]
    assert all(item.startswith("good") for item in best), best

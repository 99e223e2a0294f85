"""Weights of event types: a purchase weighs more than a view in thresholds, popularity, adaptation and training."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
import torch

from model_store.config import ReadOptions, TrainingConfig
from model_store.data.episodes import deal
from model_store.data.event_types import differ, like_weights, liked_value, type_values
from model_store.data.schema import Dataset
from model_store.data.sources import Loaded, prepare
from model_store.meta.items.popularity import recent_likes
from model_store.meta.loss import episode_loss
from model_store.meta.network import build
from model_store.meta.parts.dense import Dense
from model_store.meta.parts.part import LeaveOut
from model_store.meta.parts.votes import Votes
from model_store.meta.supports import SupportBatch
from model_store.tables.table import Table, Tables

CONFIG = TrainingConfig(dim=4, anchors=8, neighbours=4, dropout=0.0, l2=0.0, attribute_l2=0.0)
PRICES = {"view": 1.0, "purchase": 20.0}


def events(shown: int, sold: int, users: int = 30, values: dict[str, float] = PRICES) -> pl.DataFrame:
    """Per user: views of ``shown`` items without purchases, and purchases of ``sold`` items out of twice as many."""
    rows = []
    rng = np.random.default_rng(0)
    for user in range(users):
        rows += [(f"u{user}", f"shown{item}", values["view"], "view") for item in range(shown)]
        bought = rng.choice(2 * sold, sold, replace=False)
        rows += [(f"u{user}", f"sold{item}", values["purchase"], "purchase") for item in bought]
    return pl.DataFrame(rows, schema=["user_id", "item_id", "value", "event"], orient="row")


def prepared(frame: pl.DataFrame, **options: float) -> Loaded:
    return prepare("test", Tables(Table("test", frame), None), ReadOptions(**options))


def most_popular(dataset: Dataset) -> str:
    likes = recent_likes(dataset.events, dataset.n_items, dataset.feedback.liked_at_least, None)
    return dataset.item_ids[int(likes.argmax())]


def test_values_of_types_are_medians_and_rare_types_are_ignored() -> None:
    frame = pl.DataFrame(
        {"value": [1.0, 1, 3, 20, 20] * 30 + [500.0], "event": ["view"] * 3 + ["buy"] * 2 + (29 * 5) * ["view"] + ["x"]}
    ).with_columns(event=pl.when(pl.col("value") == 20).then(pl.lit("buy")).otherwise(pl.col("event")))
    assert type_values(frame) == {"view": 1.0, "buy": 20.0}


@pytest.mark.parametrize("named", [True, False])
@pytest.mark.parametrize("share", [0.004, 0.3])
def test_rare_purchases_and_views_without_a_type_have_weights(named: bool, share: float) -> None:
    rows, bought = 20_000, int(20_000 * share)
    frame = pl.DataFrame(
        {
            "user_id": [f"u{row % 500}" for row in range(rows)],
            "item_id": [f"i{row // 500}" for row in range(rows)],
            "value": [20.0] * bought + [1.0] * (rows - bought),
            "event": ["purchase"] * bought + ["view" if named else None] * (rows - bought),
        }
    )
    loaded = prepared(frame)
    view = "view" if named else "no type"
    assert f"{view} is worth 1, purchase is worth 20" in str(loaded.summary.render())
    weights = loaded.dataset.events.weights
    assert weights is not None
    assert sorted(set(weights.tolist())) == pytest.approx([0.05, 1.0])


def test_a_few_stray_events_are_ignored() -> None:
    frame = pl.DataFrame({"value": [1.0] * 70_000 + [1e6] * 60, "event": ["view"] * 70_000 + ["test"] * 60})
    assert type_values(frame) == {"view": 1.0}


def test_only_counts_of_types_with_different_values_have_weights() -> None:
    assert differ("counts", PRICES)
    assert not differ("counts", {"view": 1.0, "purchase": 1.0})
    assert not differ("ratings", PRICES)
    assert not differ("counts", {"view": 1.0})


@pytest.mark.parametrize(
    ("values", "expected"),
    [([20.0, 20, 1, 1], 20.0), ([20.0, 1, 1, 1, 1], 1.0), ([0.5, 0.5, 0.5], None), ([21.0, 2, 40], 20.0)],
)
def test_a_pair_is_liked_from_the_most_valuable_type_that_is_common(
    values: list[float], expected: float | None
) -> None:
    assert liked_value(PRICES, np.array(values)) == expected


def test_no_number_of_views_is_worth_more_than_a_purchase() -> None:
    weights = like_weights(PRICES, np.array([1, 10, 20, 400, 0], dtype=np.float32))
    assert weights.tolist() == pytest.approx([0.05, 0.5, 1.0, 1.0, 0.01])


def test_an_item_with_views_but_no_purchases_is_not_the_most_popular() -> None:
    """Both if views are common, so that only purchases are likes, and if views dominate, so that they weigh little."""
    for shown, sold in ((2, 4), (10, 2)):
        dataset = prepared(events(shown, sold)).dataset
        assert most_popular(dataset).startswith("sold"), (shown, sold)
    alike = prepared(events(10, 2, values={"view": 1.0, "purchase": 1.0})).dataset
    assert most_popular(alike).startswith("shown")


def test_a_threshold_option_takes_precedence_over_the_common_type() -> None:
    assert prepared(events(2, 4)).dataset.feedback.liked_at_least == 20
    assert prepared(events(2, 4), liked_from=1).dataset.feedback.liked_at_least == 1


def test_the_vocabulary_has_only_the_types_of_the_source() -> None:
    assert prepared(events(2, 4)).dataset.feedback.types == PRICES


def test_the_summary_shows_the_values_of_event_types() -> None:
    text = prepared(events(2, 4)).summary.render().plain
    assert "view is worth 1, purchase is worth 20" in text
    alike = prepared(events(2, 4, values={"view": 1.0, "purchase": 1.0})).summary.render().plain
    assert "all types have the same value; give them different values" in alike


def test_adaptation_and_votes_start_at_the_weight_of_an_event() -> None:
    dataset = prepared(events(10, 2)).dataset
    network = build(dataset, dataset.events, CONFIG, (0, 1))
    view, purchase = (
        network.part(Votes)
        .event_votes(*(torch.tensor([[[*pair]]]) for pair in ((1.0, 20.0), (0.0, 0), (1.0, 1))))[0, 0]
        .tolist()
    )
    assert view / purchase == pytest.approx(0.05, rel=1e-3)
    adaptation, vectors = network.part(Dense).adaptation, network.encoder.vectors()[:1].unsqueeze(0)
    ones, none = torch.ones(1, 1), torch.zeros(1, 1)
    with torch.no_grad():
        start, viewed, bought = (
            adaptation(SupportBatch.from_vectors(vectors, torch.full((1, 1), value), none, mask))
            for value, mask in ((1.0, none), (1.0, ones), (20.0, ones))
        )
    assert 0 < (viewed - start).norm() < (bought - start).norm()


def test_the_outer_loss_counts_a_purchase_for_more_than_a_view() -> None:
    """Compared with the weighted mean over the losses of single query items."""
    dataset = prepared(events(10, 2)).dataset
    network = build(dataset, dataset.events, CONFIG, (0, 1))
    rng = np.random.default_rng(0)
    episodes = deal(dataset.events, np.arange(4), dataset.feedback.liked_at_least, 1, rng)
    assert episodes.rest_weights is not None
    with torch.no_grad():
        loss = episode_loss(network, episodes, CONFIG)
        target = torch.zeros(4, dataset.n_items)
        target[tuple(torch.from_numpy(episodes.rest))] = 1.0
        leave_out = LeaveOut(target, torch.from_numpy(episodes.support_liked))
        scores = network(episodes.support, leave_out=leave_out)
        rows, mask = torch.from_numpy(episodes.support.rows), torch.from_numpy(episodes.support.mask)
        seen = torch.zeros_like(target).scatter_add(1, rows, mask)
        likelihood = torch.log_softmax(scores.masked_fill(seen > 0, -1e9), dim=1)
    by_item = likelihood[tuple(torch.from_numpy(episodes.rest))].numpy()
    assert sorted(set(episodes.rest_weights.tolist())) == [pytest.approx(0.05), 1.0]
    assert loss.item() == pytest.approx(-np.average(by_item, weights=episodes.rest_weights), rel=1e-5)

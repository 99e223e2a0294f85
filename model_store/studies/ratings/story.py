"""The story of the MeLU protocol: read, divide, choose, train, judge."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import numpy as np
from rich.console import Console

from model_store.config import DEFAULT_READ_OPTIONS, RatingConfig, ReadOptions
from model_store.data.schema import Dataset, Events, ItemFeatures
from model_store.data.sources import prepare, read_source
from model_store.data.split import UserSplit, split_users
from model_store.errors import DataError
from model_store.evaluation.metrics import bootstrap_interval
from model_store.progress import Bar, bar
from model_store.studies.ratings.baselines import baselines
from model_store.studies.ratings.episodes import MAX_QUERY, RatedUsers
from model_store.studies.ratings.metrics import graded_ndcg, mean_absolute_error
from model_store.studies.ratings.model import Known, Predictions, RatingModel, no_features
from model_store.studies.ratings.published import published
from model_store.studies.ratings.quadrants import (
    MAX_RATINGS,
    MIN_RATINGS,
    WARM,
    NewItems,
    Quadrant,
    find_new_items,
    make_quadrants,
)
from model_store.studies.ratings.training import Choice, Epoch, choose, refit

Results = dict[str, Any]
Predict = Callable[[RatedUsers, Events], Predictions]

MODEL = "kshot"
NDCG_AT = (1, 3, 5)


def evaluate_ratings(
    source: str, config: RatingConfig, console: Console, reading: ReadOptions = DEFAULT_READ_OPTIONS
) -> Results:
    """Train the rating model on what existing users told about existing items, and judge it in all four quadrants.

    Returns:
        ``protocol``, ``data``, ``models`` (by name and quadrant: ``mae``, its 95% bootstrap interval over users, and
        ``ndcg@k``), ``published`` (the same where it is known) and ``training``.

    Raises:
        DataError: the source cannot be read, holds no ratings, or too few users have enough of them.
    """
    tables = read_source(source, reading)
    loaded = prepare(source, tables, reading)
    dataset = loaded.dataset
    if loaded.summary.kind != "ratings":
        raise DataError(f"{source}: values are {loaded.summary.kind}, expected ratings for the melu protocol")
    console.print(loaded.summary.render())
    split = split_users(dataset.events.n_users, config.seed)
    new_items = find_new_items(dataset, tables.items, config.seed)
    quadrants = make_quadrants(dataset.events, split, new_items.new)
    features = dataset.features if config.content else no_features(dataset.n_items)
    known = Known(features, _user_features(dataset))
    model, training = _train(known, quadrants[WARM].support, split, config, console)
    return {
        "data": loaded.summary.as_dict(),
        "protocol": _protocol(dataset, quadrants, new_items, config.seed),
        "models": {
            MODEL: judge(model.predict, quadrants),
            **_judge_baselines(features, quadrants, split, console),
        },
        "published": published(dataset.fingerprint, new_items.rule),
        "training": training,
    }


def _user_features(dataset: Dataset) -> ItemFeatures:
    """What is known about the users, one row a user; no features where the data has nothing about them."""
    found = dataset.attributes
    if found is None:
        return no_features(dataset.events.n_users)
    return ItemFeatures(found.names, found.indptr, found.ids, found.weights)


def judge(predict: Predict, quadrants: dict[str, Quadrant]) -> dict[str, Results]:
    """Figures of a model by quadrant; empty quadrants are left out."""
    return {name: _figures(predict, quadrant) for name, quadrant in quadrants.items() if len(quadrant.support.users)}


def _judge_baselines(
    features: ItemFeatures, quadrants: dict[str, Quadrant], split: UserSplit, console: Console
) -> dict[str, Results]:
    existing = quadrants[WARM].support
    learners, choosers = _only(existing, split.train), _only(existing, split.validation)
    judged = {}
    with bar(console, "baselines") as judging:
        for name, baseline in baselines(learners, choosers, features):
            judging.say(name)
            judged[name] = judge(baseline.predict, quadrants)
    return judged


def _figures(predict: Predict, quadrant: Quadrant) -> Results:
    ratings, scores = (each.reshape(-1, MAX_QUERY) for each in predict(quadrant.support, quadrant.query))
    values = quadrant.values()
    errors = mean_absolute_error(values, ratings)
    ndcg = {f"ndcg@{k}": float(graded_ndcg(values, scores, k).mean()) for k in NDCG_AT}
    return {"mae": float(errors.mean()), "mae_interval": list(bootstrap_interval(errors)), **ndcg}


def _train(
    known: Known, existing: RatedUsers, split: UserSplit, config: RatingConfig, console: Console
) -> tuple[RatingModel, Results]:
    started = time.monotonic()
    learners, choosers = _only(existing, split.train), _only(existing, split.validation)
    with bar(console, "choosing") as choosing:
        choice = choose(known, learners, choosers, config, _noting(choosing))
    with bar(console, "training", total=choice.best.number) as training:
        model = refit(known, existing, choice.best, config, _noting(training))
    return model, _training(choice, config, time.monotonic() - started)


def _noting(bar_: Bar) -> Callable[[Epoch], None]:
    def note(epoch: Epoch) -> None:
        validation = "" if np.isnan(epoch.validation) else f"  validation {epoch.validation:.4f}"
        bar_.advance(f"l2 {epoch.l2:g}, epoch {epoch.number}: loss {epoch.loss:.4f}{validation}")

    return note


def _only(rated: RatedUsers, users: np.ndarray) -> RatedUsers:
    return rated.select(np.flatnonzero(np.isin(rated.users, users)))


def _training(choice: Choice, config: RatingConfig, seconds: float) -> Results:
    return {
        "l2": choice.best.l2,
        "epochs": choice.best.number,
        "seconds": round(seconds, 1),
        "history": [asdict(epoch) for epoch in choice.history],
        "config": config.model_dump(),
    }


def _protocol(dataset: Dataset, quadrants: dict[str, Quadrant], new_items: NewItems, seed: int) -> Results:
    order = "time" if dataset.has_time else "sequence" if dataset.has_order else "random, seeded"
    return {
        "name": "melu",
        "ratings": [MIN_RATINGS, MAX_RATINGS],
        "query": MAX_QUERY,
        "order": order,
        "seed": seed,
        "items": dataset.n_items,
        "new_items": {"rule": new_items.rule, "count": int(new_items.new.sum())},
        "users": {name: len(quadrant.support.users) for name, quadrant in quadrants.items()},
    }

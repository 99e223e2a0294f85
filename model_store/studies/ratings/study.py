"""Study of rating prediction by MeLU's protocol: read, divide, choose, train, judge."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from rich.console import Console

from model_store.config import DEFAULT_READ_OPTIONS, RatingConfig, ReadOptions
from model_store.data.schema import Dataset, Events, ItemFeatures
from model_store.data.sources import prepare, read_source
from model_store.data.split import UserSplit, split_users
from model_store.errors import DataError
from model_store.evaluation.cohorts import order_of
from model_store.evaluation.figures import MODEL, Figure, Figures
from model_store.evaluation.metrics import bootstrap_interval
from model_store.progress import Bar, bar
from model_store.studies.ratings.biases import baselines
from model_store.studies.ratings.fitting import Choice, Epoch, choose, refit
from model_store.studies.ratings.model import Predictions, RatingModel, SideInformation, no_features
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
from model_store.studies.ratings.rated_users import MAX_QUERY, RatedUsers
from model_store.studies.ratings.rating_metrics import graded_ndcg, mean_absolute_error
from model_store.studies.ratings.results import NewItemsRule, RatingProtocol, RatingResults, RatingTraining

Predict = Callable[[RatedUsers, Events], Predictions]

NDCG_AT = (1, 3, 5)


def evaluate_ratings(
    source: str, config: RatingConfig, console: Console, reading: ReadOptions = DEFAULT_READ_OPTIONS
) -> RatingResults:
    """Train the rating model on existing users' ratings of existing items, and judge it in all four quadrants.

    Raises:
        DataError: the source cannot be read, has no ratings, or too few users have enough of them.
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
    side = SideInformation(features, _user_features(dataset))
    model, training = _train(side, quadrants[WARM].support, split, config, console)
    models = {MODEL: judge(model.predict, quadrants), **_judge_baselines(features, quadrants, split, console)}
    return RatingResults(
        data=loaded.summary,
        protocol=_protocol(dataset, quadrants, new_items, config.seed),
        models=models,
        published=published(dataset.fingerprint, new_items.rule),
        training=training,
    )


def _user_features(dataset: Dataset) -> ItemFeatures:
    """Attributes of the users, one row per user; no features if the data has no attributes."""
    attributes = dataset.attributes
    if attributes is None:
        return no_features(dataset.events.n_users)
    return ItemFeatures(attributes.names, attributes.indptr, attributes.ids, attributes.weights)


def judge(predict: Predict, quadrants: dict[str, Quadrant]) -> dict[str, Figures]:
    """Figures of a model by quadrant; empty quadrants are left out."""
    return {name: _figures(predict, quadrant) for name, quadrant in quadrants.items() if len(quadrant.support.users)}


def _judge_baselines(
    features: ItemFeatures, quadrants: dict[str, Quadrant], split: UserSplit, console: Console
) -> dict[str, dict[str, Figures]]:
    existing = quadrants[WARM].support
    training, validation = _only(existing, split.train), _only(existing, split.validation)
    models = {}
    with bar(console, "baselines") as judging:
        for name, baseline in baselines(training, validation, features):
            judging.say(name)
            models[name] = judge(baseline.predict, quadrants)
    return models


def _figures(predict: Predict, quadrant: Quadrant) -> Figures:
    predictions, values = predict(quadrant.support, quadrant.query), quadrant.values()
    errors = mean_absolute_error(values, predictions.ratings.reshape(-1, MAX_QUERY))
    scores = predictions.scores.reshape(-1, MAX_QUERY)
    ndcg = {f"ndcg@{k}": Figure(float(graded_ndcg(values, scores, k).mean())) for k in NDCG_AT}
    return {"mae": Figure(float(errors.mean()), bootstrap_interval(errors)), **ndcg}


def _train(
    side: SideInformation, existing: RatedUsers, split: UserSplit, config: RatingConfig, console: Console
) -> tuple[RatingModel, RatingTraining]:
    started = time.monotonic()
    training, validation = _only(existing, split.train), _only(existing, split.validation)
    with bar(console, "choosing") as choosing:
        choice = choose(side, training, validation, config, _noting(choosing))
    with bar(console, "training", total=choice.best.number) as fitting:
        model = refit(side, existing, choice.best, config, _noting(fitting))
    return model, _training(choice, config, time.monotonic() - started)


def _noting(bar_: Bar) -> Callable[[Epoch], None]:
    def note(epoch: Epoch) -> None:
        validation = "" if np.isnan(epoch.validation) else f"  validation {epoch.validation:.4f}"
        bar_.advance(f"l2 {epoch.l2:g}, epoch {epoch.number}: loss {epoch.loss:.4f}{validation}")

    return note


def _only(rated: RatedUsers, users: NDArray[np.int64]) -> RatedUsers:
    return rated.select(np.flatnonzero(np.isin(rated.users, users)))


def _training(choice: Choice, config: RatingConfig, seconds: float) -> RatingTraining:
    return RatingTraining(
        l2=choice.best.l2,
        epochs=choice.best.number,
        seconds=round(seconds, 1),
        history=choice.history,
        config=config,
    )


def _protocol(dataset: Dataset, quadrants: dict[str, Quadrant], new_items: NewItems, seed: int) -> RatingProtocol:
    return RatingProtocol(
        name="melu",
        ratings=(MIN_RATINGS, MAX_RATINGS),
        query=MAX_QUERY,
        order=order_of(dataset),
        seed=seed,
        items=dataset.n_items,
        new_items=NewItemsRule(rule=new_items.rule, count=int(new_items.new.sum())),
        users={name: len(quadrant.support.users) for name, quadrant in quadrants.items()},
    )

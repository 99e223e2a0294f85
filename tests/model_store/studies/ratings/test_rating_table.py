"""The table of the MeLU protocol."""

from __future__ import annotations

import pytest
from rich.console import Console

from model_store.config import RatingConfig
from model_store.data.summary import Summary
from model_store.evaluation.figures import Figure, Figures
from model_store.studies.ratings.fitting import Epoch
from model_store.studies.ratings.quadrants import QUADRANTS, WARM
from model_store.studies.ratings.rating_table import rating_table
from model_store.studies.ratings.results import NewItemsRule, RatingProtocol, RatingResults, RatingTraining


def figures(mae: float) -> Figures:
    ndcg = {f"ndcg@{k}": Figure(0.8) for k in (1, 3, 5)}
    return {"mae": Figure(mae, (mae - 0.1, mae + 0.1)), **ndcg}


@pytest.fixture
def results() -> RatingResults:
    summary = Summary(
        source="made up", kind="ratings", order="time", n_users=9, n_items=120, n_items_with_events=120, n_events=99,
        n_features=1, n_attributes=0, n_users_described=0, density=0.5, median_events=2.0, liked_at_least=4.0,
        liked_share=0.5, histogram=(), notes=(), value_min=1.0, value_max=5.0, reason="", types={},
    )  # fmt: skip
    return RatingResults(
        data=summary,
        protocol=RatingProtocol(
            name="melu",
            ratings=(13, 100),
            query=10,
            order="time",
            seed=0,
            items=120,
            new_items=NewItemsRule(rule="year >= 1998", count=24),
            users=dict.fromkeys(QUADRANTS, 1234),
        ),
        models={name: dict.fromkeys(QUADRANTS, figures(mae)) for name, mae in {"kshot": 0.71, "bias": 0.75}.items()},
        published={"elsewhere": {name: {"mae": Figure(0.75)} for name in QUADRANTS}},
        training=RatingTraining(
            l2=16.0, epochs=1, seconds=0.1, history=(Epoch(16.0, 1, 1.2, 1.3),), config=RatingConfig()
        ),
    )


def shown(results: RatingResults) -> str:
    console = Console(width=160)
    with console.capture() as captured:
        console.print(rating_table(results))
    return captured.get()


def test_the_table_has_every_model_and_the_published_figures(results: RatingResults) -> None:
    text = shown(results)
    rows = [line.split()[0] for line in text.splitlines() if line.strip()]
    assert rows.count("kshot") == 4  # once per metric
    assert rows.count("elsewhere") == 1
    assert "24 of 120 (year >= 1998)" in text
    assert "0.7100" in text
    assert "1,234 users" in text


def test_an_empty_quadrant_is_shown_as_absent(results: RatingResults) -> None:
    models = {name: {WARM: quadrants[WARM]} for name, quadrants in results.models.items()}
    text = shown(results.model_copy(update={"models": models}))
    assert next(line for line in text.splitlines() if "kshot" in line).split()[-3:] == ["-", "-", "-"]

"""Results of a made-up training, with every section of the report."""

from __future__ import annotations

import math

import numpy as np

from model_store.baselines.grids import Tuning
from model_store.config import TrainingConfig
from model_store.data.summary import ColumnFact, HistogramBar, Summary
from model_store.evaluation import comparison
from model_store.evaluation.protocol import Judgement
from model_store.reports.results import CalibratedShots, Calibration, Epoch, KShotResults, Protocol, Training
from model_store.tables.notes import Note

SHOTS = (0, 1, 3, 5, 10, 20)
GAINS = {"kshot": 0.05, "popularity": 0.0, "item-kNN": 0.02, "EASE": 0.03}


def judgements(gains: dict[str, float], shots: tuple[int, ...] = SHOTS) -> comparison.Judgements:
    """Models with a gain per event, on 60 users."""
    rng = np.random.default_rng(0)
    noise = rng.normal(0, 0.02, 60)
    models = {}
    for name, gain in gains.items():
        noise_of_model = rng.normal(0, 0.001, 60)
        ndcg = {k: 0.4 + gain * math.log1p(k) + noise + noise_of_model for k in shots}
        models[name] = {
            k: Judgement(
                {
                    "ndcg@10": values,
                    "recall@20": 0.8 * values,
                    "hr@10": 1.5 * values,
                    "mrr": 1.1 * values,
                    "diversity@10": 0.9 - values / 2,
                    "novelty@10": 1 + values,
                    "long-tail@10": values / 9,
                },
                0.02 + gain,
            )
            for k, values in ndcg.items()
        }
    return models


def summary_of(**changes: object) -> Summary:
    """A data summary."""
    facts = {
        "source": "demo:movies", "kind": "ratings", "order": "time", "n_users": 671, "n_items": 9125,
        "n_items_with_events": 9066, "n_events": 100_004, "n_features": 30, "n_attributes": 0, "n_users_described": 0,
        "density": 0.0164, "median_events": 71.0, "liked_at_least": 4.0, "liked_share": 0.51,
        "histogram": (HistogramBar(4.0, 4.0, 28_750), HistogramBar(4.5, 5.0, 7_723)),
        "notes": (Note(17, "events dropped: the rating is no number"),), "value_min": 0.5, "value_max": 5.0,
        "reason": "", "types": {}, "columns": (ColumnFact("items", "year", "10 bins, 7 missing"),
        ColumnFact("users", "gender", "2 tags")), "warnings": ("items: column url became nothing",),
    }  # fmt: skip
    return Summary(**(facts | changes))


def results_of(gains: dict[str, float] = GAINS, shots: tuple[int, ...] = SHOTS) -> KShotResults:
    """Results of a training."""
    judged = judgements(gains, shots)
    choice = {k: {"regularisation": 300, "beta": 10.0 * k} for k in shots}
    grid = {"regularisation": (100, 300), "beta": (0, 10, 200)}
    weights = {"dense": 0.75, "votes": 1.5, "linear": 5.0}
    return KShotResults(
        data=summary_of(),
        protocol=Protocol(shots=shots, min_events=30, query_after=20, users=120, items=9125, seed=0, order="time"),
        models=comparison.figures(judged),
        baselines={
            "popularity": Tuning(),
            "EASE": Tuning(choice, grid, "covers the 5000 most liked of 9125 items"),
        },
        best_baseline=comparison.against_best_baseline(judged),
        training=Training(
            history=tuple(Epoch(epoch=n, loss=7.5 - n / 8, validation=0.3 + n / 99) for n in range(1, 9)),
            best_epoch=7,
            seconds=41.2,
            calibration=Calibration(
                users=100,
                parts={"dense": "dense", "votes": "votes", "linear": "linear memory"},
                regularisations={"linear": 300.0},
                regularisation=300.0,
                shots={k: CalibratedShots(weights=weights, before=0.3, after=0.3125) for k in shots if k},
            ),
            config=TrainingConfig().model_dump(mode="json"),
        ),
    )

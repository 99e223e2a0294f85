"""Made-up events have the shape of MovieLens, and tastes that training can learn."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import polars as pl
import pytest
from root import ROOT

from model_store.data.sources import Loaded, load

SCALE = 0.01


@pytest.fixture(scope="module")
def events(tmp_path_factory: pytest.TempPathFactory) -> Loaded:
    folder = tmp_path_factory.mktemp("events")
    command = [sys.executable, "-m", "loadtests", "events", str(folder), "--scale", str(SCALE)]
    subprocess.run(command, cwd=ROOT, check=True, timeout=60)
    rows = pl.read_parquet(folder / "interactions.parquet")
    assert len(rows.unique(["user_id", "item_id"])) == len(rows)
    return load(str(folder))


def test_events_have_the_shape_of_movielens(events: Loaded) -> None:
    dataset, summary = events
    lengths = dataset.events.lengths()
    assert dataset.events.n_users == round(138_493 * SCALE)
    assert (summary.kind, summary.order, summary.n_features) == ("ratings", "time", 50)
    assert lengths.min() >= 18
    assert 55 < np.median(lengths) < 90
    assert lengths.max() > 5 * np.median(lengths)
    popularity = np.sort(np.bincount(dataset.events.items))[::-1]
    assert popularity[: len(popularity) // 10].sum() > 0.25 * popularity.sum()


def test_most_likes_of_a_user_are_of_few_kinds(events: Loaded) -> None:
    """Half of a user's likes are of four kinds of fifty."""
    dataset = events.dataset
    kind, rows = dataset.features.indices, dataset.events
    shares = []
    for user in range(200):
        run = rows.user(user)
        liked = kind[rows.items[run][rows.values[run] >= dataset.feedback.liked_at_least]]
        shares.append(np.sort(np.bincount(liked, minlength=50))[-4:].sum() / max(len(liked), 1))
    assert np.mean(shares) > 0.5

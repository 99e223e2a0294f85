"""The measurement of training: its events have the shape they are to have, its parts are functions that exist."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from root import ROOT

from model_store.data.sources import Loaded, load

SCALE = 0.01


@pytest.fixture(scope="module")
def events(tmp_path_factory: pytest.TempPathFactory) -> Loaded:
    folder = tmp_path_factory.mktemp("events")
    command = [sys.executable, "-m", "loadtests.worlds.events", folder, "--scale", SCALE]
    subprocess.run([str(part) for part in command], cwd=ROOT, check=True, timeout=60)
    assert len(pl.read_parquet(folder / "interactions.parquet").unique(["user_id", "item_id"])) == len(
        pl.read_parquet(folder / "interactions.parquet")
    )
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


def test_what_a_user_likes_is_of_few_kinds(events: Loaded) -> None:
    """So that there is something to learn: half of a user's likes are of four kinds of fifty."""
    dataset = events.dataset
    kind, own = dataset.features.indices, dataset.events
    shares = []
    for user in range(200):
        run = own.user(user)
        liked = kind[own.items[run][own.values[run] >= dataset.feedback.liked_at_least]]
        shares.append(np.sort(np.bincount(liked, minlength=50))[-4:].sum() / max(len(liked), 1))
    assert np.mean(shares) > 0.5


def test_parts_of_the_profile_are_functions_that_exist() -> None:
    text = (ROOT / "loadtests" / "training" / "profile.py").read_text(encoding="utf-8")
    parts = re.findall(r'^    "[^"]+": \("([^"]+)", "([^"]+)"\),$', text, flags=re.MULTILINE)
    assert len(parts) > 10
    torch = Path(importlib.util.find_spec("torch").origin).parent.parent
    files = [*(ROOT / "model_store").rglob("*.py"), torch / "torch/_tensor.py", torch / "torch/optim/adam.py"]
    for file, function in parts:
        (found,) = [path for path in files if str(path).endswith(file)]
        assert f"def {function}(" in found.read_text(encoding="utf-8"), (file, function)

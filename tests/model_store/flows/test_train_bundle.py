"""Training a bundle: nothing of a test user reaches it, and several splits are pooled."""

from __future__ import annotations

from pathlib import Path

import made_up
import numpy as np
import polars as pl
import pytest
from rich.console import Console

from model_store.bundle import Registry
from model_store.config import JudgingConfig, TrainingConfig
from model_store.data.sources import load
from model_store.data.split import split_users
from model_store.flows.train_bundle import judge_splits, train_bundle

QUIET = Console(quiet=True)
CONFIG = TrainingConfig(max_epochs=1, dim=8, anchors=16, neighbours=10)


def published(source: Path, bundles: Path) -> Path:
    train_bundle(str(source), bundles, CONFIG, JudgingConfig(shots=(0, 1, 3)), QUIET)
    return Registry(bundles).live_folder()


def test_nothing_of_a_test_user_reaches_the_bundle(source: Path, tmp_path: Path) -> None:
    """With the tastes of all test users inverted, the same bundle is learned, and other figures are reported."""
    dataset = load(str(source)).dataset
    test = [dataset.user_ids[user] for user in split_users(dataset.events.n_users, CONFIG.seed).test]
    inverted = tmp_path / "inverted"
    made_up.write_source(inverted)
    events = pl.read_parquet(inverted / "interactions.parquet")
    is_test = pl.col("user_id").is_in(test)
    opposite = pl.when(is_test).then(6 - pl.col("value")).otherwise(pl.col("value"))
    events.with_columns(value=opposite).write_parquet(inverted / "interactions.parquet")

    first, second = published(source, tmp_path / "first"), published(inverted, tmp_path / "second")
    for name in ("items.vectors.npy", "neighbours.rows.npy", "neighbours.weights.npy"):
        np.testing.assert_array_equal(np.load(first / name), np.load(second / name))
    assert (first / "adapt.onnx").read_bytes() == (second / "adapt.onnx").read_bytes()
    assert (first / "report.json").read_bytes() != (second / "report.json").read_bytes()


def test_a_published_training_leaves_no_checkpoint(source: Path, tmp_path: Path) -> None:
    published(source, tmp_path)
    assert list((tmp_path / "checkpoints").glob("*")) == []


def test_several_splits_are_judged_as_one(source: Path) -> None:
    pooled = judge_splits(str(source), CONFIG, JudgingConfig(shots=(0, 1, 3)), QUIET, splits=2)
    users = [split.protocol.users for split in pooled.splits]
    assert [split.protocol.seed for split in pooled.splits] == [0, 1]
    assert (pooled.protocol.users, pooled.protocol.splits) == (sum(users), 2)
    for name, by_shots in pooled.models.items():
        means = [split.models[name][3]["ndcg@10"].mean for split in pooled.splits]
        assert by_shots[3]["ndcg@10"].mean == pytest.approx(np.average(means, weights=users))

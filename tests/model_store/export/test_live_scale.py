"""A training on another kind or scale of values than the live bundle's needs ``--new-scale``."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import orjson
import polars as pl
import pytest
from rich.console import Console

from model_store.bundle import FeedbackSpec, Registry
from model_store.bundle.manifest import SCHEMA_VERSION, DataFingerprint, Limits, Manifest, Shapes, sealed
from model_store.config import JudgingConfig, ReadOptions, TrainingConfig
from model_store.errors import DataError, TrainingError
from model_store.export.live_scale import check_scale, same_scale
from model_store.flows.train_bundle import train_bundle

QUIET = Console(quiet=True)


def spec(low: float, high: float, liked: float, kind: str = "ratings") -> FeedbackSpec:
    return FeedbackSpec(kind=kind, value_min=low, value_max=high, liked_at_least=liked, types={})


STARS = spec(1, 5, 4)


def serving(store: Path, feedback: FeedbackSpec) -> Registry:
    """A bundles folder whose live bundle is a manifest with these values and no other files."""
    manifest = Manifest(
        schema_version=SCHEMA_VERSION,
        version="before",
        created_at=datetime(2026, 1, 1, tzinfo=UTC),
        shapes=Shapes(items=1, state_dim=1, neighbours=1, features=0),
        limits=Limits(max_support=1, max_count=1),
        feedback=feedback,
        data=DataFingerprint(source="before", sha256="", users=1, items=1, events=1),
        training={},
        results={},
        signatures={},
        files={},
    )
    (store / "bundles" / "before").mkdir(parents=True)
    (store / "bundles" / "before" / "manifest.json").write_bytes(sealed(manifest))
    Registry(store).promote("before")
    return Registry(store)


@pytest.mark.parametrize(
    "new",
    [
        STARS,
        spec(2, 5, 4),  # no rating of 1
        spec(0.5, 5, 4),
        spec(0, 5, 4),
        spec(1, 5, 4.2),
    ],
)
def test_the_same_scale_is_published_though_rare_levels_are_missing(tmp_path: Path, new: FeedbackSpec) -> None:
    check_scale(serving(tmp_path, STARS), new)
    assert same_scale(new, STARS)


@pytest.mark.parametrize(
    "new",
    [
        spec(2, 10, 8),
        spec(1, 10, 8),
        spec(0, 100, 80),
        spec(0, 1, 1),
        spec(-5, 5, 3),
        spec(3, 5, 4),
        spec(1, 4, 4),
        spec(1, 5, 5),
        spec(1, 5, 3),
        spec(1, 5, 1, "counts"),
        spec(1, 1, 1, "clicks"),
    ],
)
def test_another_scale_is_refused_with_both(tmp_path: Path, new: FeedbackSpec) -> None:
    with pytest.raises(TrainingError, match=r"bundle before are ratings from 1 to 5, liked from 4, .* add --new-scale"):
        check_scale(serving(tmp_path, STARS), new)
    assert not same_scale(new, STARS)


@pytest.mark.parametrize("kind", ["counts", "clicks"])
def test_counts_and_clicks_may_have_other_ranges(tmp_path: Path, kind: str) -> None:
    check_scale(serving(tmp_path, spec(1, 178, 1, kind)), spec(1, 4000, 1, kind))


def test_decimals_need_not_reach_the_same_top(tmp_path: Path) -> None:
    check_scale(serving(tmp_path, spec(1, 10, 8)), spec(1.04, 9.96, 8))


def test_a_bundle_from_before_kinds_is_compared_by_its_scale(tmp_path: Path) -> None:
    before = FeedbackSpec(value_min=1, value_max=5, liked_at_least=4, types={})
    registry = serving(tmp_path, before)
    manifest = registry.live_folder() / "manifest.json"
    content = orjson.loads(manifest.read_bytes())
    del content["feedback"]["kind"], content["seal"]
    manifest.write_bytes(orjson.dumps(content))
    for new in (STARS, spec(1, 178, 1, "counts"), spec(1, 1, 1, "clicks")):
        check_scale(registry, new)
    with pytest.raises(TrainingError, match="bundle before are values from 1 to 5, liked from 4"):
        check_scale(registry, spec(2, 10, 8))


def test_an_empty_bundles_folder_accepts_any_scale(tmp_path: Path) -> None:
    check_scale(Registry(tmp_path), STARS)


def write_stars(folder: Path, times: float) -> str:
    rng = np.random.default_rng(0)
    frame = {
        "user_id": np.repeat(np.arange(12), 10),
        "item_id": np.concatenate([rng.permutation(20)[:10] for _ in range(12)]),
        "value": times * rng.choice([1.0, 2.0, 4.0, 5.0], 120),
    }
    folder.mkdir()
    pl.DataFrame(frame).write_parquet(folder / "interactions.parquet")
    return str(folder)


def test_a_training_on_another_scale_ends_before_it_begins(tmp_path: Path) -> None:
    serving(tmp_path / "store", STARS)
    doubled = write_stars(tmp_path / "doubled", 2)
    with pytest.raises(TrainingError, match=r"data are ratings from 2 to 10, liked from 8; .* --new-scale"):
        train_bundle(doubled, tmp_path / "store", TrainingConfig(), JudgingConfig(), QUIET)
    # No user has 50 events. With --new-scale, and on the same scale, the check of the shots is reached and refuses.
    for source, new_scale in ((doubled, True), (write_stars(tmp_path / "same", 1), False)):
        with pytest.raises(DataError, match="ask for fewer shots"):
            train_bundle(
                source, tmp_path / "store", TrainingConfig(), JudgingConfig(shots=(0, 50)), QUIET, new_scale=new_scale
            )


def test_another_liked_value_is_another_scale(tmp_path: Path) -> None:
    serving(tmp_path / "store", STARS)
    source = write_stars(tmp_path / "same", 1)
    with pytest.raises(TrainingError, match=r"data are ratings from 1 to 5, liked from 2; .* --new-scale"):
        train_bundle(source, tmp_path / "store", TrainingConfig(), JudgingConfig(), QUIET, ReadOptions(liked_from=2))

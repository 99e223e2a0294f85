"""Ablations beside the figures of the bundle."""

from __future__ import annotations

from pathlib import Path

import pytest
from rich.console import Console

from model_store.config import JudgingConfig, TrainingConfig
from model_store.flows.train_bundle import judge_splits

CONFIG = TrainingConfig(max_epochs=1, dim=8, anchors=16, neighbours=10)


def test_ablations_are_judged_like_the_bundle(source: Path) -> None:
    judging = JudgingConfig(shots=(0, 1, 3), max_items=50, ablations=True)
    results = judge_splits(str(source), CONFIG, judging, Console(quiet=True))
    variants = results.ablations
    retrained = {"trained without content", "trained without ages", "trained with entropy 0.5"}
    assert {"without votes", "without ages", *retrained} < set(variants)
    # The bundle and the network that it was exported from rank alike.
    for k, figures in variants["kshot"].items():
        assert figures["ndcg@10"].mean == pytest.approx(results.models["kshot"][k]["ndcg@10"].mean, abs=1e-4)
    assert variants["trained with entropy 0.5"][3] != variants["kshot"][3]

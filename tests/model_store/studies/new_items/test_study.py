"""Items without history, from training to the bundle, in a world where content decides."""

from __future__ import annotations

import re
from pathlib import Path

import made_up
import numpy as np
import pytest
import typer
from rich.console import Console
from typer.testing import CliRunner

from model_store.bundle import NO_BIASES, RankRequest, Registry, UserSupport
from model_store.commands.evaluate import evaluate
from model_store.config import JudgingConfig, TrainingConfig
from model_store.data.sources import load
from model_store.export import write_draft
from model_store.learning.experiment import Experiment
from model_store.learning.learn import learn
from model_store.studies.new_items.protocol import hold_out, without_items
from model_store.studies.new_items.study import evaluate_new_items

QUIET = Console(quiet=True)
CONFIG = TrainingConfig(max_epochs=6, dim=16, anchors=32, neighbours=20)
SHOTS = (0, 1, 3, 5)


def test_new_items_are_ranked_by_content(source: Path) -> None:
    results = evaluate_new_items(str(source), CONFIG, JudgingConfig(shots=SHOTS), QUIET)
    assert list(results.models) == [
        "kshot",
        "random",
        "content popularity",
        "content-kNN",
        "content-kNN + popularity",
    ]
    kshot, random = results.models["kshot"], results.models["random"]
    assert kshot[5]["ndcg@10"].mean > 0.85
    assert kshot[5]["ndcg@10"].mean > kshot[1]["ndcg@10"].mean > random[1]["ndcg@10"].mean + 0.2
    assert results.protocol.items == made_up.GROUPS * made_up.ITEMS_PER_GROUP / 10


def test_a_bundle_ranks_an_item_without_history_by_its_content(source: Path, tmp_path: Path) -> None:
    everything = load(str(source)).dataset
    held_out = hold_out(everything, 0)
    dataset = without_items(everything, held_out)
    network = learn(Experiment.of(dataset, CONFIG, QUIET, SHOTS)).network
    groups = np.array([made_up.group_of(item_id) for item_id in dataset.item_ids])
    with write_draft(Registry(tmp_path), dataset, network, CONFIG) as draft:
        runtime = draft.open()
        graphs, catalogue = runtime.graphs, runtime.catalogue
        new = np.flatnonzero(held_out)
        for row in new:
            run = slice(dataset.features.indptr[row], dataset.features.indptr[row + 1])
            posted = graphs.encode_item(dataset.features.indices[run], dataset.features.weights[run])
            np.testing.assert_allclose(catalogue.vectors[row], posted, atol=1e-5)
        old = np.flatnonzero(~held_out)
        for group in np.unique(groups[new]):
            rows = old[groups[old] == group][:5].astype(np.int64)
            support = UserSupport.encode(rows, np.full(len(rows), 5, np.float32), np.zeros(len(rows)))
            request = RankRequest(runtime.adapt([support])[0], support, NO_BIASES, 10)
            scores = runtime.exact_scores([request])[0, new]
            assert scores[groups[new] == group].min() > scores[groups[new] != group].max()


@pytest.fixture
def command() -> typer.Typer:
    app = typer.Typer()
    app.command()(evaluate)
    return app


def test_a_bundle_trained_on_all_items_is_refused(command: typer.Typer, source: Path, tmp_path: Path) -> None:
    arguments = ["--data", str(source), "--protocol", "new-items", "--bundles", str(tmp_path)]
    ended = CliRunner().invoke(command, arguments)
    assert ended.exit_code == 1
    reason = "--protocol new-items trains a model of its own, expected no --bundles"
    assert ended.stderr == f"error: --bundles {tmp_path}: {reason}\n"


@pytest.mark.parametrize("options", [["--bundles", "anywhere"], ["--protocol", "new-items"]])
def test_ablations_train_for_the_k_shot_protocol_only(command: typer.Typer, source: Path, options: list[str]) -> None:
    ended = CliRunner().invoke(command, ["--data", str(source), "--ablations", *options])
    assert ended.exit_code == 1
    assert re.search("--ablations.* trains .* of its own, expected no ", ended.stderr)

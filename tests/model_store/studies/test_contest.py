"""``kshot compare``: the same users for all algorithms, and a paired difference to the reference."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import typer
from rich.console import Console
from typer.testing import CliRunner

from model_store.commands.compare import compare
from model_store.config import AlgorithmName, TrainingConfig
from model_store.errors import DataError
from model_store.evaluation.figures import HEADLINE
from model_store.reports.results import ContestResults
from model_store.studies import contest

CONFIG = TrainingConfig(max_epochs=1, dim=8, anchors=16, neighbours=10)
NAMES = (AlgorithmName.KSHOT, AlgorithmName.JOINT)


@pytest.fixture(scope="module")
def results(source: Path) -> ContestResults:
    return contest.compare(str(source), NAMES, CONFIG, (0, 1, 3), Console(quiet=True))


def test_every_algorithm_is_judged_whole_and_by_its_dense_part(results: ContestResults) -> None:
    for part in (results.whole, results.dense):
        assert list(part.models) == ["kshot", "joint"]
        for by_shots in part.models.values():
            assert set(by_shots) == {0, 1, 3}
            assert 0.5 < by_shots[3][HEADLINE].mean <= 1  # in a world of groups
    algorithms = {name: training.config["algorithm"] for name, training in results.training.items()}
    assert algorithms == {"kshot": "kshot", "joint": "joint"}


def test_the_difference_to_the_reference_is_that_of_the_means(results: ContestResults) -> None:
    for part in (results.whole, results.dense):
        assert set(part.against_reference) == {"joint"}
        for k, compared in part.against_reference["joint"].items():
            gain = part.models["joint"][k][HEADLINE].mean - part.models["kshot"][k][HEADLINE].mean
            assert compared.difference == pytest.approx(gain)
            assert compared.interval[0] <= gain <= compared.interval[1]


def test_the_default_is_first_and_the_reference() -> None:
    assert contest.algorithms_of("maml, kshot") == (AlgorithmName.KSHOT, AlgorithmName.MAML)
    assert contest.algorithms_of("maml,anil") == (AlgorithmName.MAML, AlgorithmName.ANIL)


@pytest.mark.parametrize("text", ["", "mamal", "maml,maml", "kshot,"])
def test_an_unknown_algorithm_is_named_with_the_existing_ones(text: str) -> None:
    with pytest.raises(DataError, match=r"expected different names out of kshot, maml, .*joint"):
        contest.algorithms_of(text)


def test_the_command_writes_every_number(source: Path, tmp_path: Path) -> None:
    app, out = typer.Typer(), tmp_path / "out.json"
    app.command()(compare)
    flags = ["--algorithms", "matching", "--max-epochs", "1", "--shots", "0,1", "--json", str(out)]
    ended = CliRunner().invoke(app, ["--data", str(source), *flags])
    assert ended.exit_code == 0, ended.stderr
    assert set(json.loads(out.read_text())["whole"]["models"]["matching"]) == {"0", "1"}

"""``kshot compare``: the same users, a paired difference, a table that names the best."""

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
from model_store.evaluation.protocol import HEADLINE
from model_store.reports.algorithm_table import algorithm_table
from model_store.studies import contest

CONFIG = TrainingConfig(max_epochs=1, dim=8, anchors=16, neighbours=10)
NAMES = (AlgorithmName.KSHOT, AlgorithmName.JOINT)


@pytest.fixture(scope="module")
def results(source: Path) -> dict:
    found = contest.compare(str(source), NAMES, CONFIG, (0, 1, 3), Console(quiet=True))
    return json.loads(json.dumps(found))


def test_every_algorithm_is_judged_whole_and_alone(results: dict) -> None:
    for part in ("whole", "dense"):
        assert list(results[part]["models"]) == ["kshot", "joint"]
        for by_shots in results[part]["models"].values():
            assert set(by_shots) == {"0", "1", "3"}
            assert 0.5 < by_shots["3"][HEADLINE] <= 1  # in a world of groups
    assert {name: each["config"]["algorithm"] for name, each in results["training"].items()} == {
        "kshot": "kshot",
        "joint": "joint",
    }


def test_the_difference_to_the_reference_is_that_of_the_means(results: dict) -> None:
    for part in ("whole", "dense"):
        models, against = results[part]["models"], results[part]["against_reference"]
        assert set(against) == {"joint"}
        for k, compared in against["joint"].items():
            found = models["joint"][k][HEADLINE] - models["kshot"][k][HEADLINE]
            assert compared["difference"] == pytest.approx(found)
            assert compared["interval"][0] <= found <= compared["interval"][1]


def test_the_table_names_the_best_and_the_difference() -> None:
    def judged(ndcg: float) -> dict:
        return {"1": {HEADLINE: ndcg, f"{HEADLINE} interval": [ndcg - 0.01, ndcg + 0.02]}}

    compared = {"joint": {"1": {HEADLINE: 0.4, "difference": 0.04, "interval": [0.01, 0.07]}}}
    part = {"models": {"kshot": judged(0.4), "joint": judged(0.44)}, "against_reference": compared}
    made_up_results = {
        "protocol": {"shots": [1], "users": 80, "items": 240, "order": "time", "query_after": 3},
        "reference": "kshot",
        "training": {"kshot": {"seconds": 12.4}, "joint": {"seconds": 3.0}},
        "whole": part,
        "dense": part,
    }
    console = Console(width=80, record=True, quiet=False, file=Path("/dev/null").open("w"))  # noqa: SIM115 - closed with the test
    console.print(algorithm_table(made_up_results))
    console.file.close()
    rows = [line.split() for line in console.export_text().splitlines()]
    assert ["kshot", ".400±15", "12"] in rows
    assert ["best", "joint"] in rows
    assert ["joint", "+10.0%", "*"] in rows


def test_the_default_stands_first_and_is_the_reference() -> None:
    assert contest.algorithms_of("maml, kshot") == (AlgorithmName.KSHOT, AlgorithmName.MAML)
    assert contest.algorithms_of("maml,anil") == (AlgorithmName.MAML, AlgorithmName.ANIL)


@pytest.mark.parametrize("text", ["", "mamal", "maml,maml", "kshot,"])
def test_an_algorithm_that_there_is_not_is_named_with_those_there_are(text: str) -> None:
    with pytest.raises(DataError, match=r"expected different names out of kshot, maml, .*joint"):
        contest.algorithms_of(text)


def test_the_command_writes_every_number(source: Path, tmp_path: Path) -> None:
    app, out = typer.Typer(), tmp_path / "out.json"
    app.command()(compare)
    flags = ["--algorithms", "matching", "--max-epochs", "1", "--shots", "0,1", "--json", str(out)]
    ended = CliRunner().invoke(app, ["--data", str(source), *flags])
    assert ended.exit_code == 0, ended.stderr
    assert set(json.loads(out.read_text())["whole"]["models"]["matching"]) == {"0", "1"}

"""Options and output that all load tests share."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import pytest

from loadtests.kit.cli import LoadTest, run
from loadtests.kit.errors import LoadTestError


def made(options: argparse.Namespace) -> dict[str, object]:
    return {"items": options.items, "users": options.users, "bundles": str(options.bundles)}


def table(result: dict[str, object]) -> str:
    return f"table of {result['items']}"


DEFAULTS = {"items": 100, "users": [1, 2], "bundles": None}
TEST = LoadTest(made, table, DEFAULTS, smoke={"items": 3}, passed=lambda result: result["items"] != 13)


def options(*arguments: str) -> argparse.Namespace:
    return TEST.options(list(arguments), "made", "A made-up load test.")


def test_defaults_give_the_types_of_options() -> None:
    assert (options().items, options().users, options().bundles) == (100, [1, 2], None)
    parsed = options("--items", "7", "--users", "5", "6", "7", "--bundles", "folder")
    assert (parsed.items, parsed.users, parsed.bundles) == (7, [5, 6, 7], Path("folder"))


def test_smoke_makes_it_small() -> None:
    assert options("--smoke", "--items", "7").items == 3


def test_json_goes_to_stdout_and_the_table_to_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(TEST, options()) == 0
    out, err = capsys.readouterr()
    result = json.loads(out)
    assert set(result) == {"machine", "commit", "command", "items", "users", "bundles"}
    assert err == "table of 100\n"


def test_json_into_a_file_leaves_stdout_to_the_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "result.json"
    assert run(TEST, options("--json", str(file))) == 0
    assert json.loads(file.read_text())["items"] == 100
    assert capsys.readouterr().out == "table of 100\n"


def test_a_result_that_does_not_pass_fails_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(TEST, options("--items", "13")) == 1
    assert capsys.readouterr().err == "table of 13\n"


def test_an_error_ends_with_its_message(capsys: pytest.CaptureFixture[str]) -> None:
    def fail(_: argparse.Namespace) -> dict[str, object]:
        raise LoadTestError("wrk is not on PATH")

    assert run(LoadTest(fail, table), LoadTest(fail, table).options([], "made", None)) == 1
    assert capsys.readouterr().err == "wrk is not on PATH\n"

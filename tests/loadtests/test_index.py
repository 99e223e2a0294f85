"""``python -m loadtests``: every load test is listed, runs by its name, and is suggested for its former name."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest

from loadtests.__main__ import FORMER, MODULES, listing, main
from loadtests.kit.cli import LoadTest

FOLDER = Path(importlib.import_module("loadtests").__file__ or "").parent


def test_the_index_holds_every_load_test() -> None:
    declared = {
        path.stem.replace("_", "-")
        for path in FOLDER.glob("*/*.py")
        if "\nLOAD_TEST = " in path.read_text(encoding="utf-8")
    }
    assert declared == set(MODULES)


@pytest.mark.parametrize("name", MODULES)
def test_a_load_test_explains_its_options(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as leaving:
        main([name, "--help"])
    assert leaving.value.code == 0
    text = capsys.readouterr().out
    module = importlib.import_module(MODULES[name])
    assert isinstance(module.LOAD_TEST, LoadTest)
    assert f"usage: python -m loadtests {name} " in text
    assert module.__doc__.partition("\n")[0] in text
    assert "--smoke" in text


def test_the_listing_has_one_line_per_load_test(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    lines = capsys.readouterr().out.splitlines()
    for name in MODULES:
        (line,) = [line for line in lines if line.startswith(f"  {name} ")]
        assert line.endswith(".")
        assert len(line) <= 120
    assert listing().splitlines() == lines


def test_the_readme_names_every_load_test() -> None:
    readme = (FOLDER / "README.md").read_text(encoding="utf-8")
    assert all(f"`{name}`" in readme for name in MODULES)


@pytest.mark.parametrize(
    ("name", "suggested"), [("run", "throughput"), ("hotpath", "request-path"), ("graph", "graphs")]
)
def test_an_unknown_name_gets_a_suggestion(name: str, suggested: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([name]) == 2
    assert f"no load test is called {name!r}; did you mean {suggested}?" in capsys.readouterr().err


def test_former_names_lead_to_load_tests() -> None:
    assert set(FORMER.values()) <= set(MODULES)
    assert not set(FORMER) & set(MODULES)


def test_a_name_with_underscores_works_too(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["request_path", "--help"])
    assert "usage: python -m loadtests request-path" in capsys.readouterr().out

"""Writes docs/results/reliability.md from the results of the chaos tests and of the last soak.

    python -m pytest tests/chaos --chaos-size long --junitxml build/chaos.xml
    PYTHONPATH=. python tests/chaos/report.py build/chaos.xml

``make chaos`` runs both commands; ``make soak`` runs the soak.
"""

from __future__ import annotations

import argparse
import ast
import itertools
import json
import xml.etree.ElementTree as ET
from dataclasses import dataclass
from pathlib import Path

from loadtests.kit.machine import provenance
from loadtests.kit.tables import markdown
from loadtests.serving.soak import table as soak_table

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "results" / "reliability.md"
SOAK = ROOT / "loadtests" / "results" / "soak.json"


@dataclass(frozen=True)
class Promise:
    """Result of a chaos test.

    Attributes:
        file: the test's file, relative to the root of the repository.
        test: name of the test.
        counts: counts that the test recorded.
        verdict: "kept", "broken" or "skipped".
        seconds: duration.
    """

    file: str
    test: str
    counts: str
    verdict: str
    seconds: float

    @property
    def words(self) -> str:
        """The name of the test as words."""
        name, _, parameters = self.test.partition("[")
        words = name.removeprefix("test_").replace("_", " ")
        return f"{words} ({parameters[:-1]})" if parameters else words


def read(path: Path) -> list[Promise]:
    """The tests of a JUnit file of pytest, in the order in which they ran."""
    return [_promise(case) for case in ET.parse(path).iter("testcase")]


def _promise(case: ET.Element) -> Promise:
    counts = ", ".join(f"{count.get('name')} {count.get('value')}".replace("_", " ") for count in case.iter("property"))
    broken = case.find("failure") is not None or case.find("error") is not None
    verdict = "broken" if broken else "kept" if case.find("skipped") is None else "skipped"
    file = case.attrib["classname"].replace(".", "/") + ".py"
    return Promise(file, case.attrib["name"], counts, verdict, float(case.attrib["time"]))


def page(promises: list[Promise]) -> str:
    """The whole page."""
    run = provenance()
    machine = "{processor}, {cores} cores, Python {python}".format(**run["machine"])
    kept = f"{sum(promise.verdict == 'kept' for promise in promises)} of {len(promises)} promises kept"
    seconds = sum(promise.seconds for promise in promises)
    lines = [
        "# Reliability",
        "",
        "Chaos tests break a running service, its user store and its files on purpose, and count the damage.",
        f"`make chaos` at commit `{run['commit']}` on {machine}: {kept}, {seconds:.0f} s.",
        "",
        "Repeat a row with `python -m pytest --chaos-size long` and its test.",
    ]
    for file, group in itertools.groupby(promises, key=lambda promise: promise.file):
        rows = [
            [promise.words, f"`{promise.file}::{promise.test}`", promise.counts or "one case", promise.verdict]
            for promise in group
        ]
        table = markdown(["promise", "test", "counts", "verdict"], rows)
        lines += ["", f"## {_first_line(ROOT / file)}", "", table]
    return "\n".join([*lines, *_soak()]) + "\n"


def _first_line(path: Path) -> str:
    text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or path.stem
    return text.splitlines()[0].rstrip(".")


def _soak() -> list[str]:
    if not SOAK.exists():
        return []
    result = json.loads(SOAK.read_text(encoding="utf-8"))
    return ["", "## A long run", "", f"`make soak` at commit `{result['commit']}`:", "", soak_table(result)]


def main() -> None:
    """Write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("junit", type=Path, help="JUnit file of the chaos tests")
    parser.add_argument("--page", type=Path, default=PAGE, help="page to write")
    options = parser.parse_args()
    text = page(read(options.junit))
    options.page.write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()

"""What was broken on purpose, and what was left: RELIABILITY.md, out of the results of the chaos tests.

    python -m pytest tests/chaos --chaos-size long --junitxml build/chaos.xml
    python -m tests.chaos.report build/chaos.xml

``make chaos`` does both. The figures of the last soak (``make soak``) join in.
"""

from __future__ import annotations

import ast
import itertools
import json
import sys
import xml.etree.ElementTree as ET
from dataclasses import dataclass
from pathlib import Path

from loadtests.kit.machine import provenance
from loadtests.serving.soak import table as soak_table

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "loadtests" / "RELIABILITY.md"
SOAK = ROOT / "loadtests" / "results" / "soak.json"


@dataclass(frozen=True)
class Promise:
    """One chaos test that ran.

    Attributes:
        file: the test's file, from the root of the repository.
        test: its name.
        counts: what it did and found, in its own words.
        verdict: "kept", "broken" or "skipped".
        took_s: seconds.
    """

    file: str
    test: str
    counts: str
    verdict: str
    took_s: float

    @property
    def words(self) -> str:
        """The promise, as the test's name says it."""
        name, _, parameters = self.test.partition("[")
        words = name.removeprefix("test_").replace("_", " ")
        return f"{words} ({parameters[:-1]})" if parameters else words


def read(path: Path) -> list[Promise]:
    """The tests in a JUnit file as pytest writes it, in the order in which they ran."""
    return [_promise(case) for case in ET.parse(path).iter("testcase")]


def _promise(case: ET.Element) -> Promise:
    counts = ", ".join(f"{each.get('name')} {each.get('value')}".replace("_", " ") for each in case.iter("property"))
    broken = case.find("failure") is not None or case.find("error") is not None
    verdict = "broken" if broken else "kept" if case.find("skipped") is None else "skipped"
    file = case.attrib["classname"].replace(".", "/") + ".py"
    return Promise(file, case.attrib["name"], counts, verdict, float(case.attrib["time"]))


def page(promises: list[Promise]) -> str:
    """The whole of RELIABILITY.md."""
    made_on = provenance()
    machine = "{processor}, {cores} cores, Python {python}".format(**made_on["machine"])
    kept = f"{sum(each.verdict == 'kept' for each in promises)} of {len(promises)} promises kept"
    took_s = sum(each.took_s for each in promises)
    lines = [
        "# What was broken on purpose, and what was left",
        "",
        f"`make chaos` at commit `{made_on['commit']}` on {machine}: {kept}, {took_s:.0f} s.",
        "",
        "The command of a row is `python -m pytest --chaos-size long` with what stands under it.",
    ]
    for file, group in itertools.groupby(promises, key=lambda promise: promise.file):
        lines += ["", f"## {_first_line(ROOT / file)}", "", *_table(list(group))]
    return "\n".join([*lines, *_soak()]) + "\n"


def _table(promises: list[Promise]) -> list[str]:
    head = ["| promise | command | counts | verdict |", "|---|---|---|---|"]
    return head + [
        f"| {each.words} | `{each.file}::{each.test}` | {each.counts or 'one case'} | {each.verdict} |"
        for each in promises
    ]


def _first_line(path: Path) -> str:
    text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or path.stem
    return text.splitlines()[0].rstrip(".")


def _soak() -> list[str]:
    if not SOAK.exists():
        return []
    result = json.loads(SOAK.read_text(encoding="utf-8"))
    return [
        "",
        "## Nothing grows in the long run",
        "",
        f"`make soak` at commit `{result['commit']}`:",
        "",
        soak_table(result),
    ]


if __name__ == "__main__":
    text = page(read(Path(sys.argv[1])))
    PAGE.write_text(text, encoding="utf-8")
    print(text)

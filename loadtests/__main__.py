"""Command line of the load tests: ``python -m loadtests`` lists them, ``python -m loadtests NAME`` runs one."""

from __future__ import annotations

import ast
import difflib
import importlib
import sys
from pathlib import Path

from loadtests.kit.cli import LoadTest, run

# Name → module, by folder. Modules are imported on use, because some need torch.
INDEX = {
    "serving": ("throughput", "sweep", "soak", "growth", "swap", "worker_memory"),
    "micro": ("graphs", "request_path", "middleware", "codec", "first_stages"),
    "training": ("profile", "torchrun"),
    "peers": ("comparison",),
    "worlds": ("events",),
}
MODULES = {name.replace("_", "-"): f"loadtests.{folder}.{name}" for folder, names in INDEX.items() for name in names}
# Names of the scripts before they became a package.
FORMER = {
    "against-peers": "comparison",
    "edge": "middleware",
    "hotpath": "request-path",
    "peers": "comparison",
    "processes": "torchrun",
    "records": "codec",
    "run": "throughput",
    "scorer": "graphs",
    "synthetic-events": "events",
    "training": "profile",
    "workers": "worker-memory",
}


def listing() -> str:
    """All load tests by folder, with the first lines of the modules' docstrings."""
    lines = ["python -m loadtests NAME [options], python -m loadtests NAME --help", ""]
    for folder, modules in INDEX.items():
        lines.append(f"{folder}/: {_summary(folder, '__init__')}")
        lines += [f"  {name.replace('_', '-'):15}{_summary(folder, name)}" for name in modules]
    return "\n".join(lines)


def main(arguments: list[str]) -> int:
    """Run the load test that the arguments name; returns the exit status."""
    if not arguments or arguments[0] in {"-h", "--help"}:
        print(listing())
        return 0
    name = arguments[0].replace("_", "-")
    if name not in MODULES:
        print(f"no load test is called {arguments[0]!r}{_suggestion(name)}", file=sys.stderr)
        return 2
    module = importlib.import_module(MODULES[name])
    test: LoadTest = module.LOAD_TEST
    return run(test, test.options(arguments[1:], name, module.__doc__))


def _suggestion(name: str) -> str:
    matches = [FORMER[name]] if name in FORMER else difflib.get_close_matches(name, MODULES, n=1)
    if matches:
        return f"; did you mean {matches[0]}?"
    return "; python -m loadtests lists all"


def _summary(folder: str, name: str) -> str:
    text = (Path(__file__).parent / folder / f"{name}.py").read_text(encoding="utf-8")
    return (ast.get_docstring(ast.parse(text)) or "").partition("\n")[0]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

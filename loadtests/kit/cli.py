"""Options, output and exit status that all load tests share.

JSON goes to standard output, progress and a table to standard error. With ``--json FILE`` the JSON goes to the file and
the table to standard output.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from loadtests.kit.errors import LoadTestError
from loadtests.kit.machine import provenance

Result = dict[str, Any]

# Options under which load tests agree; a load test names those it has, with its defaults.
SHARED_OPTIONS = {
    "bundles": "bundles folder with a live bundle, in place of a synthetic bundle",
    "connections": "requests under way at once",
    "items": "items of the synthetic catalogue",
    "keep": "folder that keeps synthetic bundles for later runs",
    "repeats": "runs of everything timed",
    "rounds": "rounds; everything measured has one turn per round",
    "seconds": "seconds of each measured load",
    "seed": "seed of random numbers",
    "users": "users that requests are drawn from",
    "warm_up": "seconds of load before the first measurement",
    "workers": "worker processes of the service",
}


def _no_options(_parser: argparse.ArgumentParser) -> None:
    pass


def _always(_result: Result) -> bool:
    return True


@dataclass(frozen=True)
class LoadTest:
    """A load test; its module names it ``LOAD_TEST``.

    Attributes:
        measure: runs it; options → result, JSON values.
        table: result → Markdown.
        defaults: the shared options that it has, with their defaults; a list takes several values, None a path.
        smoke: values under ``--smoke``, for a short run on small data.
        add_options: adds options that only this load test has.
        passed: False for a result that should fail the command.
    """

    measure: Callable[[argparse.Namespace], Result]
    table: Callable[[Result], str]
    defaults: Mapping[str, Any] = field(default_factory=dict)
    smoke: Mapping[str, Any] = field(default_factory=dict)
    add_options: Callable[[argparse.ArgumentParser], None] = _no_options
    passed: Callable[[Result], bool] = _always

    def options(self, arguments: list[str], name: str, description: str | None) -> argparse.Namespace:
        """Parse the command line after the load test's name."""
        parser = argparse.ArgumentParser(
            prog=f"python -m loadtests {name}",
            description=description,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        self.add_options(parser)
        for option, default in self.defaults.items():
            _add_shared(parser, option, default)
        parser.add_argument("--json", type=Path, metavar="FILE", help="write the JSON to FILE, the table to stdout")
        parser.add_argument("--smoke", action="store_true", help="a short run on small data: does it still work?")
        options = parser.parse_args(arguments)
        if options.smoke:
            vars(options).update(self.smoke)
        return options


def run(test: LoadTest, options: argparse.Namespace) -> int:
    """Run a load test and print its result; returns the exit status."""
    try:
        result = provenance() | test.measure(options)
    except LoadTestError as exc:
        print(exc, file=sys.stderr)
        return 1
    text = json.dumps(result, indent=2) + "\n"
    if options.json:
        options.json.write_text(text, encoding="utf-8")
    else:
        sys.stdout.write(text)
    print(test.table(result), file=sys.stdout if options.json else sys.stderr)
    return 0 if test.passed(result) else 1


def progress(text: str) -> None:
    """Print a line of progress to standard error."""
    print(text, file=sys.stderr, flush=True)


def _add_shared(parser: argparse.ArgumentParser, name: str, default: Any) -> None:
    option, text = f"--{name.replace('_', '-')}", SHARED_OPTIONS[name]
    if default is None:
        parser.add_argument(option, type=Path, metavar="DIR", help=text)
    elif isinstance(default, list):
        shown = " ".join(map(str, default))
        parser.add_argument(option, type=type(default[0]), nargs="+", default=default, help=f"{text} ({shown})")
    else:
        parser.add_argument(option, type=type(default), default=default, help=f"{text} ({default})")

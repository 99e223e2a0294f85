"""Chaos tests: short and seeded by default, in full with ``--chaos-size long`` (``make chaos``).

Every test records counts through the fixture ``record_counts``; they are printed at the end of the run.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

LONG_TIMEOUT_S = 3600

RecordCounts = Callable[..., None]
Sized = Callable[[int, int], int]
Progress = Callable[[int, int], None]

_COUNTS = pytest.StashKey[list[str]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--chaos-size", choices=("short", "long"), default="short", help="size of the chaos tests")


def is_long(config: pytest.Config) -> bool:
    # A run that starts above this folder parses options before it reads this file; then there is only the default.
    return bool(config.getoption("--chaos-size", "short") == "long")


@pytest.hookimpl(tryfirst=True)  # before pytest-timeout reads the marker
def pytest_itemcollected(item: pytest.Item) -> None:
    if item.path.name == "test_report.py":
        return  # a test of the page, which breaks nothing
    item.add_marker(pytest.mark.chaos)
    if is_long(item.config):
        item.add_marker(pytest.mark.timeout(LONG_TIMEOUT_S))


@pytest.fixture(scope="session")
def sized(pytestconfig: pytest.Config) -> Sized:
    """``sized(short, long)`` returns the number for the size of this run."""
    return lambda short, long: long if is_long(pytestconfig) else short


@pytest.fixture
def record_counts(request: pytest.FixtureRequest, pytestconfig: pytest.Config) -> RecordCounts:
    """``record_counts(acknowledged=200, missing=0)`` adds counts to the summary under the test's name."""
    summary = pytestconfig.stash.setdefault(_COUNTS, [])

    def record(**counts: object) -> None:
        request.node.user_properties.extend(counts.items())  # for --junitxml, from which report.py makes its page
        summary.append(f"{request.node.name}: " + ", ".join(f"{name} {count}" for name, count in counts.items()))

    return record


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    summary = terminalreporter.config.stash.get(_COUNTS, [])
    if summary:
        terminalreporter.section("counts of the chaos tests")
        terminalreporter.write_line("\n".join(summary))


@pytest.fixture
def progress(request: pytest.FixtureRequest, pytestconfig: pytest.Config) -> Progress:
    """``progress(done, of)`` shows the progress of a long run in the terminal."""
    terminal = pytestconfig.pluginmanager.get_plugin("terminalreporter")
    capture = pytestconfig.pluginmanager.get_plugin("capturemanager")
    shown = is_long(pytestconfig) and terminal is not None

    def show(done: int, of: int) -> None:
        if shown:
            with capture.global_and_fixture_disabled():
                terminal.rewrite(f"{request.node.name}: {done:,} of {of:,} ")

    return show

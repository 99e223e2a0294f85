"""Tests that break things for real: short and seeded by default, in full with ``--chaos-size long`` (``make chaos``).

Each states what it did in numbers, through the fixture ``tell``; they are printed when the run is over.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

LONG_TIMEOUT_S = 3600

Tell = Callable[..., None]
Sized = Callable[[int, int], int]
Progress = Callable[[int, int], None]

_TOLD = pytest.StashKey[list[str]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--chaos-size", choices=("short", "long"), default="short", help="how much the chaos tests do")


def is_long(config: pytest.Config) -> bool:
    # This file is read after the options where a run starts above its folder: then there is only the default.
    return bool(config.getoption("--chaos-size", "short") == "long")


@pytest.hookimpl(tryfirst=True)  # before pytest-timeout reads the marker
def pytest_itemcollected(item: pytest.Item) -> None:
    item.add_marker(pytest.mark.chaos)
    if is_long(item.config):
        item.add_marker(pytest.mark.timeout(LONG_TIMEOUT_S))


@pytest.fixture(scope="session")
def sized(pytestconfig: pytest.Config) -> Sized:
    """``sized(short, long)`` is the number that this run asks for."""
    return lambda short, long: long if is_long(pytestconfig) else short


@pytest.fixture
def tell(request: pytest.FixtureRequest, pytestconfig: pytest.Config) -> Tell:
    """``tell(acknowledged=200, missing=0)`` puts counts under the test's name into the summary."""
    told = pytestconfig.stash.setdefault(_TOLD, [])

    def tell_counts(**counts: object) -> None:
        request.node.user_properties.extend(counts.items())  # for --junitxml, out of which RELIABILITY.md is made
        told.append(f"{request.node.name}: " + ", ".join(f"{name} {count}" for name, count in counts.items()))

    return tell_counts


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    told = terminalreporter.config.stash.get(_TOLD, [])
    if told:
        terminalreporter.section("what was broken, and what was left")
        terminalreporter.write_line("\n".join(told))


@pytest.fixture
def progress(request: pytest.FixtureRequest, pytestconfig: pytest.Config) -> Progress:
    """``progress(done, of)`` shows how far a long run is, on its line of the terminal."""
    terminal = pytestconfig.pluginmanager.get_plugin("terminalreporter")
    capture = pytestconfig.pluginmanager.get_plugin("capturemanager")
    shown = is_long(pytestconfig) and terminal is not None

    def show(done: int, of: int) -> None:
        if shown:
            with capture.global_and_fixture_disabled():
                terminal.rewrite(f"{request.node.name}: {done:,} of {of:,} ")

    return show

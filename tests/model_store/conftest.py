from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest

WriteSource = Callable[..., str]

SHORT = 200


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--tables", type=int, default=SHORT, help="number of tables per property test")


@pytest.fixture(scope="session")
def examples(pytestconfig: pytest.Config) -> int:
    """Number of tables per property test; pytest ignores the option if it reads this file too late."""
    return int(pytestconfig.getoption("--tables", SHORT))


@pytest.fixture
def write_source(tmp_path: Path) -> WriteSource:
    """A function that writes a folder with interactions, items and users, and returns its SOURCE."""

    def write(
        interactions: dict[str, Any],
        items: dict[str, Any] | None = None,
        suffix: str = ".parquet",
        users: dict[str, Any] | None = None,
    ) -> str:
        for stem, table in (("interactions", interactions), ("items", items), ("users", users)):
            if table is not None:
                frame, path = pl.DataFrame(table), tmp_path / f"{stem}{suffix}"
                frame.write_parquet(path) if suffix == ".parquet" else frame.write_csv(path)
        return str(tmp_path)

    return write

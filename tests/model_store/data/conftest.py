from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest

WriteSource = Callable[..., str]


@pytest.fixture
def write_source(tmp_path: Path) -> WriteSource:
    """Writes a folder with interactions, items and users, and returns its SOURCE."""

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

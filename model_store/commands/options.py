"""Options that several commands share, and the values they are parsed into."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from model_store.bundle import Kind
from model_store.config import AlgorithmName, JudgingConfig, ReadOptions, Sweep, TrainingConfig, columns_of
from model_store.errors import DataError

DEFAULTS = TrainingConfig()
DEFAULT_BUNDLES = Path("store")

Data = Annotated[str, typer.Option(help="demo:movies, demo:grocery, or a folder with interactions and items.")]
Columns = Annotated[
    str | None,
    typer.Option(help="Names of columns in the data, e.g. user_id=userId,item_id=movieId,value=rating."),
]
Encoding = Annotated[str, typer.Option(help="Encoding of CSV files, e.g. latin-1.")]
FeedbackKind = Annotated[
    Kind | None,
    typer.Option("--feedback", help="Kind of the values: ratings, counts or clicks; chosen from the data if absent."),
]
LikedFrom = Annotated[
    float | None,
    typer.Option(help="Value from which an item counts as liked, e.g. 4 of 5; chosen from the data if absent."),
]
Bundles = Annotated[Path, typer.Option(help="Folder of published bundles.")]
Seed = Annotated[int, typer.Option(help="Seed of everything random; the same seed gives the same result.", min=0)]
Content = Annotated[bool, typer.Option(help="Use item features in the item vectors.")]
Shots = Annotated[
    str | None, typer.Option(help="The k to evaluate, e.g. 0,1,3,5,10,20; chosen from the data if absent.")
]
MaxItems = Annotated[
    int, typer.Option(help="Most liked items that item-kNN, EASE and multi-VAE cover; their matrices are dense.", min=2)
]
Tuning = Annotated[Sweep, typer.Option("--sweep", help="Size of the search for each baseline's hyperparameters.")]
Algorithm = Annotated[AlgorithmName, typer.Option(help="Meta-learning algorithm.")]
MaxEpochs = Annotated[int, typer.Option(help="Passes over the training users, at most.", min=1)]
Json = Annotated[Path | None, typer.Option(help="File that gets every number as JSON.")]


def read_options_of(
    columns: str | None, encoding: str, feedback: Kind | None = None, liked_from: float | None = None
) -> ReadOptions:
    """The options of reading data.

    Raises:
        DataError: ``columns`` cannot be parsed.
    """
    return ReadOptions(columns=columns_of(columns or ""), encoding=encoding, feedback=feedback, liked_from=liked_from)


def judging_of(shots: str | None, max_items: int, sweep: Sweep, *, ablations: bool = False) -> JudgingConfig:
    """The options of judging a model.

    Raises:
        DataError: ``shots`` cannot be parsed.
    """
    return JudgingConfig(shots=shots_of(shots), max_items=max_items, sweep=sweep, ablations=ablations)


def shots_of(text: str | None) -> tuple[int, ...] | None:
    """Parse "0,1,3": 0 first, since the figure at 0 is popularity's, then increasing numbers; None stays None.

    Raises:
        DataError: naming the text and the expectation.
    """
    if text is None:
        return None
    try:
        shots = tuple(int(part) for part in text.split(","))
    except ValueError:
        shots = ()
    if shots[:1] != (0,) or len(shots) == 1 or list(shots) != sorted(set(shots)):
        raise DataError(f"--shots {text!r}: expected 0 and then increasing numbers, e.g. 0,1,3,5,10,20")
    return shots

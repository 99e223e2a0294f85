"""The model store's commands: ``kshot inspect``, ``train``, ``evaluate``, ``compare`` and ``bundles``."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Annotated, Any

import orjson
import typer

from model_store.bundle import Kind, Registry, open_bundle
from model_store.bundle.candidates import import_faiss
from model_store.bundle.manifest import MANIFEST_FILE, read_manifest
from model_store.config import (
    DEFAULT_READ_OPTIONS,
    AlgorithmName,
    EvaluationProtocol,
    IndexName,
    RatingConfig,
    ReadOptions,
    Sweep,
    TrainingConfig,
    columns_of,
)
from model_store.errors import DataError, ModelStoreError

DEFAULT_STORE = Path("store")
DEFAULTS = TrainingConfig()

Data = Annotated[str, typer.Option(help="demo:movies, demo:grocery, or a folder with interactions and items.")]
Columns = Annotated[
    str | None,
    typer.Option(help="Columns of the data that have other names, e.g. user_id=userId,item_id=movieId,value=rating."),
]
Strict = Annotated[bool, typer.Option("--strict", help="Leave with 1 where the page has warnings.")]
Encoding = Annotated[str, typer.Option(help="Encoding of CSV files, e.g. latin-1.")]
FeedbackKind = Annotated[
    Kind | None,
    typer.Option(
        "--feedback", help="What values are: ratings on a scale, counts that add, or clicks; absent: decided."
    ),
]
LikedFrom = Annotated[
    float | None,
    typer.Option(help="Value from which an item counts as liked, e.g. 4 of 5; the data decides if absent."),
]
NewScale = Annotated[
    bool, typer.Option("--new-scale", help="Publish though values are of another kind or scale than the live bundle's.")
]
Store = Annotated[Path, typer.Option(help="Folder of the bundles.")]
Seed = Annotated[int, typer.Option(help="One seed gives one result.", min=0)]
Content = Annotated[bool, typer.Option(help="Let item features take part in the item vectors.")]
Shots = Annotated[str | None, typer.Option(help="The k to evaluate, e.g. 0,1,3,5,10,20; the data decides if absent.")]
MaxItems = Annotated[
    int, typer.Option(help="Items that item-kNN, EASE and multi-VAE cover; their matrices are dense.", min=2)
]
Tuning = Annotated[Sweep, typer.Option("--sweep", help="How many candidates of each baseline are tried.")]
Splits = Annotated[int, typer.Option(help="User splits to train and judge, without --store; seeds count up.", min=1)]
Json = Annotated[Path | None, typer.Option(help="Write every number to this file too.")]
AskedFor = Annotated[
    EvaluationProtocol,
    typer.Option(
        help="kshot: lists for new users. new-items: asks for a tenth of the items, held out. melu: predicted ratings."
    ),
]
Algorithm = Annotated[AlgorithmName, typer.Option(help="How the starting point is learned.")]
FirstStage = Annotated[
    IndexName,
    typer.Option("--index", help="exact reads all items for a list; approximate asks an index first."),
]
Ablations = Annotated[bool, typer.Option(help="Train and judge variants too: without content, ages; other queries.")]
MaxEpochs = Annotated[int, typer.Option(help="Passes over the training users, at most.", min=1)]
CrossFit = Annotated[
    bool,
    typer.Option(help="Let training users take part in the calibration where validation users are few; takes longer."),
]
TimeBudget = Annotated[float, typer.Option(help="Seconds after which the outer loop stops with its best.", min=1)]


def _clear_errors(command: Callable[..., None]) -> Callable[..., None]:
    """Print what this package raises on purpose as one line, and leave with 1."""

    @wraps(command)
    def run(*args: Any, **kwargs: Any) -> None:
        try:
            command(*args, **kwargs)
        except ModelStoreError as exc:
            typer.echo(f"error: {exc}", err=True)
            raise typer.Exit(1) from exc
        except OSError as exc:
            typer.echo(f"error: {_of_file_system(exc)}", err=True)
            raise typer.Exit(1) from exc
        except ModuleNotFoundError as exc:
            if exc.name not in {"torch", "polars", "scipy", "rich", "onnx", "matplotlib", "jinja2", "implicit"}:
                raise
            typer.echo(f'error: {exc.name} is not installed; training needs: pip install "kshot[train]"', err=True)
            raise typer.Exit(1) from exc

    return run


def _of_file_system(error: OSError) -> str:
    """One line about a file that could not be used, e.g. since the disk became full in the middle of a training."""
    what = error.filename or "a file"
    return (
        f"{what}: {error.strerror or error}; expected a file system with free space, and files that this user may read "
        "and write: mend that and run the command again"
    )


@_clear_errors
def inspect_data(
    data: Data,
    columns: Columns = None,
    encoding: Encoding = DEFAULT_READ_OPTIONS.encoding,
    feedback: FeedbackKind = None,
    liked_from: LikedFrom = None,
    strict: Strict = False,
    json: Json = None,
) -> None:
    """Print what DATA holds, without training: counts, what the columns became, warnings, and five users."""
    from model_store.data.sample import render_sample, sample_users
    from model_store.data.sources import load

    dataset, summary = load(data, _reading(columns, encoding, feedback, liked_from))
    sample = sample_users(dataset)
    typer.echo(f"{summary.render().plain}\n\n{render_sample(sample, summary.order).plain}")
    _write(summary.as_dict() | {"sample": [user.as_dict() for user in sample]}, json)
    if strict and summary.warnings:
        raise DataError(f"{data}: warnings above: {len(summary.warnings)}; --strict allows none")


@_clear_errors
def train(
    data: Data,
    store: Store = DEFAULT_STORE,
    seed: Seed = 0,
    content: Content = True,
    shots: Shots = None,
    algorithm: Algorithm = DEFAULTS.algorithm,
    max_epochs: MaxEpochs = DEFAULTS.max_epochs,
    time_budget_s: TimeBudget = DEFAULTS.time_budget_s,
    cross_fit: CrossFit = True,
    max_items: MaxItems = 5000,
    sweep: Tuning = Sweep.QUICK,
    index: FirstStage = DEFAULTS.index,
    columns: Columns = None,
    encoding: Encoding = DEFAULT_READ_OPTIONS.encoding,
    feedback: FeedbackKind = None,
    liked_from: LikedFrom = None,
    new_scale: NewScale = False,
    json: Json = None,
) -> None:
    """Meta-train on DATA, evaluate against tuned baselines, and publish a bundle to STORE.

    Under torchrun all processes take part in the outer loop, and the first one does the rest.
    """
    _must_be_writable(json)
    from model_store import jobs
    from model_store.meta.distributed import joined

    config = TrainingConfig(
        seed=seed,
        content=content,
        algorithm=algorithm,
        max_epochs=max_epochs,
        time_budget_s=time_budget_s,
        cross_fit_below=DEFAULTS.cross_fit_below if cross_fit else 0,
        index=index,
    )
    if index is IndexName.APPROXIMATE:
        import_faiss()  # its absence is told before the training, not after it
    console, judging, reading = (
        _console(),
        _judging(shots, max_items, sweep),
        _reading(columns, encoding, feedback, liked_from),
    )
    with joined() as world:
        if not world.is_first:
            jobs.assist(data, store, config, judging, reading)
            return
        version, results = jobs.train(data, store, config, judging, console, reading, new_scale=new_scale)
    _show(results, console, json)
    folder = Registry(store).folder(version)
    console.print(f"report: {folder / 'report.html'}", soft_wrap=True)
    # The version alone on standard output, so that scripts can take it.
    sys.stdout.write(f"{version}\n")


@_clear_errors
def evaluate(
    data: Data,
    store: Annotated[Path | None, typer.Option(help="Judge this store's live bundle; trains one if absent.")] = None,
    seed: Seed = 0,
    content: Content = True,
    shots: Shots = None,
    algorithm: Algorithm = DEFAULTS.algorithm,
    max_epochs: MaxEpochs = DEFAULTS.max_epochs,
    max_items: MaxItems = 10_000,
    sweep: Tuning = Sweep.FULL,
    splits: Splits = 1,
    protocol: AskedFor = EvaluationProtocol.KSHOT,
    ablations: Ablations = False,
    columns: Columns = None,
    encoding: Encoding = DEFAULT_READ_OPTIONS.encoding,
    feedback: FeedbackKind = None,
    liked_from: LikedFrom = None,
    json: Json = None,
) -> None:
    """Print the k-shot curve of the model and its tuned baselines on users never seen in training.

    With --protocol melu: errors of predicted ratings, for existing and new users and items, as in the MeLU paper.
    """
    _must_be_writable(json)
    reading = _reading(columns, encoding, feedback, liked_from)
    if protocol is not EvaluationProtocol.KSHOT:
        _refuse(protocol, {"--store": store, "--ablations": ablations or None})
    if protocol is EvaluationProtocol.MELU:
        _refuse(protocol, {"--shots": shots})
        _evaluate_ratings(data, RatingConfig(seed=seed, content=content, max_epochs=max_epochs), reading, json)
        return
    from model_store import jobs
    from model_store.studies.new_items import study as new_items

    console, judging = _console(), _judging(shots, max_items, sweep, ablations=ablations)
    config = TrainingConfig(seed=seed, content=content, algorithm=algorithm, max_epochs=max_epochs)
    if protocol is EvaluationProtocol.NEW_ITEMS:
        results = new_items.evaluate_new_items(data, config, judging, console, reading)
    elif store is None:
        results = jobs.evaluate_anew(data, config, judging, console, splits, reading)
    elif ablations:
        raise DataError(f"--ablations trains variants of its own, expected no --store {store}")
    else:
        results = jobs.evaluate_store(data, store, judging, console, reading)
    _show(results, console, json, ablations=ablations)


@_clear_errors
def compare(
    data: Data,
    algorithms: Annotated[str, typer.Option(help="Which to compare, e.g. kshot,maml; all if absent.")] = ",".join(
        AlgorithmName
    ),
    seed: Seed = 0,
    content: Content = True,
    shots: Shots = None,
    max_epochs: MaxEpochs = DEFAULTS.max_epochs,
    columns: Columns = None,
    encoding: Encoding = DEFAULT_READ_OPTIONS.encoding,
    feedback: FeedbackKind = None,
    liked_from: LikedFrom = None,
    json: Json = None,
) -> None:
    """Train each meta-learning algorithm on DATA and print their k-shot curves on users never seen in training."""
    _must_be_writable(json)
    from model_store import jobs
    from model_store.reports.algorithm_table import algorithm_table
    from model_store.studies import contest

    console, config = _console(), TrainingConfig(seed=seed, content=content, max_epochs=max_epochs)
    judged_at = None if shots is None else jobs.shots_of(shots)
    names, reading = contest.algorithms_of(algorithms), _reading(columns, encoding, feedback, liked_from)
    results = contest.compare(data, names, config, judged_at, console, reading)
    console.print(algorithm_table(results))
    _write(results, json)


def _refuse(protocol: EvaluationProtocol, options: dict[str, object]) -> None:
    for option, value in options.items():
        if value is not None:
            raise DataError(f"{option} {value}: --protocol {protocol} trains a model of its own, expected no {option}")


def _evaluate_ratings(data: str, config: RatingConfig, reading: ReadOptions, json: Path | None) -> None:
    from model_store.studies.ratings.story import evaluate_ratings
    from model_store.studies.ratings.table import rating_table

    console = _console()
    results = evaluate_ratings(data, config, console, reading)
    console.print(rating_table(results))
    _write(results, json)


def _judging(shots: str | None, max_items: int, sweep: Sweep, *, ablations: bool = False) -> Any:
    from model_store import jobs

    return jobs.Judging(None if shots is None else jobs.shots_of(shots), max_items, sweep, ablations)


def _reading(
    columns: str | None, encoding: str, feedback: Kind | None = None, liked_from: float | None = None
) -> ReadOptions:
    return ReadOptions(columns=columns_of(columns or ""), encoding=encoding, feedback=feedback, liked_from=liked_from)


def _console() -> Any:
    from rich.console import Console

    return Console(stderr=True)


def _show(results: dict[str, Any], console: Any, json: Path | None, *, ablations: bool = False) -> None:
    from model_store.evaluation.protocol import HEADLINE
    from model_store.reports.tables import ablation_tables, kshot_table

    for metric in results["protocol"].get("metrics", [HEADLINE]):
        console.print(kshot_table(results, metric))
    for table in ablation_tables(results) if ablations else ():  # the report has them in any case
        console.print(table)
    _write(results, json)


def _must_be_writable(json: Path | None) -> None:
    """Open the file for the numbers before hours of work, not after them; a new one is removed again.

    Raises:
        DataError: it cannot be written.
    """
    if json is None or json.is_fifo() or json.is_char_device():
        return
    existed = json.exists()
    try:
        json.open("ab").close()
    except OSError as exc:
        raise DataError(
            f"--json {json}: cannot be written ({exc.strerror}), expected a file in a folder there is"
        ) from exc
    if not existed:
        json.unlink()


def _write(results: dict[str, Any], json: Path | None) -> None:
    if json is None:
        return
    try:
        json.write_bytes(orjson.dumps(results, option=orjson.OPT_INDENT_2))
    except OSError as exc:
        raise DataError(
            f"--json {json}: cannot be written ({exc.strerror}); expected a file in a folder of yours"
        ) from exc


bundles = typer.Typer(
    no_args_is_help=True, help="List, show, promote, roll back, sign and verify the bundles of a store."
)

Version = Annotated[str | None, typer.Argument(help="A bundle's version; the live one if absent.")]


@bundles.command("list")
@_clear_errors
def list_bundles(store: Store = DEFAULT_STORE) -> None:
    """All bundles, oldest first; the live one has a star."""
    registry = Registry(store)
    live = registry.live()
    for manifest in registry.manifests():
        star = "*" if manifest.version == live else " "
        created = manifest.created_at.strftime("%Y-%m-%d %H:%M")
        typer.echo(f"{star} {manifest.version}  {created}  {manifest.shapes.items:>8} items  {manifest.data.source}")


@bundles.command()
@_clear_errors
def show(version: Version = None, store: Store = DEFAULT_STORE) -> None:
    """The manifest of a bundle, as JSON."""
    registry = Registry(store)
    folder = registry.folder(version or registry.live())
    read_manifest(folder)
    typer.echo((folder / MANIFEST_FILE).read_text(encoding="utf-8"), nl=False)


@bundles.command()
@_clear_errors
def promote(
    version: Annotated[str, typer.Argument(help="The version to make live.")], store: Store = DEFAULT_STORE
) -> None:
    """Verify a bundle and make it live; running services swap to it."""
    registry = Registry(store)
    open_bundle(registry.folder(version))
    registry.promote(version)
    typer.echo(version)


@bundles.command()
@_clear_errors
def rollback(store: Store = DEFAULT_STORE) -> None:
    """Make the version before the live one live again."""
    typer.echo(Registry(store).rollback())


@bundles.command()
@_clear_errors
def verify(
    version: Version = None,
    store: Store = DEFAULT_STORE,
    key: Annotated[Path | None, typer.Option(help="File of public keys; one must have signed the bundle.")] = None,
) -> None:
    """Check a bundle's signature if KEY is given, its hashes, and recompute its golden cases."""
    from model_store.bundle.signature import TrustedKeys

    registry = Registry(store)
    signed = None if key is None else TrustedKeys.read(key).check
    bundle = open_bundle(registry.folder(version or registry.live()), signed=signed)
    what = f"{len(bundle.manifest.files)} files" if key is None else f"signature, {len(bundle.manifest.files)} files"
    typer.echo(f"{bundle.version}: {what} and all golden cases are as they should be")


@bundles.command()
@_clear_errors
def sign(
    key: Annotated[Path, typer.Option(help="File of the private key; kshot bundles keygen makes one.")],
    version: Version = None,
    store: Store = DEFAULT_STORE,
) -> None:
    """Verify a bundle and sign its manifest, so that services with --require-signature take it."""
    from model_store.bundle.signature import sign_manifest

    registry = Registry(store)
    folder = registry.folder(version or registry.live())
    open_bundle(folder)
    typer.echo(sign_manifest(folder / "manifest.json", key))


@bundles.command()
@_clear_errors
def keygen(
    key: Annotated[Path, typer.Argument(help="New file of the private key; KEY.pub gets the public one.")],
) -> None:
    """Make a pair of keys to sign bundles with; the private one belongs on no machine that serves."""
    from model_store.bundle.signature import make_keys

    typer.echo(make_keys(key))

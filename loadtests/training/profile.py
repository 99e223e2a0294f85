"""Time and memory of a training by parts, on made-up events in the shape of MovieLens-20M.

    python -m loadtests profile --scale 0.05               a twentieth of the events, minutes
    python -m loadtests profile --time-budget-s 1800       138,493 users, 20 million events
    python -m loadtests profile --data FOLDER              data of your own

The whole of ``kshot train`` runs in this process under Python's profiler, which slows code written in Python a little.
"""

from __future__ import annotations

import argparse
import cProfile
import inspect
import pstats
import resource
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from loadtests.kit.cli import LoadTest, Result
from loadtests.worlds.events import write_events
from model_store.baselines.ials import IALS
from model_store.baselines.item_item import item_knn
from model_store.baselines.multi_vae import fit_multi_vae
from model_store.config import JudgingConfig, Sweep, TrainingConfig
from model_store.data.episodes import deal
from model_store.data.sources import load
from model_store.evaluation.protocol import evaluate
from model_store.export import write_draft
from model_store.flows.judge_bundle import judge_beside_baselines
from model_store.flows.train_bundle import train_bundle
from model_store.learning.calibrate import calibrate
from model_store.learning.learn import validate
from model_store.meta.algorithms import begin
from model_store.meta.items.mapping import map_content
from model_store.meta.loss import episode_loss
from model_store.meta.outer import _follow as update_average
from model_store.meta.outer import meta_train
from model_store.meta.parts.ease import EaseMemory, ease

# Part → the function whose time it is, calls included. A part with a leading space belongs to the part above it.
# Backward and Adam stand alone: the outer loop calls them, and so does the training of multi-VAE.
PARTS: dict[str, Callable[..., Any]] = {
    "reading and cleaning": load,
    "co-occurrences and SVD": begin,
    "outer loop": meta_train,
    " dealing episodes": deal,
    " forward": episode_loss,
    " running average": update_average,
    " validation": validate,
    "backward, all models": torch.Tensor.backward,
    "Adam, all models": torch.optim.Adam.step,
    "content mapping": map_content,
    "calibration": calibrate,
    " fitting EASE as a part": EaseMemory.fit,
    "export": write_draft,
    "evaluation": judge_beside_baselines,
    " judging on users": evaluate,
    " fitting item-kNN": item_knn,
    " fitting EASE": ease,
    " fitting iALS": IALS.fit,
    " fitting multi-VAE": fit_multi_vae,
}


def measure(options: argparse.Namespace) -> Result:
    """Make the data unless ``--data`` names them, and train once."""
    config = TrainingConfig(
        max_epochs=options.max_epochs,
        time_budget_s=options.time_budget_s,
        cross_fit_below=options.cross_fit_below,
    )
    with ExitStack() as stack:
        data = options.data
        if data is None:
            data = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="kshot-events-")))
            write_events(data, options.scale, seed=0)
        return train(data, config)


def train(data: Path, config: TrainingConfig) -> dict[str, Any]:
    """Train once: seconds of the whole and of each part, GiB at the peak, and quality."""
    profile, started = cProfile.Profile(), time.monotonic()
    with tempfile.TemporaryDirectory(prefix="kshot-training-") as bundles:
        judging = JudgingConfig(sweep=Sweep.QUICK)
        published = profile.runcall(train_bundle, str(data), Path(bundles), config, judging, Console(stderr=True))
    results = published.results.as_dict()
    training, parts = results["training"], part_seconds(profile)
    return {
        "data": {name: results["data"][name] for name in ("n_users", "n_items", "n_events")},
        "seconds": round(time.monotonic() - started, 1),
        "peak_gib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, 2),
        "parts_s": parts,
        "epochs": len(training["history"]),
        "best_epoch": training["best_epoch"],
        "s_per_epoch": round(training["seconds"] / len(training["history"]), 1),
        "validation": [row["validation"] for row in training["history"]],
        "ndcg@10": {name: {k: row["ndcg@10"] for k, row in by_k.items()} for name, by_k in results["models"].items()},
    }


def part_seconds(profile: cProfile.Profile) -> dict[str, float]:
    """Seconds of each part, calls included, without the parts that did not run."""
    stats = pstats.Stats(profile).stats  # type: ignore[attr-defined]
    keys = {part: profile_key(function) for part, function in PARTS.items()}
    return {part: round(stats[key][3], 1) for part, key in keys.items() if key in stats}


def profile_key(function: Callable[..., Any]) -> tuple[str, int, str]:
    """File, line and name of a function or class method, as the profiler labels it; decorators are unwrapped."""
    code = inspect.unwrap(getattr(function, "__func__", function)).__code__
    return code.co_filename, code.co_firstlineno, code.co_name


def table(result: Result) -> str:
    """The parts with their share of the whole."""
    whole = result["seconds"]
    rows = [f"{part:<30}{s:>9.1f} s{s / whole:>8.1%}" for part, s in result["parts_s"].items()]
    return "\n".join([*rows, f"{'the whole':<30}{whole:>9.1f} s", f"peak memory {result['peak_gib']} GiB"])


def _add_options(parser: argparse.ArgumentParser) -> None:
    defaults = TrainingConfig()
    parser.add_argument("--data", type=Path, help="source of kshot train, in place of made-up events")
    parser.add_argument("--scale", type=float, default=1.0, help="share of MovieLens-20M's users and events (1.0)")
    parser.add_argument("--max-epochs", type=int, default=defaults.max_epochs, help="as for kshot train")
    parser.add_argument("--time-budget-s", type=float, default=defaults.time_budget_s, help="seconds of the outer loop")
    parser.add_argument(
        "--cross-fit-below", type=int, default=defaults.cross_fit_below, help="validation users; 0: never"
    )


LOAD_TEST = LoadTest(
    measure, table, smoke={"scale": 0.001, "max_epochs": 1, "cross_fit_below": 0}, add_options=_add_options
)

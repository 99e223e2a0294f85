"""Where the time and the memory of a training go, on events with the shape of MovieLens-20M.

    python -m loadtests.training.profile --scale 0.05                      a twentieth of it, minutes
    python -m loadtests.training.profile --time-budget-s 1800              all of it: 138,493 users, 20 million events
    python -m loadtests.training.profile --data FOLDER                     data of your own

The whole of ``kshot train`` runs in this process under Python's profiler, which makes the parts written in Python a
little slower. The result goes to standard output as JSON, a table to standard error.
"""

from __future__ import annotations

import argparse
import cProfile
import json
import pstats
import resource
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from rich.console import Console

from loadtests.kit.machine import provenance
from loadtests.worlds.events import write_events
from model_store import jobs
from model_store.config import JudgingConfig, Sweep, TrainingConfig

# Part → the function whose whole time it is, and its file; a part with a leading space belongs to the one above.
PARTS = {
    "reading and cleaning": ("data/sources.py", "load"),
    "co-occurrences and SVD": ("algorithms/__init__.py", "begin"),
    "outer loop": ("meta/outer.py", "meta_train"),
    " dealing episodes": ("data/episodes.py", "deal"),
    " forward": ("meta/outer.py", "episode_loss"),
    " backward": ("torch/_tensor.py", "backward"),
    " Adam": ("optim/adam.py", "step"),
    " running average": ("meta/outer.py", "_follow"),
    " validation": ("model_store/learning/learn.py", "_validate"),
    "content mapping": ("items/mapping.py", "map_content"),
    "calibration": ("learning/calibrate.py", "calibrate"),
    " fitting EASE": ("parts/ease.py", "remember"),
    "export": ("export/publish.py", "write_draft"),
    "evaluation": ("model_store/jobs.py", "_judge"),
    " judging on test users": ("evaluation/protocol.py", "evaluate"),
    " fitting item-kNN and EASE": ("baselines/tuning.py", "_item_item"),
    " fitting iALS": ("baselines/tuning.py", "_ials"),
    " fitting multi-VAE": ("baselines/tuning.py", "_multi_vae"),
}


def measure(data: Path, config: TrainingConfig) -> dict[str, Any]:
    """Train once; seconds of the whole and of each part, GiB at the peak, and what came of it."""
    profile, started = cProfile.Profile(), time.monotonic()
    with tempfile.TemporaryDirectory(prefix="kshot-training-") as store:
        judging = JudgingConfig(sweep=Sweep.QUICK)
        _, results = profile.runcall(jobs.train, str(data), Path(store), config, judging, Console(stderr=True))
    training, parts = results["training"], part_seconds(profile)
    return {
        "data": {name: results["data"][name] for name in ("n_users", "n_items", "n_events")},
        "seconds": round(time.monotonic() - started, 1),
        "peak_gib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, 2),
        "parts_s": parts,
        "epochs": len(training["history"]),
        "best_epoch": training["best_epoch"],
        "s_an_epoch": round(training["seconds"] / len(training["history"]), 1),
        "validation": [row["validation"] for row in training["history"]],
        "ndcg@10": {name: {k: row["ndcg@10"] for k, row in by_k.items()} for name, by_k in results["models"].items()},
    }


def part_seconds(profile: cProfile.Profile) -> dict[str, float]:
    """Seconds of each part, what it calls included; parts that did not run are left out."""
    seconds: dict[str, float] = {}
    for (file, _, function), (_, _, _, spent, _) in pstats.Stats(profile).stats.items():  # type: ignore[attr-defined]
        for part, (its_file, its_function) in PARTS.items():
            if function == its_function and file.endswith(its_file):
                seconds[part] = seconds.get(part, 0) + spent
    return {part: round(seconds[part], 1) for part in PARTS if part in seconds}


def table(measured: dict[str, Any]) -> str:
    """The parts with their share of the whole."""
    whole = measured["seconds"]
    rows = [f"{part:<30}{s:>9.1f} s{s / whole:>8.1%}" for part, s in measured["parts_s"].items()]
    return "\n".join([*rows, f"{'the whole':<30}{whole:>9.1f} s", f"peak memory {measured['peak_gib']} GiB"])


def main() -> None:
    """Make the data if need be, train, tell."""
    options = _options()
    config = TrainingConfig(max_epochs=options.max_epochs, time_budget_s=options.time_budget_s)
    with ExitStack() as stack:
        data = options.data
        if data is None:
            data = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="kshot-events-")))
            write_events(data, options.scale, seed=0)
        measured = measure(data, config)
    print(table(measured), file=sys.stderr)
    print(json.dumps(provenance() | measured, indent=2))


def _options() -> argparse.Namespace:
    defaults = TrainingConfig()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="as for kshot train; made-up events if absent")
    parser.add_argument("--scale", type=float, default=1.0, help="share of MovieLens-20M's users and events")
    parser.add_argument("--max-epochs", type=int, default=defaults.max_epochs)
    parser.add_argument("--time-budget-s", type=float, default=defaults.time_budget_s, help="of the outer loop")
    return parser.parse_args()


if __name__ == "__main__":
    main()

"""One training in one process and in several under torchrun: loss, quality and time.

    python -m loadtests torchrun --data demo:movies --max-epochs 10
    python -m loadtests torchrun --data FOLDER --processes 4

Every process has one thread. Curves may differ in length, because a training stops early at the end of its time budget.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from itertools import zip_longest
from pathlib import Path
from typing import Any

from loadtests.kit.cli import LoadTest, Result
from loadtests.kit.tables import markdown


def measure(options: argparse.Namespace) -> Result:
    """Train twice, with one process and with several."""
    return {"trainings": [train(options.data, options.max_epochs, processes) for processes in (1, options.processes)]}


def train(data: str, max_epochs: int, processes: int) -> dict[str, Any]:
    """Train into a temporary bundles folder: losses, validation, quality and seconds."""
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes), "--no-python"]
    command = [] if processes == 1 else [sys.executable, *torchrun]
    command += [str(Path(sys.executable).with_name("kshot")), "train", "--data", data]
    with tempfile.TemporaryDirectory(prefix="kshot-torchrun-") as folder:
        out = Path(folder) / "results.json"
        command += ["--bundles", folder, "--max-epochs", str(max_epochs), "--json", str(out)]
        started = time.monotonic()
        env = os.environ | {"OMP_NUM_THREADS": "1"}
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=env)  # noqa: S603 - our own program
        elapsed_s = time.monotonic() - started
        results = json.loads(out.read_bytes())
    training = results["training"]
    return {
        "processes": processes,
        "whole_command_s": round(elapsed_s, 1),
        "outer_loop_s": training["seconds"],
        "s_per_epoch": round(training["seconds"] / len(training["history"]), 2),
        "loss": [row["loss"] for row in training["history"]],
        "validation": [row["validation"] for row in training["history"]],
        "ndcg@10": {k: row["ndcg@10"] for k, row in results["models"]["kshot"].items()},
        "ndcg@10 interval": {k: row["ndcg@10 interval"] for k, row in results["models"]["kshot"].items()},
    }


def table(result: Result) -> str:
    """Both curves by epoch, and the quality at each k, as Markdown tables."""
    single, several = result["trainings"]
    names = ("1 process", f"{several['processes']} processes")
    curves = (single["loss"], several["loss"], single["validation"], several["validation"])
    epochs = [
        [epoch, *(f"{value:.4f}" for value in row)]
        for epoch, row in enumerate(zip_longest(*curves, fillvalue=float("nan")), start=1)
    ]
    quality = [[k, f"{value:.4f}", f"{several['ndcg@10'][k]:.4f}"] for k, value in single["ndcg@10"].items()]
    return "\n\n".join(
        [
            markdown(["epoch", *(f"{curve}, {name}" for curve in ("loss", "validation") for name in names)], epochs),
            markdown(["k", *(f"NDCG@10, {name}" for name in names)], quality),
            f"seconds per epoch: {single['s_per_epoch']} and {several['s_per_epoch']}",
        ]
    )


def _add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--data", default="demo:movies", help="source of kshot train (demo:movies)")
    parser.add_argument("--processes", type=int, default=2, help="processes of the second training (2)")
    parser.add_argument("--max-epochs", type=int, default=10, help="epochs of both (10)")


LOAD_TEST = LoadTest(measure, table, smoke={"max_epochs": 1}, add_options=_add_options)

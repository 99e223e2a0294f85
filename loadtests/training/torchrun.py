"""One training by one process and by several under ``torchrun``: loss curves, quality and time side by side.

    python -m loadtests.training.torchrun --data demo:movies --max-epochs 10
    python -m loadtests.training.torchrun --data FOLDER --processes 4

Every process gets one thread. The result goes to standard output as JSON, a table to standard error. A training stops
earlier where its time budget ends, so curves may have different lengths.
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

from loadtests.kit.machine import provenance


def train(data: str, max_epochs: int, processes: int) -> dict[str, Any]:
    """Train in a store of its own; what the report says of the training and of the model, and the seconds it took."""
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes), "--no-python"]
    command = [] if processes == 1 else [sys.executable, *torchrun]
    command += [str(Path(sys.executable).with_name("kshot")), "train", "--data", data]
    with tempfile.TemporaryDirectory(prefix="kshot-processes-") as folder:
        out = Path(folder) / "results.json"
        command += ["--store", folder, "--max-epochs", str(max_epochs), "--json", str(out)]
        started = time.monotonic()
        env = os.environ | {"OMP_NUM_THREADS": "1"}
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=env)  # noqa: S603 - our own program
        took_s = time.monotonic() - started
        results = json.loads(out.read_bytes())
    training = results["training"]
    return {
        "processes": processes,
        "whole_command_s": round(took_s, 1),
        "outer_loop_s": training["seconds"],
        "s_an_epoch": round(training["seconds"] / len(training["history"]), 2),
        "loss": [row["loss"] for row in training["history"]],
        "validation": [row["validation"] for row in training["history"]],
        "ndcg@10": {k: row["ndcg@10"] for k, row in results["models"]["kshot"].items()},
        "ndcg@10 interval": {k: row["ndcg@10 interval"] for k, row in results["models"]["kshot"].items()},
    }


def table(one: dict[str, Any], several: dict[str, Any]) -> str:
    """Both curves, epoch by epoch, and the quality at each k."""
    lines = [
        f"epoch  loss with 1 process  with {several['processes']}   validation with 1  with {several['processes']}"
    ]
    columns = (one["loss"], several["loss"], one["validation"], several["validation"])
    for epoch, row in enumerate(zip_longest(*columns, fillvalue=float("nan")), start=1):
        lines.append(f"{epoch:5}  {row[0]:19.4f}  {row[1]:6.4f}  {row[2]:18.4f}  {row[3]:6.4f}")
    lines.append(f"seconds an epoch: {one['s_an_epoch']} and {several['s_an_epoch']}")
    lines += [f"NDCG@10 at k = {k}: {one['ndcg@10'][k]:.4f} and {found:.4f}" for k, found in several["ndcg@10"].items()]
    return "\n".join(lines)


def main() -> None:
    """Train twice, with one process and with several."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="demo:movies", help="as for kshot train")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--max-epochs", type=int, default=10)
    options = parser.parse_args()
    one, several = (train(options.data, options.max_epochs, processes) for processes in (1, options.processes))
    print(table(one, several), file=sys.stderr)
    print(json.dumps(provenance() | {"trainings": [one, several]}, indent=2))


if __name__ == "__main__":
    main()

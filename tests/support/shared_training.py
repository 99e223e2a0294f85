"""A short meta-training by all processes of ``torchrun``; its test runs and imports this file."""

from __future__ import annotations

import json
import sys
import time
from contextlib import suppress
from pathlib import Path

import torch

from model_store.config import AlgorithmName, TrainingConfig
from model_store.data.sources import load
from model_store.meta.algorithms import begin
from model_store.meta.distributed import ProcessGroup, joined
from model_store.meta.outer import Progress, broadcast_start, meta_train

# Deterministic without dropout. The last batch has one user, so that one process has an empty batch.
CONFIG = TrainingConfig(dim=8, anchors=16, neighbours=10, max_epochs=2, batch_users=57, dropout=0.0)
ALGORITHMS = (AlgorithmName.KSHOT, AlgorithmName.REPTILE, AlgorithmName.JOINT)


def trained(source: str, algorithm: AlgorithmName) -> Progress:
    """The outer loop of all processes; only rank 0 has scores to choose the best epoch by."""
    dataset = load(source).dataset
    config = CONFIG.model_copy(update={"algorithm": algorithm})
    outer = begin(dataset, dataset.events, config, (0, 1, 3))
    outer.group = ProcessGroup.current()
    if not outer.group.is_first:  # the start of other ranks must not matter
        with torch.no_grad():
            outer.network.encoder.id_vectors.zero_()
    scores = iter(range(100)) if outer.group.is_first else iter(())
    progress = broadcast_start(outer, Progress())
    return meta_train(outer, dataset, dataset.events, lambda _: float(next(scores)), config, progress=progress)


def threads_of_group(wait_s: float = 5.0) -> list[str]:
    """Names of gloo's threads; Linux lists a joined thread for a moment longer."""
    until = time.monotonic() + wait_s
    while True:
        names = []
        for task in Path("/proc/self/task").iterdir():
            with suppress(OSError):  # it ended meanwhile
                names.append((task / "comm").read_text().strip())
        of_group = [name for name in names if "gloo" in name]
        if not of_group or time.monotonic() > until:
            return of_group
        time.sleep(0.05)


def main() -> None:
    """Train with each algorithm; every process writes its result and its remaining threads to files."""
    source, folder = sys.argv[1:]
    with joined() as group:
        assert threads_of_group(wait_s=0.0), "expected threads of gloo"
        for algorithm in ALGORITHMS:
            progress = trained(source, algorithm)
            torch.save((progress.history, progress.best), Path(folder) / f"{algorithm}-{group.rank}.pt")
    (Path(folder) / f"threads-{group.rank}.json").write_text(json.dumps(threads_of_group()))


if __name__ == "__main__":
    main()

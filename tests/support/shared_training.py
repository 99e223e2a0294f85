"""One short meta-training, by as many processes as ``torchrun`` started: run as a program, imported by its test."""

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
from model_store.meta.distributed import World, joined
from model_store.meta.outer import Progress, meta_train, start_together

# Without dropout nothing is left to chance. The last batch has one user: a process finds none left for it.
CONFIG = TrainingConfig(dim=8, anchors=16, neighbours=10, max_epochs=2, batch_users=57, dropout=0.0)
ALGORITHMS = (AlgorithmName.KSHOT, AlgorithmName.REPTILE, AlgorithmName.JOINT)


def trained(source: str, algorithm: AlgorithmName) -> Progress:
    """The outer loop of all processes together; the first one alone would say which epoch is the best."""
    dataset = load(source).dataset
    config = CONFIG.model_copy(update={"algorithm": algorithm})
    outer = begin(dataset, dataset.events, config, (0, 1, 3))
    outer.world = World.current()
    if not outer.world.is_first:  # what it starts from must not count
        with torch.no_grad():
            outer.network.encoder.id_vectors.zero_()
    scores = iter(range(100)) if outer.world.is_first else iter(())
    progress = start_together(outer, Progress())
    return meta_train(outer, dataset, dataset.events, lambda _: float(next(scores)), config, progress=progress)


def threads_of_group(wait_s: float = 5.0) -> list[str]:
    """Names of the threads by which gloo talks; one that was joined is listed by Linux for a moment longer."""
    until = time.monotonic() + wait_s
    while True:
        names = []
        for task in Path("/proc/self/task").iterdir():
            with suppress(OSError):  # it ended meanwhile
                names.append((task / "comm").read_text().strip())
        left = [name for name in names if "gloo" in name]
        if not left or time.monotonic() > until:
            return left
        time.sleep(0.05)


def main() -> None:
    """Train with each algorithm; every process leaves what it learned, and what still runs, in files of its own."""
    source, folder = sys.argv[1:]
    with joined() as world:
        assert threads_of_group(wait_s=0.0), "none seen while they must be there"
        for algorithm in ALGORITHMS:
            progress = trained(source, algorithm)
            torch.save((progress.history, progress.best), Path(folder) / f"{algorithm}-{world.rank}.pt")
    (Path(folder) / f"threads-{world.rank}.json").write_text(json.dumps(threads_of_group()))


if __name__ == "__main__":
    main()

"""The two bundles folders that all tests share; they can be prepared for a Python without torch.

python tests/support/prepared_stores.py FOLDER        then: pytest tests/service --prepared FOLDER
"""

from __future__ import annotations

import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

import made_up
from rich.console import Console


@dataclass(frozen=True)
class Prepared:
    """Paths of prepared bundles folders."""

    folder: Path

    @property
    def trained(self) -> Path:
        """The bundles folder with the trained bundle."""
        return self.folder / "trained"

    @property
    def two(self) -> Path:
        """The bundles folder with two bundles."""
        return self.folder / "two"

    @property
    def other(self) -> Path:
        """The file with the version of the second bundle, which is not live."""
        return self.folder / "other-version"


def train(source: Path, store: Path) -> None:
    """Publish a bundle trained on the made-up world into ``store``."""
    from model_store.config import JudgingConfig, TrainingConfig
    from model_store.flows.train_bundle import train_bundle

    config = TrainingConfig(max_epochs=8, dim=16, anchors=32, neighbours=20)
    train_bundle(str(source), store, config, JudgingConfig(shots=(0, 1, 3, 5)), Console(quiet=True))


def add_second(source: Path, store: Path) -> str:
    """Publish a bundle of another dimension, make the first one live again, and return the version of the new one."""
    from model_store.bundle import Registry
    from model_store.config import TrainingConfig
    from model_store.data.sources import load
    from model_store.export import write_draft
    from model_store.meta.network import build

    registry, dataset = Registry(store), load(str(source)).dataset
    config = TrainingConfig(dim=8, anchors=16, neighbours=10, seed=1)
    with write_draft(registry, dataset, build(dataset, dataset.events, config, (0, 1, 3, 5)), config) as draft:
        other = draft.publish(registry, results={})
    registry.rollback()
    return other


def prepare(folder: Path) -> None:
    """Write both bundles folders into ``folder``."""
    stores, source = Prepared(folder), made_up.write_source(folder / "source")
    train(source, stores.trained)
    shutil.copytree(stores.trained, stores.two)
    stores.other.write_text(add_second(source, stores.two), encoding="utf-8")


if __name__ == "__main__":
    sys.path.append(str(Path(__file__).parents[2]))
    prepare(Path(sys.argv[1]))

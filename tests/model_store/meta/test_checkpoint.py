"""Checkpoints: a resumed training ends like an uninterrupted one, and damage is named."""

from __future__ import annotations

from pathlib import Path

import pytest
from short_training import CONFIG, same_result, short_training

from model_store.data.schema import Dataset
from model_store.data.sources import load
from model_store.errors import TrainingError
from model_store.meta.checkpoint import Checkpoint
from model_store.meta.network import build
from model_store.meta.outer import Outer


@pytest.fixture(scope="module")
def dataset(source: Path) -> Dataset:
    return load(str(source)).dataset


def interrupted(dataset: Dataset, folder: Path, epochs: int) -> None:
    """Leave the checkpoint of a training that ended after ``epochs``."""
    with pytest.raises(KeyboardInterrupt):
        short_training(dataset, CONFIG, Checkpoint(folder, "sha", CONFIG), stop_after=epochs)


def test_an_interrupted_training_resumes_to_the_same_result(dataset: Dataset, tmp_path: Path) -> None:
    uninterrupted = short_training(dataset, CONFIG)
    interrupted(dataset, tmp_path, epochs=2)
    resumed = short_training(dataset, CONFIG, Checkpoint(tmp_path, "sha", CONFIG))
    assert same_result(uninterrupted, resumed)


def test_another_configuration_does_not_resume(dataset: Dataset, tmp_path: Path) -> None:
    interrupted(dataset, tmp_path, epochs=1)
    slower = CONFIG.model_copy(update={"learning_rate": 1e-3})
    network = build(dataset, dataset.events, slower, (0, 1, 3, 5))
    assert Checkpoint(tmp_path, "sha", slower).resume(Outer.begin(network, slower)).epoch == 0


def test_a_damaged_checkpoint_is_named(dataset: Dataset, tmp_path: Path) -> None:
    interrupted(dataset, tmp_path, epochs=1)
    (saved,) = tmp_path.glob("*.pt")
    saved.write_bytes(saved.read_bytes()[:100])
    with pytest.raises(TrainingError, match=saved.name):
        short_training(dataset, CONFIG, Checkpoint(tmp_path, "sha", CONFIG))


def test_a_checkpoint_that_cannot_be_written_ends_the_training_with_one_line(dataset: Dataset, tmp_path: Path) -> None:
    (tmp_path / "checkpoints").write_text("in the way")
    with pytest.raises(TrainingError, match=r"checkpoint cannot be written \(.*\); .* or use another folder"):
        short_training(dataset, CONFIG, Checkpoint(tmp_path / "checkpoints", "sha", CONFIG), stop_after=1)


def test_discarding_removes_the_checkpoints_of_all_configurations_tried(dataset: Dataset, tmp_path: Path) -> None:
    first = Checkpoint(tmp_path, "sha", CONFIG.model_copy(update={"seed": 7}))
    with pytest.raises(KeyboardInterrupt):
        short_training(dataset, CONFIG, first.beside(CONFIG), stop_after=1)
    assert len(list(tmp_path.glob("*.pt"))) == 1
    first.discard()
    assert not list(tmp_path.glob("*.pt"))

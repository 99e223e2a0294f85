"""An experiment: data and users, a training configuration, and the console that shows progress."""

from __future__ import annotations

from dataclasses import dataclass, replace

from rich.console import Console

from model_store.config import TrainingConfig
from model_store.data.schema import Dataset
from model_store.evaluation.cohorts import Cohorts


@dataclass(frozen=True)
class Experiment:
    """Everything that a training depends on.

    Attributes:
        cohorts: the data set, its users by role, and their protocol.
        config: of the training.
        console: for progress.
    """

    cohorts: Cohorts
    config: TrainingConfig
    console: Console

    @classmethod
    def of(
        cls, dataset: Dataset, config: TrainingConfig, console: Console, shots: tuple[int, ...] | None = None
    ) -> Experiment:
        """An experiment whose users are split by the seed of ``config``; ``shots`` are chosen from the data if absent.

        Raises:
            DataError: there are too few users, or too few of them have enough events.
        """
        return cls(Cohorts.of(dataset, config.seed, shots), config, console)

    def configured(self, **changes: object) -> Experiment:
        """The same experiment with other settings of its configuration."""
        return replace(self, config=self.config.model_copy(update=changes))

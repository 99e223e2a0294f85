"""Outcomes of learning and judging as parts of a document of results."""

from __future__ import annotations

from collections.abc import Mapping

from model_store.evaluation import comparison
from model_store.evaluation.cohorts import Cohorts, order_of
from model_store.evaluation.comparison import Judgements
from model_store.learning.calibrate import ChosenWeights
from model_store.learning.learn import Learned
from model_store.meta.parts.ease import EaseMemory
from model_store.reports.results import CalibratedShots, Calibration, ContestPart, Epoch, Protocol, Training


def protocol_of(cohorts: Cohorts) -> Protocol:
    """The protocol that the test users were judged by."""
    protocol, tasks = cohorts.protocol, cohorts.test
    return Protocol(
        shots=protocol.shots,
        min_events=protocol.min_events,
        query_after=protocol.query_after,
        users=len(tasks.users),
        items=tasks.n_items,
        seed=cohorts.seed,
        order=order_of(cohorts.dataset),
    )


def training_of(learned: Learned, index: Mapping[str, float] | None = None) -> Training:
    """A training, with the measures of its bundle's index if it was exported."""
    progress = learned.progress
    training = Training(
        history=tuple(Epoch.model_validate(epoch) for epoch in progress.history),
        best_epoch=progress.best_epoch,
        seconds=round(progress.elapsed_s, 1),
        calibration=_calibration_of(learned.calibration),
        content=learned.content,
        config=learned.config.model_dump(mode="json"),
    )
    return training if index is None else training.model_copy(update={"index": dict(index)})


def _calibration_of(chosen: ChosenWeights) -> Calibration:
    return Calibration(
        users=chosen.users,
        parts=chosen.titles,
        regularisations=chosen.regularisations,
        regularisation=chosen.regularisations.get(EaseMemory.name),
        shots={
            k: CalibratedShots(weights=at_k.weights, before=at_k.before, after=at_k.after)
            for k, at_k in chosen.shots.items()
        },
    )


def contest_part(judgements: Judgements, reference: str) -> ContestPart:
    """Figures of the algorithms, and their differences to ``reference``."""
    return ContestPart(
        models=comparison.figures(judgements), against_reference=comparison.against(judgements, reference)
    )

"""Results of trainings and evaluations: the schema of ``report.json`` and of every ``--json`` file.

A document is one JSON object. Its ``schema_version`` counts changes that an older reader could not follow; documents
from before the key have none and are read as version 1. Keys that do not apply are absent. k is a string, as JSON
needs it for keys.

``kshot train`` writes ``report.json`` into its bundle, and ``kshot evaluate`` the same with ``--json``:

===================  ===================================================================================================
key                  value
===================  ===================================================================================================
``data``             the data summary, as ``kshot inspect --json`` has it
``protocol``         ``shots``, ``min_events``, ``query_after``, ``users``, ``items``, ``seed``, ``order`` of events;
                     ``splits`` if pooled; ``name``, ``metrics`` and ``caption`` of another protocol than k-shot
``max_items``        items that baselines with dense item-item matrices cover
``models``           model → k → ``coverage@10``, and per metric its mean and, as ``"METRIC interval"``, [low, high]
``baselines``        baseline → ``choice`` (k → settings), ``grid`` (hyperparameter → values tried), ``note``
``best_baseline``    k → ``name``, its ``ndcg@10``, ``difference`` of the model to it, ``interval`` [low, high]
``training``         ``history`` (an object per epoch), ``best_epoch``, ``seconds``, ``calibration``, ``content``,
                     ``config``, ``index``
``ablations``        variant → k → metrics, as ``models``
``splits``           the documents of the splits that were pooled
===================  ===================================================================================================

``kshot compare`` writes ``data`` and ``protocol`` as above, ``reference``, ``training`` (algorithm → training), and
``whole`` and ``dense``, each with ``models`` and ``against_reference`` (algorithm → k → difference).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

from pydantic import Field, model_serializer, model_validator

from model_store.baselines.grids import Tuning
from model_store.evaluation.figures import HEADLINE
from model_store.reports.documents import AtShots, DataSummary, DifferenceAtShots, Document, Section


class Protocol(Section):
    """The protocol of an evaluation and the users it applied to.

    Attributes:
        shots: the k.
        min_events: users with fewer events are left out.
        query_after: events before the query starts.
        users: number of test users.
        items: number of items ranked; 0 in older documents.
        seed: seed of the split.
        order: order of the events: time, sequence or random.
        splits: number of user splits that were pooled.
        name: another protocol than k-shot.
        metrics: metrics to print; the headline metric if absent.
        caption: text below tables; made from the rest if absent.
    """

    shots: tuple[int, ...]
    min_events: int
    query_after: int
    users: int
    items: int = 0
    seed: int
    order: str = ""
    splits: int = 1
    name: str = ""
    metrics: tuple[str, ...] = (HEADLINE,)
    caption: str = ""


class Epoch(Section):
    """One epoch of the outer loop: loss in nats per query item, validation score, entropy of query items in nats."""

    epoch: int
    loss: float
    validation: float
    query_entropy: float | None = None


class CalibratedShots(Section):
    """Calibration at one k.

    Attributes:
        weights: part of the score → weight; in JSON, keys beside the other two.
        before: headline metric of the validation users with the weights that were learned.
        after: headline metric with the weights that were chosen.
    """

    weights: dict[str, float]
    before: float
    after: float

    @model_validator(mode="before")
    @classmethod
    def _gather(cls, value: Any) -> Any:
        if not isinstance(value, Mapping) or "weights" in value:
            return value
        metrics = {key: value[key] for key in ("before", "after") if key in value}
        return {"weights": {key: weight for key, weight in value.items() if key not in metrics}, **metrics}

    @model_serializer
    def _flatten(self) -> dict[str, float]:
        return {**self.weights, "before": self.before, "after": self.after}


class Calibration(Section):
    """Weights of the parts of the score, chosen on validation users.

    Attributes:
        users: number of users who took part.
        parts: name of a part → its title.
        regularisations: name of a part that is fitted → its regularisation; a part without weight at any k is absent.
        regularisation: of the linear memory, as older readers expect it; None if it has no weight at any k.
        shots: k → calibration.
    """

    users: int = 0
    parts: dict[str, str] = Field(default={})
    regularisations: dict[str, float] = Field(default={})
    regularisation: float | None
    shots: dict[int, CalibratedShots]

    @model_validator(mode="after")
    def _read_former(self) -> Self:
        """Read the regularisation of a report that knew one fitted part only."""
        if self.regularisation is not None:
            self.regularisations.setdefault("linear", self.regularisation)
        return self


class Training(Section):
    """One training.

    Attributes:
        history: epochs.
        best_epoch: the epoch whose weights were kept.
        seconds: duration of the outer loop.
        calibration: weights of the parts.
        content: measure → how well content alone stands for an item's history.
        config: setting → value.
        index: measure → value, of an approximate bundle's index; empty for an exact bundle.
    """

    history: tuple[Epoch, ...]
    best_epoch: int
    seconds: float
    calibration: Calibration
    content: dict[str, float] = Field(default={})
    config: dict[str, bool | int | float | str | None]
    index: dict[str, float] = Field(default={})


class KShotResults(Document):
    """Results of ``kshot train`` and ``kshot evaluate``; the module's docstring describes the keys."""

    data: DataSummary | None = None
    protocol: Protocol | None = None
    max_items: int | None = None
    models: dict[str, AtShots] = Field(default={})
    baselines: dict[str, Tuning] = Field(default={})
    best_baseline: DifferenceAtShots = Field(default={})
    training: Training | None = None
    ablations: dict[str, AtShots] = Field(default={})
    splits: tuple[KShotResults, ...] = ()


class ContestPart(Section):
    """One table of a comparison of algorithms.

    Attributes:
        models: algorithm → k → metrics.
        against_reference: algorithm → k → difference to the reference.
    """

    models: dict[str, AtShots]
    against_reference: dict[str, DifferenceAtShots]


class ContestResults(Document):
    """Results of ``kshot compare``.

    Attributes:
        data: the data summary.
        protocol: the protocol.
        reference: algorithm that the others are compared to.
        training: algorithm → training.
        whole: the algorithms with all parts of the score.
        dense: their adapted weights alone, beside popularity.
    """

    data: DataSummary
    protocol: Protocol
    reference: str
    training: dict[str, Training]
    whole: ContestPart
    dense: ContestPart

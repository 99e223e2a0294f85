"""Judge a bundle: its model beside tuned baselines, on the test users of its data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from model_store.baselines.grids import Shortlist, Tuning, shortlist
from model_store.baselines.tuning import Tuner
from model_store.bundle import Bundle, Registry, open_bundle
from model_store.config import DEFAULT_READ_OPTIONS, JudgingConfig, ReadOptions
from model_store.data.sources import Loaded, load
from model_store.data.summary import Summary
from model_store.errors import DataError
from model_store.evaluation import comparison
from model_store.evaluation.cohorts import Cohorts
from model_store.evaluation.comparison import Judgements
from model_store.evaluation.figures import MODEL
from model_store.evaluation.protocol import Ranker, Recommender, evaluate
from model_store.evaluation.recommenders import ServedModel
from model_store.export.live_scale import describe, same_scale
from model_store.progress import bar
from model_store.reports.outcomes import protocol_of
from model_store.reports.results import KShotResults

REPORT_FILE = "report.json"


@dataclass(frozen=True)
class Judged:
    """The model and its baselines on the test users.

    Attributes:
        judgements: model → k → metrics per user.
        tunings: baseline → the settings it was judged with.
    """

    judgements: Judgements
    tunings: Mapping[str, Tuning]

    def results(self, summary: Summary, cohorts: Cohorts, judging: JudgingConfig) -> KShotResults:
        """The document: figures, tunings, and the differences to the best baseline."""
        return KShotResults(
            data=summary,
            protocol=protocol_of(cohorts),
            max_items=judging.max_items,
            models=comparison.figures(self.judgements),
            baselines=dict(self.tunings),
            best_baseline=comparison.against_best_baseline(self.judgements),
        )


def judge_beside_baselines(
    model: Recommender | Ranker,
    cohorts: Cohorts,
    judging: JudgingConfig,
    console: Console,
    settings: Shortlist | None = None,
) -> Judged:
    """Judge ``model`` and tuned baselines on the test users.

    Args:
        model: the model.
        cohorts: data and users.
        judging: size of the baselines and of their sweep.
        console: for progress.
        settings: hyperparameters to try in place of a baseline's whole grid.
    """
    tunings: dict[str, Tuning] = {}
    with bar(console, "evaluation") as judging_bar:
        judging_bar.say(MODEL)
        judgements = {MODEL: evaluate(model, cohorts.test, facts=cohorts.facts)}
        tuner = Tuner(
            cohorts.liked,
            cohorts.liked_at_least,
            cohorts.validation,
            judging.max_items,
            judging.sweep,
            seed=cohorts.seed,
            shortlist=settings or {},
            on_step=judging_bar.say,
        )
        for name, tuned in tuner.baselines():
            judgements[name] = evaluate(tuned.recommender, cohorts.test, facts=cohorts.facts)
            tunings[name] = tuned.tuning
    return Judged(judgements, tunings)


def judge_live_bundle(
    source: str,
    bundles: Path,
    judging: JudgingConfig,
    console: Console,
    reading: ReadOptions = DEFAULT_READ_OPTIONS,
) -> KShotResults:
    """Judge the live bundle of a folder on the test users of the data that it was trained on.

    If the bundle's report has a sweep of the same size, only the settings that it chose are fitted again.

    Args:
        source: the data.
        bundles: folder of the bundles.
        judging: k, size of the baselines and of their sweep.
        console: for progress.
        reading: options of reading the data.

    Raises:
        DataError: the bundle was trained on other data, so its test users are unknown.
        ReportInvalid: the bundle's report does not follow its schema.
    """
    folder = Registry(bundles).live_folder()
    bundle = open_bundle(folder)
    loaded = load(source, reading)
    _check_same_data(source, loaded, bundle)
    cohorts = Cohorts.of(loaded.dataset, int(bundle.manifest.training["seed"]), judging.shots)
    report = KShotResults.read(folder / REPORT_FILE)
    is_same = bool(
        report.protocol and report.protocol.shots == cohorts.protocol.shots and report.max_items == judging.max_items
    )
    settings = shortlist(report.baselines, judging.sweep) if is_same else {}
    model = ServedModel(bundle.runtime)
    judged = judge_beside_baselines(model, cohorts, judging, console, settings)
    results = judged.results(loaded.summary, cohorts, judging)
    # The graphs of a bundle have no separable parts; its report has the parts' figures on the same users.
    return results.model_copy(update={"ablations": report.ablations}) if is_same and report.ablations else results


def _check_same_data(source: str, loaded: Loaded, bundle: Bundle) -> None:
    fingerprint, expected = loaded.dataset.fingerprint, bundle.manifest.data
    if fingerprint.sha256 != expected.sha256:
        raise DataError(
            f"{source}: events have sha256 {fingerprint.sha256[:12]}…, bundle {bundle.version} was trained on "
            f"{expected.source} with {expected.sha256[:12]}…; evaluate it on the same data"
        )
    if not same_scale(bundle.manifest.feedback, loaded.dataset.feedback):
        raise DataError(
            f"{source}: values are read as {describe(loaded.dataset.feedback)}, bundle {bundle.version} was trained "
            f"with {describe(bundle.manifest.feedback)}; set --feedback and --liked-from as they were"
        )

import io
import re

import pytest
from made_up_results import SHOTS, summary_of
from rich.console import Console

from model_store.errors import ReportInvalid
from model_store.evaluation.figures import HEADLINE, Difference, Figure
from model_store.reports.results import (
    Calibration,
    ContestPart,
    ContestResults,
    Epoch,
    KShotResults,
    Protocol,
    Training,
)
from model_store.reports.tables import ablation_tables, algorithm_table, kshot_table


def terminal(*tables, **options) -> str:
    console = Console(width=80, file=io.StringIO(), **options)
    console.print(*tables)
    return console.file.getvalue()


def with_differences(results: KShotResults, differences: dict[int, tuple]) -> KShotResults:
    best = results.best_baseline | {k: Difference(*values) for k, values in differences.items()}
    return results.model_copy(update={"best_baseline": best})


def test_every_model_has_a_row_of_its_figures(results):
    lines = terminal(kshot_table(results)).splitlines()
    for name, by_shots in results.models.items():
        row = next(line.split() for line in lines if line.split()[:1] == [name])
        assert row[1:] == [f"{figures['ndcg@10'].mean:.4f}" for figures in by_shots.values()]


def test_the_last_row_is_the_relative_difference_with_a_star_if_it_is_significant(results):
    changed = with_differences(results, {0: (0.4, 0.01, (-0.01, 0.02)), 20: (0.4, -0.02, (-0.03, -0.01))})
    row = next(line for line in terminal(kshot_table(changed)).splitlines() if "kshot vs best" in line)
    assert re.search(r"best +\+2\.5%  ", row)
    assert re.search(r"-5\.0% \* *$", row)


def test_the_best_of_each_column_is_bold(results):
    written = terminal(kshot_table(results), force_terminal=True, color_system="standard")
    bold = re.findall(r"\x1b\[1m *(0\.\d+)\x1b", written)
    assert bold == [f"{figures['ndcg@10'].mean:.4f}" for figures in results.models["kshot"].values()]


def test_piped_it_is_plain_text_of_at_most_80_columns(results):
    changed = with_differences(results, dict.fromkeys(SHOTS, (0.4, -0.123, (-0.2, -0.1))))
    written = terminal(kshot_table(changed))
    assert "\x1b" not in written
    assert max(map(len, written.splitlines())) <= 80
    assert written.count("-30.8% *") == len(SHOTS)


def test_the_caption_describes_users_items_and_query(results):
    words = re.sub(r"\s+", " ", terminal(kshot_table(results)))
    assert "120 test users, all 9,125 items ranked" in words
    assert "in time order" in words
    assert "what they liked after event 20" in words


def test_the_caption_names_pooled_splits_and_another_protocol_has_its_caption(results):
    pooled = results.model_copy(update={"protocol": results.protocol.model_copy(update={"splits": 3})})
    assert "120 test users of 3 splits" in re.sub(r"\s+", " ", terminal(kshot_table(pooled)))
    special = results.model_copy(update={"protocol": results.protocol.model_copy(update={"caption": "Special."})})
    assert "Special." in terminal(kshot_table(special))


def test_a_name_in_brackets_is_not_markup(results):
    models = dict(results.models)
    models["[red]"] = models.pop("EASE")
    assert "[red]" in terminal(kshot_table(results.model_copy(update={"models": models})))


def test_without_baselines_the_last_row_is_left_out(results):
    written = terminal(kshot_table(results.model_copy(update={"best_baseline": {}})))
    assert "vs best" not in written
    assert "*" not in written


def test_a_baseline_without_hits_has_no_relative_difference(results):
    changed = with_differences(results, {0: (0.0, 0.1, (0.0, 0.2))})
    assert re.search(r"kshot vs best +- ", terminal(kshot_table(changed)))


def test_results_without_a_protocol_are_refused():
    with pytest.raises(ReportInvalid, match="no protocol"):
        kshot_table(KShotResults())


def test_ablations_have_a_table_per_metric_and_a_row_per_variant(results):
    variants = {"kshot": results.models["kshot"], "without votes": results.models["EASE"]}
    tables = list(ablation_tables(KShotResults(ablations=variants)))
    assert [table.columns[0].header for table in tables] == ["NDCG@10", "COVERAGE@10"]
    assert "without votes" in terminal(*tables)
    assert list(ablation_tables(KShotResults())) == []


def test_the_algorithm_table_names_the_best_and_the_difference():
    def figures(ndcg: float) -> dict:
        return {1: {HEADLINE: Figure(ndcg, (ndcg - 0.01, ndcg + 0.02))}}

    def training(seconds: float) -> Training:
        epoch = Epoch(epoch=1, loss=1.0, validation=0.1)
        calibration = Calibration(regularisation=None, shots={})
        return Training(history=(epoch,), best_epoch=1, seconds=seconds, calibration=calibration, config={})

    part = ContestPart(
        models={"kshot": figures(0.4), "joint": figures(0.44)},
        against_reference={"joint": {1: Difference(0.4, 0.04, (0.01, 0.07))}},
    )
    results = ContestResults(
        data=summary_of(),
        protocol=Protocol(shots=(1,), min_events=4, query_after=3, users=80, items=240, seed=0, order="time"),
        reference="kshot",
        training={"kshot": training(12.4), "joint": training(3.0)},
        whole=part,
        dense=part,
    )
    rows = [line.split() for line in terminal(algorithm_table(results)).splitlines()]
    assert ["kshot", ".400±15", "12"] in rows
    assert ["best", "joint"] in rows
    assert ["joint", "+10.0%", "*"] in rows

import re
from xml.etree import ElementTree as ET

import pytest
from made_up_results import GAINS, SHOTS, results_of, summary_of

from model_store.baselines.grids import Tuning
from model_store.config import TrainingConfig
from model_store.data.summary import ColumnFact, HistogramBar
from model_store.evaluation.figures import Difference
from model_store.reports.charts import ON_PAGE
from model_store.reports.page import render
from model_store.reports.results import KShotResults
from model_store.tables.notes import Note

ATTACK = "<script>alert(1)</script>&\"'"


def changed(results: KShotResults, **changes: object) -> KShotResults:
    return results.model_copy(update=changes)


def page(results: KShotResults) -> ET.Element:
    """The page, parsed; fails if it is not well formed."""
    return ET.fromstring(render(results))


def text(element: ET.Element) -> str:
    return re.sub(r"\s+", " ", "".join(element.itertext()))


def sections(root: ET.Element) -> list[str]:
    return [heading.get("id") for heading in root.iter("h2")]


def rows(root: ET.Element, caption: str) -> dict[str, list[ET.Element]]:
    """Heading → cells of the table whose caption starts so."""
    table = next(table for table in root.iter("table") if text(table).strip().startswith(caption))
    return {row.find("th").text: row.findall("td") for row in table.find("tbody")}


def plot(root: ET.Element, title: str) -> ET.Element:
    figures = (figure for figure in root.iter("figure") if figure.find("figcaption").text == title)
    return next(figures).find("svg")


class TestPage:
    def test_the_page_has_every_section(self, results):
        assert sections(page(results)) == ["curves", "protocol", "baselines", "training", "data"]

    @pytest.mark.parametrize(
        ("absent", "section"),
        [
            ({"models": {}}, "curves"),
            ({"protocol": None}, "protocol"),
            ({"baselines": {}}, "baselines"),
            ({"training": None}, "training"),
            ({"data": None}, "data"),
        ],
    )
    def test_absent_results_remove_only_their_section(self, results, absent, section):
        expected = [name for name in sections(page(results)) if name != section]
        assert sections(page(changed(results, **absent))) == expected

    def test_without_baselines_there_is_no_comparison(self, results):
        root = page(changed(results, best_baseline={}))
        assert "best baseline" not in text(root)
        assert "NDCG@10" in text(root)

    def test_empty_results_still_make_a_page(self):
        assert sections(page(KShotResults())) == []

    def test_the_page_loads_nothing_and_runs_nothing(self, results):
        html = render(results)
        attributes = {name for element in page(results).iter() for name in element.attrib}
        assert not attributes & {"src", "href", "srcset", "data", "action", "style"}
        assert not any(name.startswith("on") for name in attributes)
        assert "http" not in html
        assert "url(" not in html
        assert "@import" not in html
        assert "<script" not in html

    def test_all_text_from_outside_is_escaped(self, results):
        models, baselines, config = dict(results.models), dict(results.baselines), dict(results.training.config)
        models[ATTACK] = models.pop("EASE")
        ease = baselines.pop("EASE")
        baselines[ATTACK] = Tuning(ease.choice, ease.grid, ATTACK)
        config["seed"] = ATTACK
        attacked = changed(
            results,
            data=summary_of(
                source=ATTACK,
                notes=(Note(17, ATTACK),),
                columns=(ColumnFact("items", ATTACK, ATTACK),),
                warnings=(ATTACK,),
            ),
            protocol=results.protocol.model_copy(update={"order": ATTACK}),
            models=models,
            baselines=baselines,
            best_baseline={**results.best_baseline, 20: results.best_baseline[20]._replace(name=ATTACK)},
            training=results.training.model_copy(update={"config": config}),
        )
        root = page(attacked)
        assert "script" not in {element.tag for element in root.iter()}
        assert text(root).count(ATTACK) >= 10
        assert root.find("head/title").text == f"kshot report: {ATTACK}"

    def test_every_plot_has_a_description(self, results):
        plots = [svg for svg in page(results).iter("svg") if svg.get("aria-hidden") != "true"]
        assert len(plots) == 12
        for svg in plots:
            assert svg.get("role") == "img"
            assert "table" in svg.get("aria-label")

    def test_colours_follow_light_and_dark(self, results):
        assert "prefers-color-scheme: dark" in render(results)


class TestFigures:
    def test_every_figure_is_in_a_table_beside_its_plot(self, results):
        root = page(results)
        for metric, title in {
            "ndcg@10": "NDCG@10",
            "recall@20": "Recall@20",
            "coverage@10": "Coverage@10",
        }.items():
            for name, cells in rows(root, f"{title}:").items():
                figures = [text(cell)[:6] for cell in cells]
                assert figures == [f"{figures[metric].mean:.4f}" for figures in results.models[name].values()]

    def test_a_figure_has_its_interval(self, results):
        figure = results.models["EASE"][5]["ndcg@10"]
        low, high = figure.interval
        cell = rows(page(results), "NDCG@10:")["EASE"][SHOTS.index(5)]
        assert text(cell) == f"{figure.mean:.4f}[{low:.3f}, {high:.3f}]"

    def test_the_best_of_each_column_is_bold(self, results):
        table = rows(page(results), "NDCG@10:")
        last = {name: cells[-1].find("strong") is not None for name, cells in table.items()}
        assert last == {"kshot": True, "popularity": False, "item-kNN": False, "EASE": False}

    def test_the_difference_names_the_best_baseline_and_its_interval(self, results):
        best = results.best_baseline[20]
        baseline, difference, relative = map(text, rows(page(results), "kshot minus")["k=20"])
        low, high = best.interval
        assert baseline == f"EASE{best.reference:.4f}"
        assert difference == f"{best.difference:+.4f}[{low:+.4f}, {high:+.4f}]"
        assert relative == f"{best.difference / best.reference:+.1%} *"

    def test_the_verdict_tells_ahead_from_behind_and_from_neither(self, results):
        differences = {0: (0.01, (-0.01, 0.03)), 1: (-0.02, (-0.03, -0.01)), 3: (0.02, (0.01, 0.03))}
        best = {k: Difference(0.4, difference, interval, "EASE") for k, (difference, interval) in differences.items()}
        words = text(page(changed(results, best_baseline=best)))
        assert "At k = 3, kshot is ahead of the best baseline." in words
        assert "At k = 1, kshot is behind the best baseline." in words
        assert "At k = 0, kshot is not distinguishable from the best baseline." in words

    def test_the_tuning_of_the_baselines_is_shown(self, results):
        root = page(results)
        table = rows(root, "Chosen")
        assert [text(cell) for cell in table["EASE, regularisation of 100, 300"]] == ["300"] * len(SHOTS)
        assert [text(cell) for cell in table["EASE, beta of 0, 10, 200"]] == ["0", "10", "30", "50", "100", "200"]
        assert "EASE: covers the 5000 most liked of 9125 items" in text(root)

    def test_descriptive_metrics_have_no_best(self, results):
        root = page(results)
        for caption in ("Diversity@10", "Novelty@10", "Long-tail@10"):
            cells = [cell for row in rows(root, caption).values() for cell in row]
            assert len(cells) == 4 * len(SHOTS)
            assert all(cell.find("strong") is None for cell in cells)

    def test_an_absent_metric_is_left_out(self, results):
        models = {
            name: {k: {key: figures[key] for key in figures if key != "diversity@10"} for k, figures in ks.items()}
            for name, ks in results.models.items()
        }
        words = text(page(changed(results, models=models)))
        assert "Diversity@10" not in words
        assert "Novelty@10" in words

    def test_every_setting_is_shown_with_its_meaning(self, results):
        words = text(page(results))
        for name, field in TrainingConfig.model_fields.items():
            assert name in words
            assert field.description in words

    def test_the_weights_of_the_parts_are_in_a_table(self, results):
        table = rows(page(results), "Weights of the parts")
        assert list(table) == [
            "dense",
            "votes",
            "linear memory, regularisation 300",
            "validation NDCG@10 before",
            "validation NDCG@10 after",
        ]
        assert [text(cell) for cell in table["votes"]] == ["1.5"] * (len(SHOTS) - 1)
        assert text(table["validation NDCG@10 after"][0]) == "0.3125"


class TestData:
    def test_the_data_summary_is_shown(self, results):
        words = text(page(results))
        for expected in ("Users671", "Items9,125", "Events100,004", "Density1.640%", "Liked51.0% of events, from 4"):
            assert expected in words
        assert "17 events dropped: the rating is no number" in words

    def test_optional_facts_are_shown_if_there_are_any(self, results):
        summary = summary_of(
            reason="they end at 5",
            types={"view": 1.0, "buy": 20.0},
            histogram=(HistogramBar(1.0, 3.5, 1), HistogramBar(5.0, 5.0, 3)),
        )
        words = text(page(changed(results, data=summary)))
        for expected in ("ratings: they end at 5", "Event type buy", "1 to 3.5", "75.0%", "10 bins, 7 missing"):
            assert expected in words

    def test_many_values_are_labelled_sparsely(self, results):
        bars = tuple(HistogramBar(value, value, 1 + value) for value in range(100))
        drawing = plot(page(changed(results, data=summary_of(histogram=bars))), "Share of events by value")
        labels = [label.text for label in drawing.iter("text") if label.get("y") == str(ON_PAGE.y_bottom + 16)]
        assert len(drawing.findall("rect")) == 100
        assert labels == [str(value) for value in range(0, 100, 9)]

    def test_one_k_one_epoch_and_one_value_are_enough(self):
        results = results_of({"kshot": GAINS["kshot"]}, shots=(1,))
        training = results.training.model_copy(update={"history": results.training.history[:1]})
        small = changed(results, training=training, data=summary_of(histogram=(HistogramBar(4.0, 4.0, 9),)))
        middle = str((ON_PAGE.x_start + ON_PAGE.x_end) / 2)
        assert plot(page(small), "NDCG@10").find(".//circle").get("cx") == middle

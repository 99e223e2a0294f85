import copy
import io
import itertools
import math
import re
from xml.etree import ElementTree as ET

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from model_store.config import TrainingConfig
from model_store.data.summary import Bar, ColumnFact, Note, Summary
from model_store.evaluation import comparison
from model_store.evaluation.protocol import Judgement
from model_store.reports import page as report
from model_store.reports.tables import kshot_table

SHOTS = (0, 1, 3, 5, 10, 20)
ATTACK = "<script>alert(1)</script>&\"'"


def judgements(gains: dict[str, float], shots=SHOTS) -> comparison.Judgements:
    """Models that gain so much per event on 60 users."""
    rng = np.random.default_rng(0)
    noise = rng.normal(0, 0.02, 60)
    found = {}
    for name, gain in gains.items():
        own = rng.normal(0, 0.001, 60)
        by_shots = {k: 0.4 + gain * math.log1p(k) + noise + own for k in shots}
        found[name] = {
            k: Judgement(
                {
                    "ndcg@10": each,
                    "recall@20": 0.8 * each,
                    "hr@10": 1.5 * each,
                    "mrr": 1.1 * each,
                    "diversity@10": 0.9 - each / 2,
                    "novelty@10": 1 + each,
                    "long-tail@10": each / 9,
                },
                0.02 + gain,
            )
            for k, each in by_shots.items()
        }
    return found


def results_of(judged: comparison.Judgements) -> dict:
    """What report.json holds, read back from JSON."""
    shots = list(judged["kshot"])
    choice = {str(k): {"regularisation": 300.0, "beta": 10.0 * k} for k in shots}
    grid = {"regularisation": (100, 300), "beta": (0, 10, 200)}
    results = {
        "data": {
            "source": "demo:movies",
            "n_users": 671,
            "n_items": 9125,
            "n_events": 100_004,
            "density": 0.0164,
            "median_events": 71.0,
            "liked_share": 0.51,
            "histogram": [{"low": 4.0, "high": 4.0, "count": 28_750}, {"low": 4.5, "high": 5.0, "count": 7_723}],
            "notes": [{"count": 17, "reason": "events dropped: the rating is no number"}],
            "columns": [
                {"table": "items", "name": "year", "became": "10 bins, 7 missing"},
                {"table": "users", "name": "gender", "became": "2 tags"},
            ],
            "warnings": ["items: column url became nothing"],
        },
        "protocol": {
            "shots": shots,
            "min_events": 30,
            "query_after": 20,
            "users": 120,
            "items": 9125,
            "seed": 0,
            "order": "time",
        },
        "models": comparison.figures(judged),
        "baselines": {
            "popularity": {"choice": {}, "grid": {}, "note": ""},
            "EASE": {"choice": choice, "grid": grid, "note": "covers the 5000 most liked of 9125 items"},
        },
        "best_baseline": comparison.against_best_baseline(judged),
        "training": {
            "history": [{"epoch": n, "loss": 7.5 - n / 8, "validation": 0.3 + n / 99} for n in range(1, 9)],
            "best_epoch": 7,
            "seconds": 41.2,
            "calibration": {
                "regularisation": 300.0,
                "shots": {
                    str(k): {"dense": 0.75, "votes": 1.5, "linear": 5.0, "before": 0.3, "after": 0.3125}
                    for k in shots
                    if k or len(shots) == 1
                },
            },
            "config": TrainingConfig().model_dump(),
        },
    }
    return orjson.loads(orjson.dumps(results))


@pytest.fixture(scope="module")
def shared_results() -> dict:
    return results_of(judgements({"kshot": 0.05, "popularity": 0.0, "item-kNN": 0.02, "EASE": 0.03}))


@pytest.fixture
def results(shared_results) -> dict:
    return copy.deepcopy(shared_results)


def page(results: dict) -> ET.Element:
    """The page, parsed; fails where it is not well formed."""
    return ET.fromstring(report.render(results))


def text(element: ET.Element) -> str:
    return re.sub(r"\s+", " ", "".join(element.itertext()))


def sections(root: ET.Element) -> list[str]:
    return [heading.get("id") for heading in root.iter("h2")]


def rows(root: ET.Element, caption: str) -> dict[str, list[ET.Element]]:
    """Heading → cells of the table whose caption starts so."""
    table = next(each for each in root.iter("table") if text(each).strip().startswith(caption))
    return {row.find("th").text: row.findall("td") for row in table.find("tbody")}


def plot(root: ET.Element, title: str) -> ET.Element:
    return next(each.find("svg") for each in root.iter("figure") if each.find("figcaption").text == title)


def terminal(results: dict, **options) -> str:
    console = Console(width=80, file=io.StringIO(), **options)
    console.print(kshot_table(results))
    return console.file.getvalue()


class TestPage:
    def test_the_page_has_every_section(self, results):
        assert sections(page(results)) == ["curves", "protocol", "baselines", "training", "data"]

    @pytest.mark.parametrize(
        ("absent", "section"),
        [("models", "curves"), *((each, each) for each in ("protocol", "baselines", "training", "data"))],
    )
    def test_an_absent_key_leaves_only_its_section_out(self, results, absent, section):
        everything = sections(page(results))
        del results[absent]
        assert sections(page(results)) == [each for each in everything if each != section]

    def test_without_baselines_there_is_nothing_to_compare_to(self, results):
        del results["best_baseline"]
        root = page(results)
        assert "best baseline" not in text(root)
        assert "NDCG@10" in text(root)

    def test_results_of_nothing_still_make_a_page(self):
        assert sections(page({})) == []

    def test_the_page_fetches_nothing_and_runs_nothing(self, results):
        html = report.render(results)
        attributes = {name for element in page(results).iter() for name in element.attrib}
        assert not attributes & {"src", "href", "srcset", "data", "action", "style"}
        assert not any(name.startswith("on") for name in attributes)
        assert "http" not in html
        assert "url(" not in html
        assert "@import" not in html
        assert "<script" not in html

    def test_everything_from_outside_is_escaped(self, results):
        results["data"]["source"] = results["data"]["notes"][0]["reason"] = results["protocol"]["order"] = ATTACK
        results["data"]["columns"][0] = {"table": "items", "name": ATTACK, "became": ATTACK}
        results["data"]["warnings"] = [ATTACK]
        results["models"][ATTACK] = results["models"].pop("EASE")
        results["baselines"][ATTACK] = {**results["baselines"].pop("EASE"), "note": ATTACK}
        results["best_baseline"]["20"]["name"] = ATTACK
        results["training"]["config"]["seed"] = ATTACK
        root = page(results)
        assert "script" not in {element.tag for element in root.iter()}
        assert text(root).count(ATTACK) >= 10
        assert root.find("head/title").text == f"kshot report: {ATTACK}"

    def test_every_plot_says_what_it_shows(self, results):
        plots = [each for each in page(results).iter("svg") if each.get("aria-hidden") != "true"]
        assert len(plots) == 12
        for each in plots:
            assert each.get("role") == "img"
            assert "table" in each.get("aria-label")

    def test_light_and_dark_are_both_drawn_for(self, results):
        assert "prefers-color-scheme: dark" in report.render(results)


class TestFigures:
    def test_every_figure_stands_in_a_table_beside_its_plot(self, results):
        root = page(results)
        for metric, title in {
            "ndcg@10": "NDCG@10",
            "recall@20": "Recall@20",
            "coverage@10": "Coverage@10",
        }.items():
            for name, cells in rows(root, f"{title}:").items():
                figures = [text(cell)[:6] for cell in cells]
                assert figures == [f"{judged[metric]:.4f}" for judged in results["models"][name].values()]

    def test_the_headline_has_its_interval(self, results):
        judged = results["models"]["EASE"]["5"]
        low, high = judged["ndcg@10 interval"]
        cell = rows(page(results), "NDCG@10:")["EASE"][SHOTS.index(5)]
        assert text(cell) == f"{judged['ndcg@10']:.4f}[{low:.3f}, {high:.3f}]"

    def test_the_best_of_each_column_is_bold(self, results):
        table = rows(page(results), "NDCG@10:")
        last = {name: cells[-1].find("strong") is not None for name, cells in table.items()}
        assert last == {"kshot": True, "popularity": False, "item-kNN": False, "EASE": False}

    def test_the_difference_names_the_best_baseline_and_its_interval(self, results):
        best = results["best_baseline"]["20"]
        baseline, difference, relative = map(text, rows(page(results), "kshot minus")["k=20"])
        low, high = best["interval"]
        assert baseline == f"EASE{best['ndcg@10']:.4f}"
        assert difference == f"{best['difference']:+.4f}[{low:+.4f}, {high:+.4f}]"
        assert relative == f"{best['difference'] / best['ndcg@10']:+.1%} *"

    def test_the_verdict_tells_ahead_from_behind_and_from_neither(self, results):
        differences = {"0": (0.01, [-0.01, 0.03]), "1": (-0.02, [-0.03, -0.01]), "3": (0.02, [0.01, 0.03])}
        results["best_baseline"] = {
            k: {"name": "EASE", "ndcg@10": 0.4, "difference": difference, "interval": interval}
            for k, (difference, interval) in differences.items()
        }
        said = text(page(results))
        assert "At k = 3, kshot is ahead of the best baseline." in said
        assert "At k = 1, kshot is behind the best baseline." in said
        assert "At k = 0, kshot is not to be told from the best baseline." in said

    def test_what_the_baselines_were_tuned_to_is_told(self, results):
        root = page(results)
        table = rows(root, "Chosen")
        assert [text(cell) for cell in table["EASE, regularisation of 100, 300"]] == ["300"] * len(SHOTS)
        assert [text(cell) for cell in table["EASE, beta of 0, 10, 200"]] == ["0", "10", "30", "50", "100", "200"]
        assert "EASE: covers the 5000 most liked of 9125 items" in text(root)

    def test_what_describes_a_list_without_grading_it_has_no_best(self, results):
        root = page(results)
        for caption in ("Diversity@10", "Novelty@10", "Long-tail@10"):
            cells = [cell for row in rows(root, caption).values() for cell in row]
            assert len(cells) == 4 * len(SHOTS)
            assert all(cell.find("strong") is None for cell in cells)

    def test_a_metric_that_was_not_judged_is_left_out(self, results):
        for by_shots in results["models"].values():
            for judged in by_shots.values():
                del judged["diversity@10"]
        said = text(page(results))
        assert "Diversity@10" not in said
        assert "Novelty@10" in said

    def test_every_setting_is_told_with_its_meaning(self, results):
        said = text(page(results))
        for name, field in TrainingConfig.model_fields.items():
            assert name in said
            assert field.description in said

    def test_the_data_is_summed_up_with_what_was_dropped(self, results):
        said = text(page(results))
        for expected in ("Users671", "Items9,125", "Events100,004", "Density1.640%", "Liked51.0% of events"):
            assert expected in said
        assert "17 events dropped: the rating is no number" in said


class TestPlots:
    def test_lines_lie_inside_the_axes_and_higher_is_higher(self, results):
        circles = plot(page(results), "NDCG@10").findall(".//circle")
        places = {
            each.find("title").text.split(" [")[0]: (float(each.get("cx")), float(each.get("cy"))) for each in circles
        }
        assert len(places) == 4 * len(SHOTS)
        for x, y in places.values():
            assert report.LEFT <= x <= report.RIGHT
            assert report.TOP <= y <= report.BOTTOM
        figures = {f"{name}, k = {k}": judged for name, ks in results["models"].items() for k, judged in ks.items()}
        by_height = sorted(places, key=lambda says: places[says][1], reverse=True)
        by_figure = [figures[says.split(":")[0]]["ndcg@10"] for says in by_height]
        # Places are rounded to a tenth of a unit, a thousandth of the axis.
        assert all(later >= earlier - 1e-3 for earlier, later in itertools.pairwise(by_figure))

    def test_intervals_are_bands_around_their_lines(self, results):
        bands = plot(page(results), "NDCG@10").findall(".//polygon")
        assert len(bands) == 4
        for band in bands:
            places = [tuple(map(float, place.split(","))) for place in band.get("points").split()]
            highs, lows = places[: len(SHOTS)], places[: len(SHOTS) - 1 : -1]
            for (x_high, y_high), (x_low, y_low) in zip(highs, lows, strict=True):
                assert x_high == x_low
                assert report.TOP <= y_high < y_low <= report.BOTTOM
        assert plot(page(results), "Coverage@10").findall(".//polygon") == []

    def test_the_best_epoch_is_marked(self, results):
        drawing = plot(page(results), "Loss, nats per query item")
        best = next(each for each in drawing.iter("circle") if each.find("title").text.startswith("epoch 7:"))
        mark = next(each for each in drawing.iter("line") if each.get("class") == "mark")
        assert mark.get("x1") == best.get("cx")
        assert "best: 7" in text(drawing)

    def test_bars_are_as_high_as_their_shares(self, results):
        bars = [float(bar.get("height")) for bar in plot(page(results), "Share of events by value").iter("rect")]
        assert bars[0] / bars[1] == pytest.approx(28_750 / 7_723, rel=0.01)

    def test_the_page_about_the_data_stands_in_the_report(self, results):
        summary = Summary(
            source="shop", kind="ratings", order="time", n_users=2, n_items=3, n_items_with_events=2, n_events=4,
            n_features=1, n_attributes=0, n_users_described=0, density=0.5, median_events=2.0, liked_at_least=4.0,
            liked_share=0.5, histogram=(Bar(1.0, 3.5, 1), Bar(5.0, 5.0, 3)), notes=(Note(7, "events dropped: odd"),),
            value_min=1.0, value_max=5.0, reason="they end at 5", types={"view": 1.0, "buy": 20.0},
            columns=(ColumnFact("items", "price", "10 bins, 1 missing"),), warnings=("column url became nothing",),
        )  # fmt: skip
        results["data"] = orjson.loads(orjson.dumps(summary.as_dict()))
        words = text(page(results))
        for said in ("7 events dropped: odd", "10 bins, 1 missing", "column url became nothing", "1 to 3.5", "75.0%"):
            assert said in words
        for said in ("ratings: they end at 5", "from 4", "Event type buy"):
            assert said in words

    def test_many_values_are_labelled_sparsely(self, results):
        results["data"]["histogram"] = [{"low": value, "high": value, "count": 1 + value} for value in range(100)]
        drawing = plot(page(results), "Share of events by value")
        labels = [each.text for each in drawing.iter("text") if each.get("y") == str(report.BOTTOM + 16)]
        assert len(drawing.findall("rect")) == 100
        assert labels == [str(value) for value in range(0, 100, 9)]

    def test_the_shares_of_the_parts_stand_in_a_table(self, results):
        (caption,) = (each for each in page(results).iter("caption") if "Shares of the parts" in text(each))
        words = text(next(each for each in page(results).iter("table") if text(caption) in text(each)))
        assert "linear memory, regularisation 300" in words
        assert "0.3125" in words

    def test_one_k_one_epoch_and_one_value_are_enough(self):
        results = results_of(judgements({"kshot": 0.0}, shots=(1,)))
        results["training"]["history"] = results["training"]["history"][:1]
        results["data"]["histogram"] = results["data"]["histogram"][:1]
        middle = str((report.LEFT + report.RIGHT) / 2)
        assert plot(page(results), "NDCG@10").find(".//circle").get("cx") == middle

    @given(st.lists(st.floats(-1e6, 1e6).filter(lambda value: value == 0 or abs(value) > 1e-6), min_size=1))
    def test_ticks_are_few_even_and_enclose_what_is_drawn(self, values):
        ticks = report._ticks(values)
        steps = np.diff(ticks)
        assert 2 <= len(ticks) <= 6
        assert ticks[0] <= min(values) + 1e-9 * steps[0]
        assert ticks[-1] >= max(values) - 1e-9 * steps[0]
        np.testing.assert_allclose(steps, steps[0], rtol=1e-4)


class TestTable:
    def test_every_model_has_a_row_of_its_figures(self, results):
        lines = terminal(results).splitlines()
        for name, by_shots in results["models"].items():
            row = next(line.split() for line in lines if line.split()[:1] == [name])
            assert row[1:] == [f"{judged['ndcg@10']:.4f}" for judged in by_shots.values()]

    def test_the_last_row_is_the_relative_difference_with_a_star_where_it_is_certain(self, results):
        results["best_baseline"]["0"] |= {"difference": 0.01, "ndcg@10": 0.4, "interval": [-0.01, 0.02]}
        results["best_baseline"]["20"] |= {"difference": -0.02, "ndcg@10": 0.4, "interval": [-0.03, -0.01]}
        row = next(line for line in terminal(results).splitlines() if "kshot vs best" in line)
        assert re.search(r"best +\+2\.5%  ", row)
        assert re.search(r"-5\.0% \* *$", row)

    def test_the_best_of_each_column_is_bold(self, results):
        written = terminal(results, force_terminal=True, color_system="standard")
        bold = re.findall(r"\x1b\[1m *(0\.\d+)\x1b", written)
        assert bold == [f"{judged['ndcg@10']:.4f}" for judged in results["models"]["kshot"].values()]

    def test_piped_it_is_plain_text_of_at_most_80_columns(self, results):
        for best in results["best_baseline"].values():
            best |= {"difference": -0.123, "ndcg@10": 0.4, "interval": [-0.2, -0.1]}
        written = terminal(results)
        assert "\x1b" not in written
        assert max(map(len, written.splitlines())) <= 80
        assert written.count("-30.8% *") == len(SHOTS)

    def test_the_caption_says_whom_and_what_it_is_about(self, results):
        said = re.sub(r"\s+", " ", terminal(results))
        assert "120 test users, all 9,125 items ranked" in said
        assert "in time order" in said
        assert "what they liked after event 20" in said

    def test_a_name_in_brackets_is_no_markup(self, results):
        results["models"]["[red]"] = results["models"].pop("EASE")
        assert "[red]" in terminal(results)

    def test_without_baselines_the_last_row_is_left_out(self, results):
        del results["best_baseline"]
        written = terminal(results)
        assert "vs best" not in written
        assert "*" not in written

    def test_a_baseline_that_never_hits_has_no_relative_difference(self, results):
        results["best_baseline"]["0"] |= {"ndcg@10": 0.0}
        assert re.search(r"kshot vs best +- ", terminal(results))

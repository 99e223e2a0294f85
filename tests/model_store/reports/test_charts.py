import itertools
from xml.etree import ElementTree as ET

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_up_results import SHOTS

from model_store.errors import ReportInvalid
from model_store.reports import charts
from model_store.reports.charts import ON_PAGE, Histogram, Line, LineChart, Point
from model_store.reports.results import KShotResults

SVG = "{http://www.w3.org/2000/svg}"


def test_lines_are_inside_the_axes_and_higher_is_higher(results):
    drawing = ET.fromstring(charts.line_chart(charts.metric_chart(results.models, "ndcg@10")))
    positions = {
        circle.find("title").text.split(":")[0]: (float(circle.get("cx")), float(circle.get("cy")))
        for circle in drawing.iter("circle")
    }
    assert len(positions) == 4 * len(SHOTS)
    for x, y in positions.values():
        assert ON_PAGE.x_start <= x <= ON_PAGE.x_end
        assert ON_PAGE.y_top <= y <= ON_PAGE.y_bottom
    figures = {f"{name}, k = {k}": figures for name, ks in results.models.items() for k, figures in ks.items()}
    by_height = sorted(positions, key=lambda label: positions[label][1], reverse=True)
    means = [figures[label]["ndcg@10"].mean for label in by_height]
    # Positions are rounded to a tenth of a unit, a thousandth of the axis.
    assert all(later >= earlier - 1e-3 for earlier, later in itertools.pairwise(means))


def test_intervals_are_bands_around_their_lines(results):
    bands = list(ET.fromstring(charts.line_chart(charts.metric_chart(results.models, "ndcg@10"))).iter("polygon"))
    assert len(bands) == 4
    for band in bands:
        points = [tuple(map(float, point.split(","))) for point in band.get("points").split()]
        highs, lows = points[: len(SHOTS)], points[: len(SHOTS) - 1 : -1]
        for (x_high, y_high), (x_low, y_low) in zip(highs, lows, strict=True):
            assert x_high == x_low
            assert ON_PAGE.y_top <= y_high < y_low <= ON_PAGE.y_bottom
    coverage = ET.fromstring(charts.line_chart(charts.metric_chart(results.models, "coverage@10")))
    assert list(coverage.iter("polygon")) == []


def test_a_mark_is_drawn_at_its_position():
    points = [Point(float(epoch), epoch / 9, f"epoch {epoch}") for epoch in range(1, 9)]
    chart = LineChart("Loss", "epoch", [("1", 1.0)], [Line("loss", points)], mark=("best: 7", 7.0))
    drawing = ET.fromstring(charts.line_chart(chart))
    best = next(circle for circle in drawing.iter("circle") if circle.find("title").text == "epoch 7")
    mark = next(line for line in drawing.iter("line") if line.get("class") == "mark")
    assert mark.get("x1") == best.get("cx")
    assert "best: 7" in "".join(drawing.itertext())


def test_bars_are_as_high_as_their_shares():
    drawing = ET.fromstring(charts.histogram(Histogram("Share", "value", [("4", 0.8), ("5", 0.2)])))
    high, low = (float(bar.get("height")) for bar in drawing.iter("rect"))
    assert high / low == pytest.approx(4, rel=0.01)


def test_the_curve_is_a_file_by_itself_with_every_model(results):
    drawing = ET.fromstring(charts.k_shot_curve(results))
    assert drawing.tag == f"{SVG}svg"
    names = [label.text for label in drawing.iter(f"{SVG}text") if label.get("class") == "name"]
    assert names == list(results.models)
    assert len(list(drawing.iter(f"{SVG}polygon"))) == 1
    assert "prefers-color-scheme: dark" in drawing.find(f"{SVG}style").text
    positions = [float(circle.get("cx")) for circle in drawing.iter(f"{SVG}circle")]
    assert max(positions) <= float(drawing.get("width"))


def test_a_name_is_escaped_in_the_curve(results):
    models = {"kshot": results.models["kshot"], "<a & b>": results.models["EASE"]}
    drawing = charts.k_shot_curve(results.model_copy(update={"models": models}))
    assert "&lt;a &amp; b&gt;" in drawing
    ET.fromstring(drawing)


def test_a_curve_without_models_or_metric_is_refused(results):
    with pytest.raises(ReportInvalid, match="no models"):
        charts.k_shot_curve(KShotResults())
    with pytest.raises(ReportInvalid, match="metric 'auc': not in these results"):
        charts.k_shot_curve(results, "auc")


@given(st.lists(st.floats(-1e6, 1e6).filter(lambda value: value == 0 or abs(value) > 1e-6), min_size=1))
def test_ticks_are_few_even_and_enclose_the_values(values):
    ticks = charts.ticks(values)
    steps = np.diff(ticks)
    assert 2 <= len(ticks) <= 6
    assert ticks[0] <= min(values) + 1e-9 * steps[0]
    assert ticks[-1] >= max(values) - 1e-9 * steps[0]
    np.testing.assert_allclose(steps, steps[0], rtol=1e-4)

"""Curves: every point is where its logarithms say, and nothing is outside of the frame."""

import math

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from html_tools import Parsed
from streamsparse.results.figures import Series, log_chart

NUMBERS = st.floats(5e-324, 1.7e308)
POINTS = st.lists(st.tuples(NUMBERS, NUMBERS), max_size=20).map(sorted)


def chart(points, mark="circle", level=None):
    series = [Series("one", points, "#123456", mark)]
    return log_chart("title", labels=("x", "y"), series=series, level=level)


def circles(html):
    """Centres of the marks, but for the legend's."""
    tags = [attributes for tag, attributes in Parsed(html).tags if tag == "circle"]
    return [(float(a["cx"]), float(a["cy"])) for a in tags][:-1]


@given(POINTS, st.none() | st.tuples(st.just("level"), NUMBERS))
@example([(5e-324, 5e-324), (1.7e308, 1.7e308)], ("level", 1.0))
@example([(1.0, 1.0)], None)
def test_chart__has_every_point_inside_its_frame(points, level):
    html = chart(points, level=level)
    if not points:
        assert "nothing to draw" in Parsed(html).text
        return
    assert len(circles(html)) == len(points)
    for x, y in circles(html):
        assert 70 <= x <= 620
        assert 40 <= y <= 310


def test_chart__has_logarithmic_axes():
    (x0, y0), (x1, y1), (x2, y2) = circles(chart([(1, 8), (4, 4), (16, 2)]))
    # Coordinates are rounded to a tenth of a pixel, so their differences by as much.
    assert abs((x1 - x0) - (x2 - x1)) <= 0.2 + 1e-9
    assert abs((y1 - y0) - (y2 - y1)) <= 0.2 + 1e-9
    assert x0 < x1 < x2
    assert y0 < y1 < y2


def test_chart__leaves_out_what_has_no_logarithm():
    points = [(1.0, 0.0), (2.0, 1.0), (3.0, math.nan), (4.0, math.inf), (5.0, 2.0)]
    assert len(circles(chart(points))) == 2


@pytest.mark.parametrize(
    ("low", "high", "ticks"),
    [
        (0.1, 1.0, ["0.1", "0.2", "0.5", "1"]),
        (1.0, 20.0, ["1", "2", "5", "10", "20"]),
        (1.0, 10_000.0, ["1", "10", "100", "1,000", "10,000"]),
        (1e-15, 1.0, ["1e-15", "1e-13", "1e-11", "1e-09", "1e-07", "1e-05", "0.001", "0.1"]),
    ],
)
def test_chart__has_round_ticks_and_not_too_many(low, high, ticks):
    texts = Parsed(chart([(1.0, low), (1.0, high)])).texts
    assert texts[-1 - len(ticks) : -1] == ticks


def test_chart__tells_who_sees_no_figure_what_it_is_and_marks_series_apart():
    series = [
        Series(mark, [(1.0, 1.0), (2.0, 2.0)], "#123456", mark)
        for mark in ("circle", "square", "diamond", "ring")
    ]
    html = log_chart("<title>", labels=("x", "y"), series=series, level=("epsilon", 1.5))
    parsed = Parsed(html)
    (svg,) = [attributes for tag, attributes in parsed.tags if tag == "svg"]
    assert (svg["role"], svg["aria-label"]) == ("img", "<title>")
    assert parsed.texts[0] == "<title>"
    shapes = {s.mark: log_chart("", labels=("", ""), series=[s._replace(label="")]) for s in series}
    assert len(set(shapes.values())) == 4
    assert {"circle", "square", "diamond", "ring", "epsilon"} <= set(parsed.texts)

"""Curves as SVG within a page: both axes logarithmic, marks as well as colours, no scripts."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from streamsparse.html import Markup, element

_WIDTH, _HEIGHT = 640, 360
_LEFT, _RIGHT, _TOP, _BOTTOM = 70, 620, 40, 310
# Room of a letter in a legend; what is wider only moves the next entry.
_LETTER = 7
_MOST_TICKS = 8


class Series(NamedTuple):
    """Points (x, y) in order of x, and how they are shown.

    ``mark`` is "circle", "square", "diamond", "ring" or ""; ``dash`` as SVG's stroke-dasharray.
    """

    label: str
    points: Sequence[tuple[float, float]]
    colour: str
    mark: str
    dash: str = "none"


@dataclass(frozen=True, slots=True)
class _Axis:
    """A logarithmic axis: decimal logarithms of its ends, and the pixels they are at."""

    low: float
    high: float
    start: float
    stop: float

    @classmethod
    def around(cls, values: Sequence[float], start: float, stop: float) -> _Axis:
        low, high = math.log10(min(values)), math.log10(max(values))
        # Marks stay off the frame, and a single value has an extent.
        room = max(0.02, 0.03 * (high - low)) if high > low else 0.3
        return cls(low - room, high + room, start, stop)

    def at(self, value: float) -> float:
        share = (math.log10(value) - self.low) / (self.high - self.low)
        return round(self.start + share * (self.stop - self.start), 1)

    def ticks(self) -> list[float]:
        """Return 1, 2 and 5 of every decade, only the 1 where those are many, or fewer still."""
        decades = range(math.floor(self.low), math.ceil(self.high) + 1)
        fine = self._inside(f"{step}e{k}" for k in decades for step in (1, 2, 5))
        if len(fine) <= _MOST_TICKS:
            return fine
        coarse = self._inside(f"1e{k}" for k in decades)
        return coarse[:: math.ceil(len(coarse) / _MOST_TICKS)]

    def _inside(self, numbers: Iterable[str]) -> list[float]:
        values = [value for value in map(float, numbers) if 0 < value < math.inf]
        return [value for value in values if self.low <= math.log10(value) <= self.high]


def log_chart(
    title: str,
    *,
    labels: tuple[str, str],
    series: Sequence[Series],
    level: tuple[str, float] | None = None,
) -> Markup:
    """Draw series against two logarithmic axes.

    Parameters
    ----------
    title : what a reader who sees no figure is told.
    labels : of the x axis and of the y axis.
    series : points that are not positive and finite have no place on such axes, and are left out.
    level : a label and a height at which a line is drawn across, > 0.

    Returns
    -------
    The figure; a sentence where no point is left.
    """
    kept = [[p for p in one.points if all(0 < v < math.inf for v in p)] for one in series]
    shown = [one._replace(points=p) for one, p in zip(series, kept, strict=True) if p]
    points = [point for one in shown for point in one.points]
    if not points:
        return element("p", f"{title}: no value is above 0, so there is nothing to draw.")
    heights = [y for _, y in points] + ([level[1]] if level else [])
    x_axis = _Axis.around([x for x, _ in points], _LEFT, _RIGHT)
    y_axis = _Axis.around(heights, _BOTTOM, _TOP)
    parts = [element("title", title), *_frame(x_axis, y_axis, labels)]
    if level:
        y = y_axis.at(level[1])
        parts.append(_line(_LEFT, y, _RIGHT, y, stroke_dasharray="6 4"))
        parts.append(_text(level[0], _LEFT + 6, y - 5))
    for one in shown:
        parts.extend(_draw(one, x_axis, y_axis))
    parts.extend(_legend(shown))
    return element(
        "svg",
        *parts,
        viewBox=f"0 0 {_WIDTH} {_HEIGHT}",
        width=_WIDTH,
        height=_HEIGHT,
        role="img",
        aria_label=title,
        font_size=12,
        fill="currentColor",
    )


def _frame(x_axis: _Axis, y_axis: _Axis, labels: tuple[str, str]) -> list[Markup]:
    parts = [
        _line(_LEFT, _BOTTOM, _RIGHT, _BOTTOM),
        _line(_LEFT, _TOP, _LEFT, _BOTTOM),
        _text(labels[0], (_LEFT + _RIGHT) / 2, _HEIGHT - 8, anchor="middle"),
        _text(labels[1], 14, (_TOP + _BOTTOM) / 2, anchor="middle", turned=True),
    ]
    for value in x_axis.ticks():
        x = x_axis.at(value)
        parts += [
            _line(x, _BOTTOM, x, _BOTTOM + 5),
            _text(_number(value), x, _BOTTOM + 19, anchor="middle"),
        ]
    for value in y_axis.ticks():
        y = y_axis.at(value)
        parts += [
            _line(_LEFT - 5, y, _LEFT, y),
            _text(_number(value), _LEFT - 8, y + 4, anchor="end"),
        ]
    return parts


def _draw(series: Series, x_axis: _Axis, y_axis: _Axis) -> list[Markup]:
    at = [(x_axis.at(x), y_axis.at(y)) for x, y in series.points]
    marks = [_MARKS[series.mark](x, y, series.colour) for x, y in at if series.mark]
    if len(at) == 1:
        return marks
    line = element(
        "polyline",
        points=" ".join(f"{x},{y}" for x, y in at),
        fill="none",
        stroke=series.colour,
        stroke_width=1.5,
        stroke_dasharray=series.dash,
    )
    return [line, *marks]


def _legend(shown: Sequence[Series]) -> list[Markup]:
    parts, x = [], float(_LEFT)
    for one in shown:
        if len(one.points) > 1:
            parts.append(_line(x, 18, x + 22, 18, stroke=one.colour, stroke_dasharray=one.dash))
        if one.mark:
            parts.append(_MARKS[one.mark](x + 11, 18, one.colour))
        parts.append(_text(one.label, x + 28, 22))
        x += 50 + _LETTER * len(one.label)
    return parts


def _line(x1: float, y1: float, x2: float, y2: float, **attributes: object) -> Markup:
    stroke = {"stroke": "currentColor"} | attributes
    return element("line", x1=x1, y1=y1, x2=x2, y2=y2, **stroke)


def _text(text: str, x: float, y: float, *, anchor: str = "start", turned: bool = False) -> Markup:
    turn = {"transform": f"rotate(-90 {x} {y})"} if turned else {}
    return element("text", text, x=x, y=y, text_anchor=anchor, **turn)


def _number(value: float) -> str:
    return f"{value:,.0f}" if 1 <= value < 1e6 else f"{value:g}"


def _circle(x: float, y: float, colour: str) -> Markup:
    return element("circle", cx=x, cy=y, r=3, fill=colour)


def _ring(x: float, y: float, colour: str) -> Markup:
    return element("circle", cx=x, cy=y, r=7, fill="none", stroke=colour, stroke_width=2)


def _square(x: float, y: float, colour: str) -> Markup:
    return element("path", d=f"M{x - 3},{y - 3}h6v6h-6z", fill=colour)


def _diamond(x: float, y: float, colour: str) -> Markup:
    return element("path", d=f"M{x},{y - 4}l4,4l-4,4l-4,-4z", fill=colour)


_MARKS: dict[str, Callable[[float, float, str], Markup]] = {
    "circle": _circle,
    "ring": _ring,
    "square": _square,
    "diamond": _diamond,
}

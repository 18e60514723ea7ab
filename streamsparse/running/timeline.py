"""How a run went on: when how many bytes were done, in few enough points to keep with a result."""

from __future__ import annotations

import time
from typing import TypeAlias

from streamsparse.running.progress import Progress

# (seconds since the passes began, bytes done by then), both rising.
Points: TypeAlias = "tuple[tuple[float, int], ...]"

MOST_POINTS = 256


class Timeline:
    """Progress that is passed on to who shows it, and remembered.

    Points are thinned by time: those kept lie at least a gap apart, which doubles, about, whenever
    there are too many. What lies between two of them is known of both ends, so nothing is lost but
    detail.
    """

    def __init__(self, progress: Progress) -> None:
        self.is_in_notebook = progress.is_in_notebook
        self._progress = progress
        self._began = time.perf_counter()
        self._done, self._gap = 0, 0.0
        self._points = [(0.0, 0)]

    def advance(self, count: int) -> None:
        """Report ``count`` bytes done, and keep the moment."""
        self._progress.advance(count)
        self._done += count
        seconds = time.perf_counter() - self._began
        if seconds > self._points[-1][0] + self._gap:
            self._points.append((seconds, self._done))
            # One place is left for the end.
            if len(self._points) >= MOST_POINTS:
                self._gap = 2 * seconds / MOST_POINTS
                self._points = _thinned(self._points, self._gap)

    def skip(self, count: int) -> None:
        """Report ``count`` bytes that an earlier run has done: this one took no time for them."""
        self._progress.skip(count)

    def finish(self) -> Points:
        """Return the points, the last of which is now."""
        seconds = time.perf_counter() - self._began
        return *(point for point in self._points if point[0] < seconds), (seconds, self._done)


def _thinned(points: list[tuple[float, int]], gap: float) -> list[tuple[float, int]]:
    """Return the first point, and those more than ``gap`` seconds after the last one returned."""
    kept = points[:1]
    for point in points[1:]:
        if point[0] > kept[-1][0] + gap:
            kept.append(point)
    return kept

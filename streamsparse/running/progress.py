"""Progress on stderr: bytes, GB/s and time left; nothing where nobody watches."""

from __future__ import annotations

import sys
from types import TracebackType
from typing import Any, Protocol

from streamsparse.checks import check_choice

_FORMAT = "{desc}: {percentage:3.0f}%|{bar}| {n_fmt}B of {total_fmt}B, {rate_fmt}, {remaining} left"
# What is counted are averages of sparse columns, rounded: this near to its end a pass is over.
_NEAR = 0.001


class Progress(Protocol):
    """Told about every block that has been used.

    Attributes
    ----------
    is_in_notebook : whether somebody watches in a notebook, where others may show bars too.
    """

    is_in_notebook: bool

    def advance(self, count: int) -> None:
        """Report ``count`` bytes done."""
        ...

    def skip(self, count: int) -> None:
        """Report ``count`` bytes that an earlier run has done."""
        ...


class _Silent:
    is_in_notebook = False

    def advance(self, count: int) -> None:
        pass

    skip = advance

    def __enter__(self) -> _Silent:
        return self

    def __exit__(self, *exc: object) -> None:
        pass


class _Bar:
    def __init__(self, label: str, total: int, passes: int) -> None:
        from tqdm.auto import tqdm  # noqa: PLC0415 - not needed where nobody watches

        self.is_in_notebook = _is_notebook()
        self._label, self._total, self._passes = label, total, passes
        self._bar: Any = tqdm(
            total=total,
            desc=self._describe(0.0),
            unit="B",
            unit_scale=True,
            bar_format=_FORMAT,
            file=sys.stderr,
            leave=False,
        )

    def advance(self, count: int) -> None:
        self._bar.update(count)
        text = self._describe(self._bar.n / max(1, self._total))
        if text != self._bar.desc:
            self._bar.set_description_str(text)

    def _describe(self, share: float) -> str:
        """Return what is under way once this share of all bytes is done."""
        done = share * self._passes
        ended = round(done)
        # A bar that stands still is not taken for one that hangs.
        if done >= self._passes - _NEAR:
            return f"{self._label}, finishing"
        if ended > 0 and abs(done - ended) <= _NEAR:
            return f"{self._label}, between passes"
        if self._passes == 1:
            return self._label
        return f"{self._label}, pass {int(done) + 1} of {self._passes}"

    skip = advance

    def __enter__(self) -> _Bar:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._bar.close()


def show_progress(
    progress: str | bool, *, label: str, total: int, passes: int = 1
) -> _Bar | _Silent:
    """Return a bar over ``total`` bytes, of all passes: "auto" shows one to whoever watches.

    That is on a terminal or in a notebook.
    """
    if not isinstance(progress, bool):
        check_choice("progress", progress, ("auto",))
    wanted = progress is True or (progress == "auto" and _is_watched())
    return _Bar(label, total, passes) if wanted else _Silent()


def _is_watched() -> bool:
    return sys.stderr.isatty() or _is_notebook()


def _is_notebook() -> bool:
    return "ipykernel" in sys.modules

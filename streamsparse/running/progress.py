"""Progress on stderr: bytes, GB/s and time left; nothing where nobody watches."""

from __future__ import annotations

import sys
from types import TracebackType
from typing import Any, Protocol

from streamsparse.checks import check_choice


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


class _Silent:
    is_in_notebook = False

    def advance(self, count: int) -> None:
        pass

    def __enter__(self) -> _Silent:
        return self

    def __exit__(self, *exc: object) -> None:
        pass


class _Bar:
    def __init__(self, label: str, total: int) -> None:
        from tqdm.auto import tqdm  # noqa: PLC0415 - not needed where nobody watches

        self.is_in_notebook = _is_notebook()
        self._bar: Any = tqdm(
            total=total, desc=label, unit="B", unit_scale=True, file=sys.stderr, leave=False
        )

    def advance(self, count: int) -> None:
        self._bar.update(count)

    def __enter__(self) -> _Bar:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._bar.close()


def show_progress(progress: str | bool, *, label: str, total: int) -> _Bar | _Silent:
    """Return a bar over ``total`` bytes: "auto" shows one on a terminal or in a notebook."""
    if not isinstance(progress, bool):
        check_choice("progress", progress, ("auto",))
    wanted = progress is True or (progress == "auto" and _is_watched())
    return _Bar(label, total) if wanted else _Silent()


def _is_watched() -> bool:
    return sys.stderr.isatty() or _is_notebook()


def _is_notebook() -> bool:
    return "ipykernel" in sys.modules

"""The one place where numba is configured."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable
from typing import Any, TypeVar, cast

Function = TypeVar("Function", bound=Callable[..., Any])

_compile_lock = threading.Lock()


def kernel(function: Function) -> Function:
    """Compile ``function`` on its first call: nogil, serial, IEEE arithmetic, cached on disk.

    Numba itself is imported on that first call, so that ``import streamsparse`` stays fast. Where
    no cache directory is writable the kernel is compiled without one.
    """
    dispatcher: list[Callable[..., Any]] = []

    @functools.wraps(function)
    def call(*arguments: Any) -> Any:
        if not dispatcher:
            with _compile_lock:
                if not dispatcher:
                    dispatcher.append(_compiled(function))
        return dispatcher[0](*arguments)

    return cast(Function, call)


def _compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    import numba  # noqa: PLC0415 - 0.3 s that a caller who never runs a pass need not pay

    def compiled(*, cache: bool) -> Callable[..., Any]:
        return numba.njit(nogil=True, error_model="numpy", cache=cache)(function)

    try:
        return compiled(cache=True)
    except RuntimeError:  # numba: "cannot cache function: no locator available"
        return compiled(cache=False)

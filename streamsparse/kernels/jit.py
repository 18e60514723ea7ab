"""The one place where numba is configured."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, TypeVar, cast

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
                    dispatcher.append(compiled(function))
        return dispatcher[0](*arguments)

    return cast(Function, call)


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return numba's dispatcher of a function; its cache is safe among processes."""
    import numba  # noqa: PLC0415 - 0.3 s that a caller who never runs a pass need not pay

    # What compiled kernels call instead of the functions of `vector`.
    from streamsparse.kernels import vector_code  # noqa: F401, PLC0415

    def dispatcher(*, cache: bool) -> Callable[..., Any]:
        return numba.njit(nogil=True, error_model="numpy", cache=cache)(function)

    try:
        made = dispatcher(cache=True)
    except RuntimeError:  # numba: "cannot cache function: no locator available"
        return dispatcher(cache=False)
    # Without the compiler it is the function itself, which has no cache.
    cache = getattr(made, "_cache", None)
    if cache is not None:
        _take_turns(
            cache, Path(cache.cache_path, f"{function.__module__}.{function.__name__}.lock")
        )
    return made


def is_compiling() -> bool:
    """Return whether kernels are compiled, and not told to stay plain Python."""
    return compiled(kernel) is not kernel


def cache_folder() -> Path | None:
    """Return where compiled kernels are kept; None where nothing can be written."""
    cache = getattr(compiled(kernel), "_cache", None)
    path = None if cache is None else cache.cache_path
    return None if path is None else Path(path)


def _take_turns(cache: Any, lock: Path) -> None:
    """Have one process at a time use numba's cache of a function; nobody, where nothing locks.

    Numba names a data file by the index that it has read, writes the index, then the data. Two
    processes that compile for different dtypes at once choose the same name, and somebody then
    loads for one dtype what was compiled for the other (numba#4807). And who is killed between the
    two writes leaves an index that may name data of an older version: so the lock file says
    "writing" meanwhile, and whoever finds that empties the index first.
    """
    load, save = cache.load_overload, cache.save_overload

    def load_alone(signature: Any, context: Any) -> Any:
        with _locked(lock) as file:
            return None if file is None or file.read() else load(signature, context)

    def save_alone(signature: Any, result: Any) -> None:
        with _locked(lock) as file:
            if file is None:
                return
            if file.read():
                cache.flush()
            else:
                file.write(b"writing")
                file.flush()
            save(signature, result)
            file.truncate(0)

    cache.load_overload, cache.save_overload = load_alone, save_alone


@contextmanager
def _locked(path: Path) -> Iterator[BinaryIO | None]:
    """Yield the file at ``path``, nobody else's meanwhile; None where that cannot be had."""
    try:
        import fcntl  # noqa: PLC0415 - not every system has it

        file = path.open("a+b")
    except (ImportError, OSError):
        yield None
        return
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX)
        except OSError:
            yield None
            return
        file.seek(0)
        yield file

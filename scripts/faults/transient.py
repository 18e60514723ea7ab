"""Stores that fail for a while, for good, by silence, or by giving less than was asked for.

python scripts/faults/transient.py [--small]
"""

from __future__ import annotations

import asyncio
import random
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from stores import (
    DENSE,
    dense_matrix,
    read_all,
    read_source,
    sparse_matrix,
    write_dense,
    write_sparse,
)
from tally import Tally, main
from zarr.storage import MemoryStore, WrapperStore

from streamsparse.errors import CorruptChunkError, MissingChunkError, StoreError, StreamSparseError
from streamsparse.sources import reading
from streamsparse.sources.open import open_source

_DEADLINE = 0.3
# What a busy machine may add.
_LATE = 5.0


class FaultyStore(WrapperStore[Any]):
    """A store whose every read first asks ``fault``, which may raise, wait, or give something else.

    Parameters
    ----------
    store : what is read.
    fault : called with ("get" or "list", key, answer of the store), returns the answer to give.
    """

    def __init__(self, store: Any, fault: Callable[..., Any]) -> None:
        super().__init__(store)
        self.fault = fault

    def _with_store(self, store: Any) -> FaultyStore:
        return type(self)(store, self.fault)

    async def get(self, key: str, prototype: Any, byte_range: Any = None) -> Any:
        """Return what the fault makes of an answer."""
        answer = await self._store.get(key, prototype, byte_range)
        # Parts of one object that are read side by side are requests of their own.
        given = self.fault("get", f"{key} {byte_range}", answer)
        return await given if asyncio.iscoroutine(given) else given

    def list_prefix(self, prefix: str) -> AsyncIterator[str]:
        """Yield keys, after the fault."""
        return self._listed(prefix, self._store.list_prefix(prefix))

    def list_dir(self, prefix: str) -> AsyncIterator[str]:
        """Yield names, after the fault."""
        return self._listed(prefix, self._store.list_dir(prefix))

    async def _listed(self, prefix: str, keys: AsyncIterator[str]) -> AsyncIterator[str]:
        given = self.fault("list", prefix, None)
        if asyncio.iscoroutine(given):
            await given
        async for key in keys:
            yield key


def flaky(seed: int, *, share: float, most: int) -> Callable[..., Any]:
    """Return a fault: a share of the requests fails 1 to ``most`` times, then succeeds."""
    rng = random.Random(seed)
    left: Counter[tuple[str, str]] = Counter()
    chosen: set[tuple[str, str]] = set()

    def fault(what: str, key: str, answer: Any) -> Any:
        request = (what, key)
        if request not in chosen and rng.random() < share:
            chosen.add(request)
            left[request] = rng.randint(1, most)
        if left[request] > 0:
            left[request] -= 1
            raise rng.choice((OSError(5, "I/O error"), TimeoutError("slow"), RuntimeError("503")))
        chosen.discard(request)
        return answer

    return fault


def of_key(part: str, given: Callable[[Any], Any], what: str = "get") -> Callable[..., Any]:
    """Return a fault that touches the requests whose key contains ``part``."""

    def fault(kind: str, key: str, answer: Any) -> Any:
        return given(answer) if kind == what and part in key else answer

    return fault


def stores() -> dict[str, tuple[Any, np.ndarray]]:
    """Return stores in memory, by name, with what they hold."""
    made: dict[str, tuple[Any, np.ndarray]] = {}
    for name, options in DENSE.items():
        store = MemoryStore()
        write_dense(store, dense_matrix(), **options)
        made[name] = store, dense_matrix().astype(np.float64)
    for kind in ("csc", "csr"):
        store = MemoryStore()
        write_sparse(store, sparse_matrix(kind), chunks=(8,), shards=(32,))
        made[f"{kind}, sharded"] = store, sparse_matrix(kind).toarray().astype(np.float64)
    return made


@contextmanager
def quick(deadline: float = reading.DEADLINE_SECONDS) -> Iterator[None]:
    """Do not wait between tries, nor longer than ``deadline`` seconds for an answer."""
    held = reading.PAUSES, reading.DEADLINE_SECONDS
    reading.PAUSES, reading.DEADLINE_SECONDS = (0.0,) * len(held[0]), deadline
    try:
        yield
    finally:
        reading.PAUSES, reading.DEADLINE_SECONDS = held


def outcome(
    action: Callable[[], np.ndarray],
    *,
    expected: np.ndarray | None = None,
    error: type[Exception] | None = None,
    words: str = "",
) -> str:
    """Return how one fault ended, where ``expected`` or an error with these words must come."""
    try:
        X = action()
    except StreamSparseError as raised:
        if error is not None and isinstance(raised, error) and words in str(raised):
            return "survived"
        print(f"not the error for it: {raised!r}", file=sys.stderr)
        return "crashes"
    except Exception as raised:
        print(f"not one of ours: {raised!r}", file=sys.stderr)
        return "crashes"
    return "survived" if expected is not None and np.array_equal(X, expected) else "silent"


def passing(name: str, store: Any, X: np.ndarray, *, runs: int) -> Tally:
    """Fail a fifth of all requests up to three times in a row: the same bits."""
    tally = Tally(f"{name}: 20 % of reads fail 1-3 times", note="same bits")
    for seed in range(runs):
        faulty = FaultyStore(store, flaky(seed, share=0.2, most=3))
        tally.add(outcome(lambda faulty=faulty: read_all(faulty), expected=X))
    return tally


def lasting(name: str, store: Any, keys: list[str]) -> Tally:
    """Fail one key for good: a StoreError that names the number of tries."""
    tally = Tally(f"{name}: one key fails for good", note="StoreError names 4 tries")
    for key in keys:

        def fail(_: Any) -> Any:
            raise OSError(5, "I/O error")

        faulty = FaultyStore(store, of_key(key, fail))
        tally.add(outcome(lambda f=faulty: read_all(f), error=StoreError, words="4 times in a row"))
    return tally


def silence(name: str, store: Any, keys: list[str]) -> Tally:
    """Answer one key, or the listing, never: a StoreError when the deadline has passed."""
    tally = Tally(
        f"{name}: no answer", note=f"StoreError within deadline ({_DEADLINE} s) + {_LATE:g} s"
    )
    for what, key in [("list", ""), *(("get", key) for key in keys)]:
        faulty = FaultyStore(store, of_key(key, lambda _: asyncio.sleep(3600), what))
        begun = time.perf_counter()
        ended = outcome(lambda f=faulty: read_all(f), error=StoreError, words="does not answer")
        tally.add(ended if time.perf_counter() - begun < _DEADLINE + _LATE else "crashes")
    return tally


def _with_deadline(name: str, store: Any, keys: list[str]) -> Tally:
    with quick(_DEADLINE):
        return silence(name, store, keys)


def short(name: str, store: Any, keys: list[str], *, small: bool) -> Tally:
    """Give fewer bytes than there are: an error, at every length."""
    tally = Tally(f"{name}: short reads", note="CorruptChunkError")
    for key in keys:
        length = len(store._store_dict[key])
        for less in range(1, length + 1, 7 if small else 1):
            faulty = FaultyStore(store, of_key(key, lambda a, n=less: a[: max(0, len(a) - n)]))
            tally.add(outcome(lambda f=faulty: read_all(f), error=CorruptChunkError))
    return tally


def lost(name: str, store: Any, keys: list[str]) -> Tally:
    """Answer "absent" for a key that the listing has: an error, not the fill value."""
    tally = Tally(f"{name}: None for a key that is there", note="MissingChunkError")
    for key in keys:
        source = open_source(FaultyStore(store, lambda *a: a[2]), feature_axis=1, missing="error")
        source.verify()
        of_source(source).fault = of_key(key, lambda _: None)
        tally.add(outcome(lambda s=source: read_source(s), error=MissingChunkError))
    return tally


def of_source(source: Any) -> FaultyStore:
    """Return the faulty store below a source."""
    stored = source._stored if source.nnz is None else source._data
    found: FaultyStore = stored._store.inner
    return found


def run(*, small: bool) -> list[Tally]:
    """Return one tally per kind of store and fault."""
    tallies: list[Tally] = []
    with quick():
        for name, (store, X) in stores().items():
            chunks = sorted(k for k in store._store_dict if "/c/" in f"/{k}" or k[0].isdigit())
            few = chunks[:: max(1, len(chunks) // 3)]
            tallies += [
                passing(name, store, X, runs=5 if small else 500),
                lasting(name, store, few[:1] if small else chunks),
                _with_deadline(name, store, few[:1] if small else few),
                short(name, store, few[:1], small=small),
                lost(name, store, few[:1] if small else chunks),
            ]
    return tallies


if __name__ == "__main__":
    sys.exit(main(__doc__, run))

"""Remove every chunk of every kind of store in turn: an error, or with missing="fill" the zeros.

python scripts/faults/missing.py [--small]
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import google_crc32c
import numpy as np
import zarr
from stores import (
    DENSE,
    SPARSE,
    chunk_files,
    dense_matrix,
    read_all,
    read_source,
    sparse_matrix,
    write_dense,
    write_sparse,
)
from tally import Tally, main

from streamsparse.errors import MissingChunkError, StreamSparseError
from streamsparse.sources.open import open_source

_ABSENT = b"\xff" * 16


@contextmanager
def without(path: Path) -> Iterator[None]:
    """Remove a file for a while."""
    raw = path.read_bytes()
    path.unlink()
    try:
        yield
    finally:
        path.write_bytes(raw)


@contextmanager
def without_inner(path: Path, number: int, count: int) -> Iterator[None]:
    """Take one inner chunk out of the index of a shard for a while, the checksum made right."""
    raw = path.read_bytes()
    size = 16 * count
    index = bytearray(raw[-size - 4 : -4])
    index[16 * number : 16 * (number + 1)] = _ABSENT
    path.write_bytes(
        raw[: -size - 4] + index + google_crc32c.value(bytes(index)).to_bytes(4, "little")
    )
    try:
        yield
    finally:
        path.write_bytes(raw)


def outcome(action: Callable[[], np.ndarray], expected: np.ndarray | None) -> str:
    """Return how one fault ended: ``expected`` None asks for a MissingChunkError."""
    try:
        X = action()
    except MissingChunkError:
        return "survived" if expected is None else "crashes"
    except StreamSparseError as error:
        print(f"not the error for it: {error!r}", file=sys.stderr)
        return "crashes"
    except Exception as error:
        print(f"not one of ours: {error!r}", file=sys.stderr)
        return "crashes"
    return "survived" if expected is not None and np.array_equal(X, expected) else "silent"


def zarr_oracle(folder: Path) -> np.ndarray:
    """Return the array as zarr reads it, which fills in what is absent."""
    return np.asarray(zarr.open_array(folder, mode="r")[:], np.float64)


def try_faults(folder: Path, faults: list[Callable[[], Any]], tally: dict[str, Tally]) -> None:
    """Try each fault three ways: before ``verify``, between it and the read, and filled."""
    for fault in faults:
        with fault():
            tally["error"].add(outcome(lambda: read_all(folder), None))
            tally["unverified"].add(outcome(lambda: read_all(folder, verify=False), None))
            if "fill" in tally:
                expected = zarr_oracle(folder)
                tally["fill"].add(outcome(lambda: read_all(folder, missing="fill"), expected))
        source = open_source(folder, feature_axis=1, missing="error")
        source.verify()
        with fault():
            tally["later"].add(outcome(partial(read_source, source), None))


def tallies_of(name: str, *, has_fill: bool) -> dict[str, Tally]:
    made = {
        "error": Tally(f"{name}: removed", note="MissingChunkError"),
        "unverified": Tally(f"{name}: removed, never verified", note="MissingChunkError"),
        "later": Tally(f"{name}: removed after verify", note="MissingChunkError"),
    }
    if has_fill:
        made["fill"] = Tally(f'{name}: removed, missing="fill"', note="equals the filled oracle")
    return made


def dense(folder: Path, *, small: bool) -> list[Tally]:
    tallies: list[Tally] = []
    for name, options in DENSE.items():
        target = folder / name.replace(" ", "")
        write_dense(target, dense_matrix(), fill_value=7, **options)
        files = chunk_files(target)[: 3 if small else None]
        kinds = {name: [lambda path=path: without(path) for path in files]}
        if "shards" in options:
            kinds[f"{name}, inner chunk"] = [
                lambda path=path, i=i: without_inner(path, i, 4) for path in files for i in range(4)
            ]
        for kind, faults in kinds.items():
            tally = tallies_of(kind, has_fill=True)
            try_faults(target, faults, tally)
            tallies += tally.values()
    return tallies


def sparse(folder: Path, *, small: bool) -> list[Tally]:
    tallies: list[Tally] = []
    for kind in SPARSE:
        target = folder / kind
        write_sparse(target, sparse_matrix(kind))
        for array in ("data", "indices", "indptr"):
            files = chunk_files(target / array)[: 2 if small else None]
            tally = tallies_of(f"{kind} {array}", has_fill=False)
            faults = [lambda path=path: without(path) for path in files]
            try_faults(target, faults, tally)
            tallies += tally.values()
        tallies.append(_filled_data(target, small=small))
    return tallies


def sharded_sparse(folder: Path, *, small: bool) -> list[Tally]:
    """Shard as AnnData does, where zarr's own switch does not see inner chunks."""
    target = folder / "sharded"
    write_sparse(target, sparse_matrix("csc"), chunks=(8,), shards=(32,))
    tallies: list[Tally] = []
    for array in ("data", "indices", "indptr"):
        faults = []
        for path in chunk_files(target / array)[: 1 if small else -1]:
            faults += [lambda path=path, i=i: without_inner(path, i, 4) for i in range(4)]
        tally = tallies_of(f"csc sharded {array}, inner chunk", has_fill=False)
        try_faults(target, faults, tally)
        tallies += tally.values()
    return tallies


def _filled_data(target: Path, *, small: bool) -> Tally:
    """Fill in chunks of ``data``: the entries that they held must be zeros."""
    tally = Tally(f'{target.name} data: removed, missing="fill"', note="equals the filled oracle")
    kind = target.name
    for path in chunk_files(target / "data")[: 2 if small else None]:
        with without(path):
            matrix = sparse_matrix(kind)
            matrix.data = np.asarray(zarr.open_array(target / "data", mode="r")[:])
            expected = matrix.toarray()
            tally.add(outcome(lambda: read_all(target, missing="fill"), expected))
    return tally


def run(*, small: bool) -> list[Tally]:
    """Return one tally per kind of store and way of removing."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        return [
            *dense(root, small=small),
            *sparse(root, small=small),
            *sharded_sparse(root, small=small),
        ]


if __name__ == "__main__":
    sys.exit(main(__doc__, run))

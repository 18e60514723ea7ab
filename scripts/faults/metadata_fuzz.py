"""Mutate metadata documents and npy headers: every one opens, or is refused by a documented error.

    python scripts/faults/metadata_fuzz.py [--small]

No exception of another kind, none that takes over two seconds, nothing unpickled, memory bounded.
"""

from __future__ import annotations

import argparse
import ast
import faulthandler
import io
import json
import os
import pickle
import random
import resource
import struct
import subprocess
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numcodecs
import numpy as np
from stores import dense_matrix, sparse_matrix, write_dense, write_sparse
from tally import Tally, print_table

from streamsparse.errors import StreamSparseError
from streamsparse.sources.open import open_source

# Of one core; what waits instead ends the process after the second number.
_SECONDS = 2.0
_HANG_SECONDS = 60
_ROOM = 2 << 30
_RECORD = struct.Struct("3q")
_MANY = 6000
_FEW = 40
_UNPICKLED = 97

# What an honest writer never puts there.
_ODD: tuple[Any, ...] = (
    *(None, True, "", "x", [], {}, [[]], 0, -1, 1, 2, 7, 0.5, float("nan"), float("inf"), -(2**63)),
    *(2**31, 2**53, 10**18, 2**63, 2**64, 10**30, [0], [-1, 4], [10**18, 10**18], [1] * 65),
    *("|O", "<M8[s]", ">f4", "<c8", "|V8", "<U4", "float16", "object", "bytes", "gzip", "pickle"),
    *({"id": "pickle"}, {"name": "numcodecs.pickle"}, {"id": "zlib", "level": 99}),
    *([{"id": "delta", "dtype": "O"}], {"id": "lzma", "format": 3}, "NaN", "0x7fc00000", "/", ".."),
)


def targets() -> dict[str, tuple[Callable[[Path], None], str]]:
    """Return, by name, what writes a source into a folder, and the document to mutate in it."""
    X = dense_matrix()
    blosc = numcodecs.Blosc("lz4", shuffle=1)
    v2 = {"zarr_format": 2, "chunks": (3, 8), "compressors": blosc}
    delta = {**v2, "filters": [numcodecs.Delta("<f4")]}
    sharded = {"chunks": (3, 4), "shards": (6, 8)}
    return {
        "zarr.json": (lambda p: write_dense(p, X, chunks=(3, 8)), "zarr.json"),
        "zarr.json, sharded": (lambda p: write_dense(p, X, **sharded), "zarr.json"),
        "zarr.json of a group": (lambda p: write_sparse(p, sparse_matrix("csc")), "zarr.json"),
        "zarr.json of indptr": (
            lambda p: write_sparse(p, sparse_matrix("csr")),
            "indptr/zarr.json",
        ),
        "zarr.json of data": (
            lambda p: write_sparse(p, sparse_matrix("csc"), chunks=(8,), shards=(32,)),
            "data/zarr.json",
        ),
        ".zarray": (lambda p: write_dense(p, X, **v2), ".zarray"),
        ".zarray with a filter": (lambda p: write_dense(p, X, **delta), ".zarray"),
        ".zattrs": (lambda p: write_dense(p, X, **v2), ".zattrs"),
        "npy header": (lambda p: np.save(p / "x.npy", X), "x.npy"),
        "npy header, version 2": (lambda p: _save_version_2(p / "x.npy", X), "x.npy"),
    }


def _save_version_2(path: Path, X: np.ndarray) -> None:
    with path.open("wb") as file:
        np.lib.format.write_array(file, np.asfortranarray(X), version=(2, 0))


def mutated(raw: bytes, seed: int) -> bytes:
    """Return a document changed in one to three places, mostly in what it says."""
    rng = random.Random(seed)
    says = _mutated_json if raw[:1] in b"{[" else _mutated_header
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        raw = (says if rng.random() < 0.85 else _mutated_bytes)(raw, rng)
    return raw


def _mutated_header(raw: bytes, rng: random.Random) -> bytes:
    """Return a npy file whose header says something else, its length made right."""
    try:
        major = raw[6]
        start = 10 if major == 1 else 12
        length = int.from_bytes(raw[8:start], "little")
        header = ast.literal_eval(raw[start : start + length].decode())
        places = [(header, key) for key in header]
        places += [(header, "shape")] * 2
        parent, key = rng.choice(places)
        odd = rng.choice(_ODD)
        parent[key] = tuple(odd) if isinstance(odd, list) and rng.random() < 0.8 else odd
        if rng.random() < 0.3:
            header["shape"] = (rng.choice(_ODD), rng.choice(_ODD))
        text = repr(header).encode() + b" " * rng.randrange(64) + b"\n"
    except Exception:
        return _mutated_bytes(raw, rng)
    width = start - 8
    return raw[:8] + len(text).to_bytes(width, "little") + text + raw[start + length :]


def _mutated_bytes(raw: bytes, rng: random.Random) -> bytes:
    # The header of a npy file; what follows are values.
    i = rng.randrange(min(len(raw), 2000 if raw[:1] in b"{[" else 128) + 1)
    more = rng.choice((b"\0", b"9", b"-", b"]", b"'O'", b"[" * 3000, b"9" * 30, rng.randbytes(3)))
    return rng.choice(
        (
            lambda: raw[:i] + bytes([rng.randrange(256)]) + raw[i + 1 :],
            lambda: raw[:i] + more + raw[i:],
            lambda: raw[:i] + raw[i + rng.randrange(1, 20) :],
            lambda: raw[:i],
        )
    )()


def _mutated_json(raw: bytes, rng: random.Random) -> bytes:
    try:
        document = json.loads(raw)
    except (ValueError, RecursionError):
        return _mutated_bytes(raw, rng)
    places = list(_places(document))
    if not places:
        return json.dumps(rng.choice(_ODD)).encode()
    parent, key = rng.choice(places)
    change = rng.random()
    if change < 0.15:
        del parent[key]
    elif change < 0.3:
        parent[key] = rng.choice(places)[0]
        return repr(parent[key]).encode() if rng.random() < 0.1 else _dumped(document, raw)
    else:
        parent[key] = rng.choice(_ODD)
    return _dumped(document, raw)


def _dumped(document: Any, raw: bytes) -> bytes:
    try:
        return json.dumps(document).encode()
    except (ValueError, RecursionError):
        # It holds itself.
        return raw[: len(raw) // 2]


def _places(node: Any) -> Any:
    if not isinstance(node, dict | list):
        # An earlier change has left nothing to go into.
        return
    children = node.items() if isinstance(node, dict) else enumerate(node)
    for key, child in list(children):
        yield node, key
        yield from _places(child)


def use(target: Any) -> None:
    """Open a source, verify it and read its first block, as far as it lets us."""
    source = open_source(target, feature_axis=1, missing="error")
    source.verify()
    source.fingerprint()
    for rows in source.bands(source.shape[0], 1 << 20)[:1]:
        for columns in source.cut(rows, 1 << 20):
            source.read(rows, columns)
            return


def batch(name: str, count: int, record: Path) -> None:
    """Try mutations from where the record stands, and keep the record."""
    write, document = targets()[name]
    begun, bad, _ = _RECORD.unpack(record.read_bytes())
    with tempfile.TemporaryDirectory() as folder, record.open("r+b", buffering=0) as file:
        root = Path(folder) / "x"
        root.mkdir()
        write(root)
        path = root / document
        raw = path.read_bytes() if path.exists() else b"{}"
        target = path if path.suffix == ".npy" else root
        for seed in range(begun, count):
            file.seek(0)
            file.write(_RECORD.pack(seed + 1, bad, 0))
            path.write_bytes(mutated(raw, seed))
            faulthandler.dump_traceback_later(_HANG_SECONDS, exit=True, file=sys.__stderr__)
            bad += not is_kept(partial(use, target), f"{name}, seed {seed}")
            faulthandler.cancel_dump_traceback_later()
        file.seek(0)
        file.write(_RECORD.pack(count, bad, 1))


def guard() -> None:
    """Bound memory, show where a crash was, and end the process if anything is unpickled."""
    faulthandler.enable()
    warnings.simplefilter("ignore")
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + _ROOM, used + _ROOM))

    def unpickled(event: str, _: Any) -> None:
        if event == "pickle.find_class":
            os._exit(_UNPICKLED)

    sys.addaudithook(unpickled)


def is_kept(action: Callable[[], None], named: str) -> bool:
    """Return whether an action ends in time, and well or in a documented error."""
    begun = time.process_time()
    try:
        action()
    except StreamSparseError:
        pass
    except Exception:
        print(f"{named}: {traceback.format_exc(limit=-6)}", file=sys.stderr)
        return False
    if time.process_time() - begun > _SECONDS:
        print(f"{named}: took {time.process_time() - begun:.1f} s", file=sys.stderr)
        return False
    return True


def trial(name: str, count: int) -> Tally:
    """Run the mutations of one document in a process of its own, begun again after a crash."""
    tally = Tally(f"{name}: mutated", note="opens, or a StreamSparseError within 2 s")
    with tempfile.TemporaryDirectory() as folder:
        record = Path(folder) / "record"
        record.write_bytes(_RECORD.pack(0, 0, 0))
        for _ in range(20):
            command = [sys.executable, __file__, "--batch", name, str(count), str(record)]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            tried, bad, is_done = _RECORD.unpack(record.read_bytes())
            sys.stderr.write(done.stderr[-6000:])
            if is_done:
                break
            tally.crashes += 1
            print(f"{name}, seed {tried - 1}: ended with {done.returncode}", file=sys.stderr)
    tally.injected, tally.crashes = tried, tally.crashes + bad
    tally.survived = tried - tally.crashes
    return tally


def pickled() -> Tally:
    """Name pickle in every place where a codec or a dtype can stand, with a payload to unpickle."""
    tally = Tally("pickle codec, object dtype", note="refused, nothing unpickled")
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            [sys.executable, __file__, "--pickled", folder],
            capture_output=True,
            text=True,
            check=False,
        )
    if done.returncode:
        print(done.stderr[-6000:], file=sys.stderr)
        tally.add("crashes")
        return tally
    for outcome in done.stdout.split():
        tally.add(outcome)
    return tally


def try_pickles(root: Path) -> None:
    """Print how each pickled store ended."""
    guard()
    bomb, blosc, delta = {"id": "pickle"}, {"id": "blosc"}, {"id": "delta", "dtype": "<f4"}
    places: list[dict[str, Any]] = [
        {"filters": [bomb]},
        {"filters": [bomb, delta]},
        {"filters": [delta, bomb]},
        {"compressor": bomb},
        {"filters": [bomb], "dtype": "|O", "compressor": None},
        {"filters": None, "dtype": "|O", "compressor": None},
        {"filters": [{"id": "json2"}], "dtype": "|O", "compressor": blosc},
    ]
    for i, change in enumerate(places):
        path = root / f"{i}"
        write_dense(path, dense_matrix(), zarr_format=2, chunks=(3, 8))
        document = json.loads((path / ".zarray").read_text())
        (path / ".zarray").write_text(json.dumps({**document, **change}))
        for chunk in path.glob("[0-9]*"):
            chunk.write_bytes(pickle.dumps(Path("x")))
        _print_refused(path)
    path = root / "v3"
    write_dense(path, dense_matrix(), chunks=(3, 8))
    document = json.loads((path / "zarr.json").read_text())
    document["codecs"].append({"name": "numcodecs.pickle", "configuration": {}})
    (path / "zarr.json").write_text(json.dumps(document))
    _print_refused(path)
    buffer = io.BytesIO()
    np.save(buffer, np.array([[Path("x")]], object), allow_pickle=True)
    (root / "x.npy").write_bytes(buffer.getvalue())
    _print_refused(root / "x.npy")


def _print_refused(path: Path) -> None:
    try:
        use(path)
    except StreamSparseError:
        print("survived")
    except Exception:
        traceback.print_exc()
        print("crashes")
    else:
        print("silent")


def run(*, small: bool, names: list[str] | None = None) -> list[Tally]:
    """Return one tally per kind of document, and one of pickles."""
    count = _FEW if small else _MANY
    with ThreadPoolExecutor(2) as pool:
        return [*pool.map(lambda name: trial(name, count), names or targets()), pickled()]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--small", action="store_true", help="a few mutations of each document")
    parser.add_argument("--batch", nargs=3, help=argparse.SUPPRESS)
    parser.add_argument("--pickled", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.batch:
        name, count, record = chosen.batch
        guard()
        batch(name, int(count), Path(record))
        return 0
    if chosen.pickled:
        try_pickles(Path(chosen.pickled))
        return 0
    return print_table(run(small=chosen.small))


if __name__ == "__main__":
    sys.exit(main())

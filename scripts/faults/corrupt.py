"""Damage every byte of an encoded chunk, cut it at every length and make it longer, for each codec.

    python scripts/faults/corrupt.py [--small]

Codecs with a checksum must notice all of it. The others must notice every wrong length, must not
crash, and are shown with what they return silently.
"""

from __future__ import annotations

import argparse
import faulthandler
import resource
import struct
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numcodecs
import numpy as np
import zarr
from stores import write_dense
from tally import Tally, print_table
from zarr.codecs import BloscCodec, Crc32cCodec, GzipCodec, ZstdCodec
from zarr.core.buffer import cpu
from zarr.storage import MemoryStore

from streamsparse.errors import StreamSparseError
from streamsparse.sources.open import open_source

_STEP_OF_SMALL = 61
# Of one batch: next fault, detected, unchanged and silent so far.
_RECORD = struct.Struct("4q")
_SHAPE = (4, 96)


def _v2(compressor: Any, **options: Any) -> dict[str, Any]:
    return {"zarr_format": 2, "compressors": compressor, **options}


def codecs() -> dict[str, tuple[dict[str, Any], bool]]:
    """Return, by name, what makes an array so encoded, and whether a checksum covers it."""
    return {
        "none": ({"compressors": None}, False),
        "none + crc32c": ({"compressors": Crc32cCodec()}, True),
        "zstd": ({"compressors": ZstdCodec()}, False),
        "zstd with checksum": ({"compressors": ZstdCodec(checksum=True)}, True),
        "zstd + crc32c": ({"compressors": [ZstdCodec(), Crc32cCodec()]}, True),
        "zstd, v2": (_v2(numcodecs.Zstd()), False),
        "blosc-lz4-shuffle": ({"compressors": BloscCodec(cname="lz4", shuffle="shuffle")}, False),
        "blosc-lz4-shuffle, v2": (_v2(numcodecs.Blosc("lz4", shuffle=1)), False),
        "blosc-zstd-bitshuffle": (
            {"compressors": BloscCodec(cname="zstd", shuffle="bitshuffle")},
            False,
        ),
        "lz4": (_v2(numcodecs.LZ4()), False),
        "gzip": ({"compressors": GzipCodec()}, True),
        "zlib": (_v2(numcodecs.Zlib()), True),
        "bz2": (_v2(numcodecs.BZ2()), True),
        "lzma": (_v2(numcodecs.LZMA()), True),
        "delta + zlib, v2": (_v2(numcodecs.Zlib(), filters=[numcodecs.Delta("<f4")]), True),
        "sharded zstd": ({"chunks": (4, 48), "shards": _SHAPE}, False),
        "sharded crc32c": (
            {"chunks": (4, 48), "shards": _SHAPE, "compressors": Crc32cCodec()},
            True,
        ),
    }


def values() -> np.ndarray:
    """Return what compresses a little: counts beside noise."""
    rng = np.random.default_rng(5)
    X = rng.standard_normal(_SHAPE).astype(np.float32)
    X[:, : _SHAPE[1] // 2] = rng.integers(0, 4, (_SHAPE[0], _SHAPE[1] // 2))
    return X


def changed_bytes(raw: bytes, *, small: bool) -> Iterator[bytes]:
    """Yield ``raw`` with each byte flipped in one bit, 0 and 0xFF, where that is a change."""
    for i in range(0, len(raw), _STEP_OF_SMALL if small else 1):
        for byte in (raw[i] ^ 1 << i % 8, 0, 0xFF):
            if byte != raw[i]:
                yield raw[:i] + bytes([byte]) + raw[i + 1 :]


def changed_lengths(raw: bytes, *, small: bool) -> Iterator[bytes]:
    """Yield ``raw`` cut at every length, and 1 to 16 bytes longer."""
    step = _STEP_OF_SMALL if small else 1
    yield from (raw[:i] for i in range(0, len(raw), step))
    rng = np.random.default_rng(6)
    for more in range(1, 17):
        yield raw + bytes(more)
        yield raw + rng.bytes(more)


FAULTS = {"bytes": changed_bytes, "length": changed_lengths}


def batch(name: str, kind: str, record: Path, *, small: bool, is_alone: bool = True) -> None:
    """Try all faults of one kind from where the record stands, and keep the record.

    ``is_alone``: whether the process is there for nothing else, and may be limited.
    """
    if is_alone:
        faulthandler.enable()
        warnings.simplefilter("ignore")
        # Decoders that misread a length must not take the machine with them.
        _limit_memory(6 << 30)
    store: Any = MemoryStore()
    write_dense(store, values(), **{"chunks": _SHAPE, **codecs()[name][0]})
    array = zarr.open_array(store, mode="r")
    key = array.metadata.encode_chunk_key((0, 0))
    raw = store._store_dict[key].to_bytes()
    source = open_source(store, feature_axis=1, missing="error")
    # Not what was written: delta of floats rounds.
    expected = _read(source)
    begun, *counts = _RECORD.unpack(record.read_bytes())
    with record.open("r+b", buffering=0) as file:
        for i, damaged in enumerate(FAULTS[kind](raw, small=small)):
            if i < begun:
                continue
            file.seek(0)
            file.write(_RECORD.pack(i + 1, *counts))
            store._store_dict[key] = cpu.Buffer.from_bytes(damaged)
            counts[_outcome(source, expected)] += 1
        file.seek(0)
        file.write(_RECORD.pack(-1, *counts))


def _outcome(source: Any, expected: bytes) -> int:
    try:
        return 1 if _read(source) == expected else 2
    except StreamSparseError:
        return 0


def _read(source: Any) -> bytes:
    return np.ascontiguousarray(source.read((0, _SHAPE[0]), (0, _SHAPE[1])).view()).tobytes()


def _limit_memory(count: int) -> None:
    resource.setrlimit(resource.RLIMIT_AS, (count, count))


def trial(name: str, kind: str, *, small: bool) -> Tally:
    """Run one kind of fault for one codec in processes of their own, begun again after a crash."""
    is_checked = codecs()[name][1]
    tally = Tally(f"{name}: {kind}", may_be_silent=not is_checked and kind == "bytes")
    with tempfile.TemporaryDirectory() as folder:
        record = Path(folder) / "record"
        record.write_bytes(_RECORD.pack(0, 0, 0, 0))
        command = [sys.executable, __file__, "--batch", name, kind, str(record)]
        for _ in range(20):
            done = subprocess.run(
                command + ["--small"] * small, capture_output=True, text=True, check=False
            )
            ended, detected, unchanged, silent = _RECORD.unpack(record.read_bytes())
            if ended == -1:
                break
            tally.crashes += 1
            print(f"{name}, {kind}, fault {ended - 1}: {done.stderr[-2000:]}", file=sys.stderr)
    tally.survived, tally.silent = detected + unchanged, silent
    tally.injected = tally.survived + tally.silent + tally.crashes
    tally.note = f"detected {detected:,}, unchanged {unchanged:,}"
    return tally


def run(*, small: bool, names: list[str] | None = None) -> list[Tally]:
    """Return two tallies per codec."""
    trials = [(name, kind) for name in names or codecs() for kind in FAULTS]
    with ThreadPoolExecutor(2) as pool:
        return list(pool.map(lambda t: trial(*t, small=small), trials))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--small", action="store_true", help="one position in 61")
    parser.add_argument("--batch", nargs=3, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.batch:
        name, kind, record = chosen.batch
        batch(name, kind, Path(record), small=chosen.small)
        return 0
    return print_table(run(small=chosen.small))


if __name__ == "__main__":
    sys.exit(main())

"""Sizes and values at the edge of their types: beyond 2^31 columns and entries, 1e18, 1e-18.

Every check has its answer in closed form, in Python's integers or in exactly rounded sums: "silent"
counts wrong answers. Nothing is stored: chunks are made from their keys. ``--small`` runs the same
checks at sizes that take seconds.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from tally import Tally, print_table

sys.path.insert(0, str(Path(__file__).parents[2] / "tests"))

import drivers
import generated
import reference
import streamsparse as ss
from streamsparse.methods.exact import gram_pass
from streamsparse.sources.open import open_source

LARGE, SMALL = 2**31 + 10, 2**17 + 10
M = 64
# A budget is a number: what a plan allows for and what a run takes are two things.
ANY = "400 GiB"


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--small", action="store_true", help="sizes that take seconds")
    parser.add_argument("--only", default="", help="checks whose name contains this")
    given = parser.parse_args(arguments)
    size = SMALL if given.small else LARGE
    tallies = []
    for name, check in CHECKS.items():
        if given.only not in name:
            continue
        started = time.perf_counter()
        tally = Tally(name)
        for is_right in check(size):
            tally.add("survived" if is_right else "silent")
        tally.note = f"{time.perf_counter() - started:.1f} s"
        tallies.append(tally)
    return print_table(tallies)


def gram(source) -> np.ndarray:
    """Return G of a source, by the pass of method "exact"."""
    source = open_source(source, feature_axis=1, missing="error")
    return drivers.run(gram_pass, source, drivers.plan_of(source, method="exact", memory=ANY)).gram


def same(found, expected) -> bool:
    """Whether every number is the integer that it should be."""
    return bool((found == np.asarray(expected, np.float64)).all())


def wide_dense(d: int):
    """int8, n = 2: G against the closed form."""
    chunk = generated.pattern(2, 1 << 19, "int8")
    G = generated.dense_gram(2, d, chunk)
    yield same(gram(generated.dense(2, d, values=chunk)), G)


def wide_sketch(d: int):
    """int8, n = 2, zero but for the last columns: what S is beyond 2^31."""
    chunk = generated.pattern(2, 1 << 16, "int8")
    store, start = generated.ending(2, d, chunk)
    tail = chunk[:, : d - start]
    result = ss.sparsify(store, "sketch", m=M, s=1, seed=5, progress=False)
    S = reference.dense_S(d=d - start, start=start, m=M, s=1, seed=5)
    yield same(result.Y, tail.astype(np.int64) @ S.T)
    yield result.certificate.r == max(int(x @ x) for x in tail.astype(np.int64))


def many_entries(nnz: int):
    """CSC with int64 pointers, n = 16, 16 entries per column, the last column fewer."""
    full, rest = divmod(nnz, 16)
    store = generated.compressed(full + (rest > 0), 16, 16, nnz=nnz, index_dtype="uint8")
    G = np.full((16, 16), full, object)
    G[:rest, :rest] += 1
    yield same(gram(store), G)
    result = ss.sparsify(store, "sketch", m=M, s=1, progress=False)
    yield result.certificate.r == full + (rest > 0)
    yield result.certificate.trace == nnz


def wide_indices(d: int):
    """CSR with indices beyond 2^31: two rows of two entries."""
    far = np.array([0, d - 5, d - 5, d - 1])
    store = generated.listed_csr([0, 2, 4], far, np.array([1, 2, 3, 4], np.int8), d)
    source = open_source(store, feature_axis=1, missing="error")
    block = source.read((0, 2), (0, d))
    yield same(block.indices, far)
    yield block.indices.dtype.itemsize == (8 if d > 2**31 else 4)
    result = ss.sparsify(store, "sketch", m=M, s=1, seed=5, memory=ANY, progress=False)
    S = np.hstack(
        [reference.dense_S(d=1, start=int(j), m=M, s=1, seed=5) for j in (0, d - 5, d - 1)]
    )
    yield same(result.Y, np.array([[1, 2, 0], [0, 3, 4]]) @ S.T)
    yield result.certificate.r == 25


def beyond_2_to_63(_: int):
    """N d above 2^63, metadata alone: a plan, or a refusal that names both numbers."""
    for n, d, width in ((4, 2**62, 1 << 18), (2**40, 2**40, 1024), (1, 2**63 - 1, 1 << 18)):
        chunk = np.zeros((min(n, 4), width), np.int8)
        store = generated.GeneratedStore({"": generated.Array((n, d), generated.Repeated(chunk))})
        try:
            plan = ss.plan(store, "sketch", m=M)
            yield plan.stream.bytes_to_read == n * d and plan.d == d
        except ss.BudgetTooSmallError as error:
            yield "needs" in str(error) and "the budget is" in str(error)
        yield not store.reads


def wrapping_products(_: int):
    """int8 and uint8 at their ends: sums of products beyond 2^32, where int32 would wrap."""
    d = 2**18 + 3
    for dtype, value in (("int8", -128), ("uint8", 255), ("int16", -(2**15)), ("uint16", 65535)):
        X = np.full((2, d), value, dtype)
        X[1, ::2] = 1
        odd, even = d // 2, (d + 1) // 2
        cross = value**2 * odd + value * even
        G = [[value**2 * d, cross], [cross, value**2 * odd + even]]
        yield same(gram(X), G)
        import scipy.sparse

        yield same(gram(scipy.sparse.csr_array(X)), G)


def huge_and_tiny(_: int):
    """float32 rows of norm 1e18 and 1e-18 next to each other: every entry within rounding."""
    from tolerances import gram_error_bound

    rng = np.random.default_rng(0)
    lengths = np.float32(10.0) ** np.array([[-18], [0], [18]], np.float32)
    unit = rng.standard_normal((3, 6000))
    unit /= np.linalg.norm(unit, axis=1, keepdims=True)
    X = unit.astype(np.float32) * lengths
    exact = reference.gram(X)
    yield bool((np.abs(gram(X) - exact) <= gram_error_bound(X, np.float32)).all())
    for method in ("sketch", "exact", "sample", "select"):
        result = ss.sparsify(X, method, m=3 if method == "exact" else 200, progress=False)
        Y = result.Y if isinstance(result.Y, np.ndarray) else np.asarray(result.Y)
        yield bool(np.isfinite(Y).all()) and abs(result.certificate.r / exact.max() - 1) < 1e-12


def shifted(size: int):
    """1e4 + N(0, 1) in float32: within the stated bound, where sums in float32 are not."""
    n, width = 3, 1 << 14
    times = 8192 if size > SMALL else 256
    rng = np.random.default_rng(1)
    chunk = (1e4 + rng.standard_normal((n, width))).astype(np.float32)
    exact = times * reference.gram(chunk)
    store = generated.dense(n, width * times, "float32", values=chunk)
    # 257 u32 relative to ||x_i|| ||x_j||: DESIGN, decision 15.
    lengths = np.sqrt(exact.diagonal())
    bound = 257 * 2.0**-24 * lengths[:, None] * lengths[None]
    yield bool((np.abs(gram(store) - exact) <= bound).all())
    # The control: the same products in one float32 sum lose what the tiles keep.
    products = np.tile(chunk[0] * chunk[0], times)
    naive = float(np.cumsum(products, dtype=np.float32)[-1])
    yield abs(naive - exact[0, 0]) > bound[0, 0]


CHECKS: dict[str, Callable] = {
    "G of int8, d > 2^31": wide_dense,
    "sketch of int8, d > 2^31": wide_sketch,
    "CSC, nnz > 2^31": many_entries,
    "CSR, indices > 2^31": wide_indices,
    "n d > 2^63, metadata": beyond_2_to_63,
    "integers at their ends": wrapping_products,
    "float32 norms 1e-18 to 1e18": huge_and_tiny,
    "float32 1e4 + N(0, 1)": shifted,
}


if __name__ == "__main__":
    sys.exit(main())

"""Jobs with names, as ``ss.plan`` plans them: arrays of the right shape that hold no data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import zarr
from model import Job

import streamsparse as ss
from streamsparse.kernels.norms import LANES
from streamsparse.methods.exact_plan import exact_needs
from streamsparse.methods.sketch_plan import Shape, sketch_needs
from streamsparse.running.facts import Facts
from streamsparse.sketching.run_hash import SparseSign
from streamsparse.sources.preprocess import Preprocess

_MEMORY = "256 GiB"
_CHUNK_BYTES = 64 << 20


@dataclass(frozen=True, slots=True)
class Named:
    """What is reduced: X (n, d) float32 to m columns, None for the exact Gram matrix."""

    n: int
    d: int
    m: int | None

    @property
    def method(self) -> str:
        """Return the name of the method."""
        return "exact" if self.m is None else "sketch"


JOBS = {
    "exact-1k": Named(n=1_000, d=10**9, m=None),
    "sketch-1k": Named(n=1_000, d=10**9, m=8_192),
    "exact-10k": Named(n=10_000, d=10**8, m=None),
    "sketch-10k": Named(n=10_000, d=10**8, m=8_192),
    "genotypes": Named(n=1_000, d=4 * 10**9, m=None),
    "toy": Named(n=64, d=1 << 20, m=None),
}


def job_of(name: str) -> Job:
    """Return a job by its name."""
    wanted = JOBS[name]
    itemsize = 1 if name == "genotypes" else 4
    # A power of two: no chunk then lies in two spans.
    width = 1 << (_CHUNK_BYTES // (itemsize * wanted.n)).bit_length() - 1
    X = zarr.create_array(
        zarr.storage.MemoryStore(),
        shape=(wanted.n, wanted.d),
        chunks=(wanted.n, min(width, wanted.d)),
        dtype="int8" if itemsize == 1 else "float32",
    )
    return planned(name, X, method=wanted.method, m=wanted.m, memory=_MEMORY)


def planned(name: str, X: Any, **request: Any) -> Job:
    """Return the job that ``ss.sparsify(X, **request)`` is, "sketch" of m columns or "exact"."""
    plan = ss.plan(X, **request)
    facts = Facts.of(ss.open_source(X))
    n, d = facts.n, facts.d
    if plan.method == "exact":
        cells, additions = exact_needs(facts, Preprocess()).state_cells, 0.0
        products, dense = float(n * (n + 1) * d), 30.0 * n**3
    else:
        assert plan.method == "sketch"
        assert plan.sketch_columns is not None
        assert plan.s is not None
        operator = SparseSign.make(d=d, m=plan.sketch_columns, s=plan.s, seed=0, hash=plan.hash)
        shape = Shape(operator, plan.dense_stage, False, plan.checked_rows, plan.probes)
        cells, additions = (
            sketch_needs(facts, shape, Preprocess()).state_cells,
            float(plan.s * n * d),
        )
        products = float(n * d * (2 * plan.checked_rows + 4 * plan.probes))
        dense = n**2 * (2.0 * operator.m + 30 * n) if plan.dense_stage else 0.0
    assert cells > LANES
    return Job(
        name=name,
        n=n,
        d=d,
        stored_bytes=plan.stream.bytes_to_read // plan.stream.passes,
        unit_columns=facts.unit[1],
        span_width=plan.stream.span_width,
        scans=plan.scans,
        partial_bytes=8 * n * cells,
        products=products,
        additions=additions,
        dense_flops=dense,
    )

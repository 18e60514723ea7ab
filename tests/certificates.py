"""Certificates for tests: one that is easy to read, and any there can be."""

from dataclasses import fields

from hypothesis import strategies as st

from streamsparse.dense.certificate import Certificate, Errors, Measure
from streamsparse.sources.preprocess import Preprocess


def certificate(**changes):
    fields = {
        "n": 1786,
        "d": 1048576,
        "m": 1786,
        "method": "sketch",
        "seed": 0,
        "beta": 1.0,
        "preprocess": Preprocess(),
        "r": 0.1,
        "trace": 178.6,
        "errors": Errors(
            entry=Measure(0.11, "exact"),
            attention=Measure(0.004, "bound", 0.99),
            uniform=Measure(0.05, "estimate"),
            most_rows_entry=Measure(0.1, "bound", 0.99, 0.95),
            checked_rows=90,
        ),
        "target": "entries",
        "epsilon": 0.1,
        "met": True,
        "queries": None,
        "passes": 1,
        "bytes_read": 123,
        "peak_memory_bytes": None,
        "seconds": 1.0,
        "integrity": "checksummed",
    }
    return Certificate(**(fields | changes))


SHARES = st.none() | st.floats(0, 1)
MEASURES = st.builds(
    Measure,
    st.floats(allow_nan=False),
    st.sampled_from(["exact", "bound", "estimate"]),
    SHARES,
    SHARES,
)
NAMES = [field.name for field in fields(Errors) if field.name != "checked_rows"]
ERRORS = st.builds(
    Errors, checked_rows=st.integers(0, 10**6), **{name: st.none() | MEASURES for name in NAMES}
)
SIZES = st.integers(1, 10**18)
CERTIFICATES = st.builds(
    certificate,
    n=SIZES,
    d=SIZES,
    m=SIZES,
    method=st.sampled_from(["sketch", "sample", "select", "exact"]),
    seed=st.integers(0, 2**64 - 1),
    beta=st.floats(1e-300, 1e300),
    r=st.floats(0, 1e300),
    trace=st.floats(0, 1e300),
    errors=ERRORS,
    target=st.sampled_from(["attention", "entries", "spectral", "regularised"]),
    epsilon=st.none() | st.floats(1e-300, 1, exclude_max=True),
    met=st.none() | st.booleans(),
    queries=st.none() | SIZES,
    passes=st.integers(1, 1000),
    bytes_read=SIZES,
    peak_memory_bytes=st.none() | SIZES,
    seconds=st.floats(0, 1e9),
    integrity=st.sampled_from(["checksummed", "structural"]),
)

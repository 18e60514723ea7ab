"""A small cluster, and what is compared of two results."""

import hashlib
from dataclasses import asdict

import numpy as np
import pytest
import scipy.sparse

from streamsparse.running import spans

# What two runs of the same thing may differ in.
_OF_THE_RUN = ("seconds", "peak_memory_bytes", "passes", "bytes_read", "integrity")


@pytest.fixture(scope="module")
def cluster():
    """Two worker processes of one thread each, the default of whatever is computed meanwhile."""
    distributed = pytest.importorskip("distributed")
    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None
        ) as made,
        distributed.Client(made) as client,
    ):
        yield client


@pytest.fixture(scope="module")
def narrow():
    """Spans of 256 columns: a small matrix has many."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(spans, "_MIN_WIDTH", 256)
        yield


def everything(result):
    """Return the bits of a result, and all that its certificate states."""
    Y = result.Y.toarray() if scipy.sparse.issparse(result.Y) else np.ascontiguousarray(result.Y[:])
    columns = None if result.columns is None else result.columns.tolist()
    weights = None if result.weights is None else result.weights.tobytes()
    stated = asdict(result.certificate)
    for name in _OF_THE_RUN:
        del stated[name]
    return hashlib.sha256(Y.tobytes()).hexdigest(), columns, weights, stated

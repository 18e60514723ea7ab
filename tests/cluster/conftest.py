"""A small cluster for the tests of a module, and many spans of small matrices."""

import pytest

from cluster_tools import small_cluster
from streamsparse.running import spans


@pytest.fixture(scope="module")
def cluster():
    """Two worker processes of one thread each."""
    pytest.importorskip("distributed")
    with small_cluster() as client:
        yield client


@pytest.fixture(scope="module")
def narrow():
    """Spans of 256 columns: a small matrix has many."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(spans, "_MIN_WIDTH", 256)
        yield

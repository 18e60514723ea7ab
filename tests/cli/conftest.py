import numpy as np
import pytest
from click.testing import CliRunner

from streamsparse.cli.main import cli
from streamsparse.storing.zarr_write import DenseWriter, write_sparse


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Run a command in an empty directory; paths are then short."""
    monkeypatch.chdir(tmp_path)

    def call(*words):
        return CliRunner().invoke(cli, [str(word) for word in words], prog_name="streamsparse")

    return call


@pytest.fixture
def X():
    values = np.random.default_rng(0).standard_normal((6, 500)).astype(np.float32)
    return values / np.linalg.norm(values, axis=1, keepdims=True)


@pytest.fixture
def source(request, X, tmp_path):
    """X in the form that the test asks for, by its file name."""
    import scipy.sparse

    name = request.param
    path = tmp_path / name
    if name == "X.npy":
        np.save(path, X)
    elif name == "tall.npy":
        np.save(path, X.T)
    elif name == "X.zarr":
        writer = DenseWriter(path, X.shape, X.dtype, (6, 125))
        writer.write((0, 6), (0, 500), X)
    else:
        write_sparse(path, scipy.sparse.csc_array(X), chunk_entries=1000)
    return name

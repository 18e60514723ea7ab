"""``.npz`` files of scipy.sparse: read whole, never unpickled."""

import pickle
import zipfile

import numpy as np
import pytest
import scipy.sparse

import streamsparse as ss

X = np.arange(60.0).reshape(5, 12) % 7


@pytest.mark.parametrize("format", ["csr", "csc", "coo", "bsr", "dia"])
@pytest.mark.parametrize("kind", ["array", "matrix"])
def test_open_source__reads_a_sparse_npz(tmp_path, format, kind):
    made = getattr(scipy.sparse, f"{format}_{kind}")(X)
    scipy.sparse.save_npz(tmp_path / "x.npz", made)
    for axis, expected in ((1, X), (0, X.T)):
        by_path = ss.sparsify(tmp_path / "x.npz", "exact", feature_axis=axis)
        np.testing.assert_array_equal(
            by_path.Y, ss.sparsify(scipy.sparse.csr_array(expected), "exact").Y
        )


def test_open_source__takes_the_file_for_the_source_of_an_output(tmp_path):
    scipy.sparse.save_npz(tmp_path / "x.npz", scipy.sparse.csr_array(X))
    with pytest.raises(ss.OutputExistsError, match="is the source"):
        ss.sparsify(tmp_path / "x.npz", "exact", out=tmp_path / "x.npz", overwrite=True)


class Trace:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (str(self.path), "w"))


def test_open_source__opens_no_pickle(tmp_path):
    scipy.sparse.save_npz(tmp_path / "good.npz", scipy.sparse.csr_array(X))
    objects = np.empty(1, object)
    with (
        zipfile.ZipFile(tmp_path / "good.npz") as good,
        zipfile.ZipFile(tmp_path / "x.npz", "w") as bad,
    ):
        for name in good.namelist():
            content = good.read(name)
            if name == "format.npy":
                head = np.lib.format.magic(1, 0)
                np.save(tmp_path / "o.npy", objects)
                content = (tmp_path / "o.npy").read_bytes()
                assert content.startswith(head)
                content = content[:128] + pickle.dumps(Trace(tmp_path / "trace"))
            bad.writestr(name, content)
    with pytest.raises(ss.UnsupportedInputError, match="no sparse matrix"):
        ss.open_source(tmp_path / "x.npz")
    assert not (tmp_path / "trace").exists()

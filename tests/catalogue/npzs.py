"""``.npz`` files that hold no sparse matrix, or a broken one."""

import numpy as np
import scipy.sparse

import streamsparse as ss
from catalogue.common import Bad, given

UNSUPPORTED, CORRUPT, STRUCTURE = (
    ss.UnsupportedInputError,
    ss.CorruptChunkError,
    ss.BadStructureError,
)
PARTS = {
    "format": np.array(b"csr"),
    "shape": np.array([2, 3]),
    "data": np.ones(2),
    "indices": np.array([0, 2]),
    "indptr": np.array([0, 1, 2]),
}


def parts(**changes):
    """A maker of an npz of the parts of a CSR matrix, some replaced, None left out."""

    def make(tmp_path):
        given_parts = {k: v for k, v in (PARTS | changes).items() if v is not None}
        np.savez(tmp_path / "x.npz", **given_parts)
        return tmp_path / "x.npz"

    return make


def damaged(change):
    """A maker of a good file whose bytes were changed."""

    def make(tmp_path):
        path = tmp_path / "x.npz"
        scipy.sparse.save_npz(path, scipy.sparse.csr_array(np.ones((20, 30))))
        path.write_bytes(change(bytearray(path.read_bytes())))
        return path

    return make


def flipped(content):
    # In the middle of what is compressed.
    at = content.index(b"indices.npy") + 60
    content[at] ^= 255
    return content


NPZ = {
    "an npz that is empty": Bad(damaged(lambda _: b""), CORRUPT, "is damaged"),
    "an npz that is text": Bad(damaged(lambda _: b"hello" * 9), UNSUPPORTED, "no sparse matrix"),
    "an npz that was cut": Bad(damaged(lambda content: content[:-40]), CORRUPT, "is damaged"),
    "an npz with a bad byte": Bad(damaged(flipped), CORRUPT, "is damaged"),
    "an npz of dense arrays": Bad(
        parts(format=None), UNSUPPORTED, "no sparse matrix .* save a dense one as .npy"
    ),
    "an npz of an unknown format": Bad(
        parts(format=np.array(b"xyz")), UNSUPPORTED, "no sparse matrix"
    ),
    "an npz without indices": Bad(parts(indices=None), UNSUPPORTED, "no sparse matrix"),
    "an npz of indices out of range": Bad(parts(indices=np.array([0, 7])), STRUCTURE, "index 7"),
    "an npz of pointers that decrease": Bad(
        parts(indptr=np.array([0, 3, 2])), STRUCTURE, "indptr|pointer"
    ),
    "an npz of complex values": Bad(parts(data=np.ones(2, complex)), UNSUPPORTED, "complex128"),
    "an npz of objects": Bad(
        parts(data=np.array([None, 1])), UNSUPPORTED, "no sparse matrix .*allow_pickle"
    ),
    "an npz by a name": Bad(
        parts(), ss.ParameterError, "have no names", given(feature_axis="gene")
    ),
}

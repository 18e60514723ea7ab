"""Every kind of bad input that we know of, as data; ``tests/test_bad_input.py`` runs it."""

from catalogue.chunks import CHUNKS
from catalogue.common import Bad
from catalogue.dasks import DASK
from catalogue.files import HDF5, SAFETENSORS, SHARDS
from catalogue.names import NAMES
from catalogue.npys import NPY
from catalogue.npzs import NPZ
from catalogue.objects import DTYPE, SHAPE, VALUES
from catalogue.parameters import PARAMETERS
from catalogue.sparses import SPARSE
from catalogue.stores import STORE

GROUPS = {
    "shape": SHAPE,
    "dtype": DTYPE,
    "values": VALUES,
    "sparse": SPARSE,
    "store": STORE,
    "chunks": CHUNKS,
    "names": NAMES,
    "npy": NPY,
    "safetensors": SAFETENSORS,
    "shards": SHARDS,
    "hdf5": HDF5,
    "npz": NPZ,
    "dask": DASK,
    "parameters": PARAMETERS,
}

__all__ = ["GROUPS", "Bad"]

"""Reduce a very wide matrix X (n x d) to Y (n x m) with Y Y^T close to X X^T, out of core."""

# Not in __all__: a star would put it in the place of the user's dask.
from streamsparse import dask as dask
from streamsparse.api.access import load, open_source
from streamsparse.api.attention import attention, attention_error
from streamsparse.api.certify import certify
from streamsparse.api.pair import sparsify_pair
from streamsparse.api.part_set import Part
from streamsparse.api.parts import merge, reduce_part
from streamsparse.api.reduce import plan, sparsify
from streamsparse.dense.certificate import Certificate, Measure
from streamsparse.errors import (
    BadStructureError,
    BudgetTooSmallError,
    CheckpointMismatchError,
    CorruptChunkError,
    MissingChunkError,
    NonFiniteError,
    OutputBusyError,
    OutputExistsError,
    ParameterError,
    PartMismatchError,
    RunInterrupted,
    SourceChangedError,
    SourceNotFoundError,
    StoreError,
    StreamSparseError,
    StreamSparseWarning,
    UnsupportedInputError,
)
from streamsparse.methods.base import CurvePoint
from streamsparse.result import Result
from streamsparse.running.plan import Plan
from streamsparse.version import __version__

__all__ = [
    "BadStructureError",
    "BudgetTooSmallError",
    "Certificate",
    "CheckpointMismatchError",
    "CorruptChunkError",
    "CurvePoint",
    "Measure",
    "MissingChunkError",
    "NonFiniteError",
    "OutputBusyError",
    "OutputExistsError",
    "ParameterError",
    "Part",
    "PartMismatchError",
    "Plan",
    "Result",
    "RunInterrupted",
    "SourceChangedError",
    "SourceNotFoundError",
    "StoreError",
    "StreamSparseError",
    "StreamSparseWarning",
    "UnsupportedInputError",
    "__version__",
    "attention",
    "attention_error",
    "certify",
    "load",
    "merge",
    "open_source",
    "plan",
    "reduce_part",
    "sparsify",
    "sparsify_pair",
]

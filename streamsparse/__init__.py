"""Reduce a very wide matrix X (n x d) to Y (n x m) with Y Y^T close to X X^T, out of core."""

from streamsparse.api.access import load, open_source
from streamsparse.api.attention import attention, attention_error
from streamsparse.api.certify import certify
from streamsparse.api.pair import sparsify_pair
from streamsparse.api.reduce import plan, sparsify
from streamsparse.dense.certificate import Certificate, Measure
from streamsparse.errors import (
    BadStructureError,
    BudgetTooSmallError,
    CorruptChunkError,
    MissingChunkError,
    NonFiniteError,
    OutputExistsError,
    ParameterError,
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

__version__ = "0.1.0"

__all__ = [
    "BadStructureError",
    "BudgetTooSmallError",
    "Certificate",
    "CorruptChunkError",
    "CurvePoint",
    "Measure",
    "MissingChunkError",
    "NonFiniteError",
    "OutputExistsError",
    "ParameterError",
    "Plan",
    "Result",
    "SourceChangedError",
    "SourceNotFoundError",
    "StoreError",
    "StreamSparseError",
    "StreamSparseWarning",
    "UnsupportedInputError",
    "attention",
    "attention_error",
    "certify",
    "load",
    "open_source",
    "plan",
    "sparsify",
    "sparsify_pair",
]

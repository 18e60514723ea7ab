"""Reduce a very wide matrix X (n x d) to Y (n x m) with Y Y^T close to X X^T, out of core.

Importing it imports nothing else: each name brings in what it needs when it is first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from streamsparse.version import __version__

if TYPE_CHECKING:
    from streamsparse import dask as dask
    from streamsparse import plot as plot
    from streamsparse.api.access import load, open_source
    from streamsparse.api.attention import attention, attention_bound, attention_error
    from streamsparse.api.certify import certify
    from streamsparse.api.convert import convert
    from streamsparse.api.downstream import kernel, neighbors, pca
    from streamsparse.api.pair import sparsify_pair
    from streamsparse.api.part_set import Part
    from streamsparse.api.parts import merge, reduce_part
    from streamsparse.api.reduce import plan, sparsify
    from streamsparse.dense.certificate import Certificate, Measure
    from streamsparse.dense.kernel import Kernel
    from streamsparse.dense.neighbors import Neighbors
    from streamsparse.dense.pca import PrincipalComponents
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
        RoundingError,
        RunInterrupted,
        SourceChangedError,
        SourceNotFoundError,
        StoreError,
        StreamSparseError,
        StreamSparseWarning,
        UnsupportedInputError,
    )
    from streamsparse.methods.base import CurvePoint
    from streamsparse.results.result import Result
    from streamsparse.running.plan import Plan
    from streamsparse.sources.preprocess import Preprocess

# Modules that are there as soon as they are asked for.
_MODULES = ("dask", "plot")

# Where each public name is defined.
_HOMES = {
    "load": "streamsparse.api.access",
    "open_source": "streamsparse.api.access",
    "attention": "streamsparse.api.attention",
    "attention_bound": "streamsparse.api.attention",
    "attention_error": "streamsparse.api.attention",
    "certify": "streamsparse.api.certify",
    "convert": "streamsparse.api.convert",
    "kernel": "streamsparse.api.downstream",
    "neighbors": "streamsparse.api.downstream",
    "pca": "streamsparse.api.downstream",
    "sparsify_pair": "streamsparse.api.pair",
    "Part": "streamsparse.api.part_set",
    "merge": "streamsparse.api.parts",
    "reduce_part": "streamsparse.api.parts",
    "plan": "streamsparse.api.reduce",
    "sparsify": "streamsparse.api.reduce",
    "Certificate": "streamsparse.dense.certificate",
    "Measure": "streamsparse.dense.certificate",
    "Kernel": "streamsparse.dense.kernel",
    "Neighbors": "streamsparse.dense.neighbors",
    "PrincipalComponents": "streamsparse.dense.pca",
    "BadStructureError": "streamsparse.errors",
    "BudgetTooSmallError": "streamsparse.errors",
    "CheckpointMismatchError": "streamsparse.errors",
    "CorruptChunkError": "streamsparse.errors",
    "MissingChunkError": "streamsparse.errors",
    "NonFiniteError": "streamsparse.errors",
    "OutputBusyError": "streamsparse.errors",
    "OutputExistsError": "streamsparse.errors",
    "ParameterError": "streamsparse.errors",
    "PartMismatchError": "streamsparse.errors",
    "RoundingError": "streamsparse.errors",
    "RunInterrupted": "streamsparse.errors",
    "SourceChangedError": "streamsparse.errors",
    "SourceNotFoundError": "streamsparse.errors",
    "StoreError": "streamsparse.errors",
    "StreamSparseError": "streamsparse.errors",
    "StreamSparseWarning": "streamsparse.errors",
    "UnsupportedInputError": "streamsparse.errors",
    "CurvePoint": "streamsparse.methods.base",
    "Result": "streamsparse.results.result",
    "Plan": "streamsparse.running.plan",
    "Preprocess": "streamsparse.sources.preprocess",
}

# Without the modules: a star would put "dask" in the place of the user's dask.
__all__ = [
    "BadStructureError",
    "BudgetTooSmallError",
    "Certificate",
    "CheckpointMismatchError",
    "CorruptChunkError",
    "CurvePoint",
    "Kernel",
    "Measure",
    "MissingChunkError",
    "Neighbors",
    "NonFiniteError",
    "OutputBusyError",
    "OutputExistsError",
    "ParameterError",
    "Part",
    "PartMismatchError",
    "Plan",
    "Preprocess",
    "PrincipalComponents",
    "Result",
    "RoundingError",
    "RunInterrupted",
    "SourceChangedError",
    "SourceNotFoundError",
    "StoreError",
    "StreamSparseError",
    "StreamSparseWarning",
    "UnsupportedInputError",
    "__version__",
    "attention",
    "attention_bound",
    "attention_error",
    "certify",
    "convert",
    "kernel",
    "load",
    "merge",
    "neighbors",
    "open_source",
    "pca",
    "plan",
    "reduce_part",
    "sparsify",
    "sparsify_pair",
]


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return import_module(f"streamsparse.{name}")
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*__all__, *_MODULES])

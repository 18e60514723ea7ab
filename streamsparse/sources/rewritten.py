"""A source whose columns are imputed and scaled as they are read, block by block."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from streamsparse.arrays import Array, Interval
from streamsparse.errors import ParameterError
from streamsparse.sources.base import Block, Source, SourceMixin
from streamsparse.sources.preprocess import Preprocess
from streamsparse.sources.rewriting import Rewriter, code_of


def preprocessed(source: Source, preprocess: Preprocess) -> Source:
    """Return the source whose blocks are those of the preprocessed X, but for its centring.

    Raises
    ------
    ParameterError : if zeros of a sparse source are to be missing.
    """
    return RewrittenSource(source, preprocess) if preprocess.rewrites else source


def refuse_late_zeros(preprocess: Preprocess, nonfinite: str) -> None:
    """Refuse NaN that would be read as zero only after columns were scaled.

    Raises
    ------
    ParameterError : if they would.
    """
    if preprocess.rewrites and nonfinite != "error":
        raise ParameterError(
            f"nonfinite={nonfinite!r} says what NaN become after columns were {preprocess}: say "
            f"with ss.Preprocess(impute='zero') that they are zero before"
        )


class RewrittenSource(SourceMixin):
    """Columns of ``bare`` imputed and scaled; dense ones are centred on the way, if they are to be.

    Blocks are of whole columns, in float32 where that holds every value of ``bare`` (float32, float
    16, integers of 8 and 16 bits), else in float64.
    """

    def __init__(self, bare: Source, preprocess: Preprocess) -> None:
        if bare.nnz is not None and preprocess.missing_value == 0:
            raise ParameterError(
                f"missing_value=0 is what {bare.name} does not store: filling it in would make X "
                f"dense; give another code, or X as a dense array"
            )
        self.bare = bare
        self.name, self.shape, self.nnz, self.unit = bare.name, bare.shape, bare.nnz, bare.unit
        self.dtype: np.dtype[Any] = bare.dtype
        self.feature_axis = bare.feature_axis
        is_narrow = bare.block_dtype.itemsize <= 2 or bare.block_dtype == np.float32
        self.block_dtype: np.dtype[Any] = np.dtype(np.float32 if is_narrow else np.float64)
        code = code_of(preprocess, bare)
        self.rewriter = Rewriter(preprocess, bare.shape[0], self.block_dtype, code)
        self.stored_bytes = bare.stored_bytes
        self.read_overhead_bytes = bare.read_overhead_bytes
        self.entry_bytes, self.clipped_entry_bytes = bare.entry_bytes, bare.clipped_entry_bytes
        self.codec, self.opening_passes = bare.codec, bare.opening_passes
        self.integrity, self.is_stored, self.is_lazy = bare.integrity, bare.is_stored, bare.is_lazy
        self.is_known_by_name = bare.is_known_by_name

    @property
    def largest_unit_entries(self) -> int:
        """Entries of the fullest unit: as many as before."""
        return self.bare.largest_unit_entries

    def verify(self) -> None:
        """Check what is there."""
        self.bare.verify()

    def fingerprint(self) -> str:
        """Return that of what is there; what is made of it, the plan says."""
        return self.bare.fingerprint()

    def feature_digest(self) -> str | None:
        """Return that of what is there: the columns are the same."""
        return self.bare.feature_digest()

    def feature_names(self, columns: Array) -> list[Any] | None:
        """Return those of what is there."""
        return self.bare.feature_names(columns)

    def row_names(self) -> Array | None:
        """Return those of what is there."""
        return self.bare.row_names()

    def bare_bytes(self, block_bytes: int) -> int:
        """Return how large a block may be before it is rewritten, to be this large afterwards."""
        if self.nnz is not None:
            return block_bytes
        return block_bytes * self.bare.block_dtype.itemsize // self.block_dtype.itemsize

    def bands(self, max_rows: int, max_bytes: int) -> list[Interval]:
        """Cut the rows as they are stored."""
        return self.bare.bands(max_rows, self.bare_bytes(max_bytes))

    def cut(
        self, rows: Interval, max_bytes: int, columns: Interval | None = None
    ) -> Iterator[Interval]:
        """Yield column ranges, each at most ``max_bytes`` once rewritten."""
        yield from self.bare.cut(rows, self.bare_bytes(max_bytes), columns)

    def read(self, rows: Interval, columns: Interval) -> Block:
        """Read one block of all rows and rewrite it."""
        return self.rewriter(self.bare.read(rows, columns))


class RewrittenChunks:
    """Chunks that somebody else computes, put together to blocks and rewritten."""

    def __init__(self, chunks: Any, rewriter: Rewriter) -> None:
        self.grid, self._chunks, self._rewriter = chunks.grid, chunks, rewriter

    def join(self, rows: Interval, columns: Interval, chunks: Iterable[Any]) -> Block:
        """Return a block made of the chunks that it touches, row by row of chunks."""
        return self._rewriter(self._chunks.join(rows, columns, chunks))

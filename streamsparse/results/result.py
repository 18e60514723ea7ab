"""What a reduction returns: Y, its certificate, and the map for new rows."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from streamsparse.arrays import Array, Interval
from streamsparse.checks import check_flag, check_path
from streamsparse.dense.certificate import Certificate
from streamsparse.errors import ParameterError
from streamsparse.methods.base import CurvePoint, Selection
from streamsparse.methods.known import Known
from streamsparse.methods.products import chunk_rows, dense_rows, is_sparse
from streamsparse.results.card import describe, result_card
from streamsparse.results.exported import export
from streamsparse.results.extend import append_columns, remove_columns
from streamsparse.results.labelled import as_data_array
from streamsparse.results.report import report_page
from streamsparse.results.rows import Reading, transform_rows
from streamsparse.results.saved import fields_of, write_rest
from streamsparse.running.plan import Plan
from streamsparse.running.timeline import Points
from streamsparse.sketching.row_map import RowMap
from streamsparse.storing.commit import check_output, staged
from streamsparse.storing.page import check_page_output, write_page
from streamsparse.storing.result_store import ResultWriter, StoredResult


@dataclass(frozen=True, slots=True)
class Result:
    """A reduced matrix with what was measured about it.

    Attributes
    ----------
    Y : (n, m) float64: an ndarray, or a zarr.Array where the result is on disk; a scipy CSC array
        where columns of a sparse X were kept.
    certificate : what was measured, each number with its kind.
    plan : the plan that was run.
    columns, weights : for methods that keep columns of X, else None:
        ``Y[:, k] = sqrt(weights[k]) * X[:, columns[k]]``. Of "sample" in the order of X; of
        "select" in that of picks ("bss"), or by falling weight times squared whitened length.
    map : from rows of X to rows of Y, for methods that sketch, else None.
    curve : where epsilon was given and several Y were measured: (m, way, error, meets) of each.
    column_names : what the source calls ``columns``, where it has names, else None.
    known : what a later selection, or columns that come or go, start from: of "select" and "exact"
        G, of a sketch with ``m`` its rows that the certificate has seen; else None. Of n rows the
        sketch has p + q + 3 cells each, p = 90 rows and q = 16 probes (n + 3 up to 256 rows): 2.7 %
        of Y at m = 4,096, 21 % at 512. Of a result on disk it is read when it is asked for.
    selection : of method "select": what chose the columns, and what it proves; else None.
    feature_digest : of the names of the columns of X, where the source has names, else None.
    timeline : (seconds since the passes began, bytes of X summed by then), at most 256 points, the
        last one at the end of the run; empty where others have made the passes.
    row_names : (n,) text, numbers or dates: what the source calls the rows, else None.

    A result of :func:`sparsify_pair` is that of Z = [Q; K]: ``Q`` and ``K`` are its two parts, and
    its certificate speaks of Q K^T.
    """

    Y: Any
    certificate: Certificate
    plan: Plan
    columns: Array | None
    weights: Array | None
    map: RowMap | None
    curve: tuple[CurvePoint, ...]
    column_names: tuple[str, ...] | None
    selection: Selection | None
    known: Known | None
    feature_digest: str | None
    timeline: Points
    row_names: Array | None

    @property
    def is_pair(self) -> bool:
        """Whether queries and keys were reduced together."""
        return self.plan.queries is not None

    @property
    def Q(self) -> Any:
        """Reduced queries (queries, m); ParameterError where there are none."""
        return self.Y[: self._num_queries()]

    @property
    def K(self) -> Any:
        """Reduced keys (keys, m); ParameterError where there are none."""
        return self.Y[self._num_queries() :]

    @property
    def intervals(self) -> tuple[Interval, ...]:
        """The columns of X that Y is made of: ((0, d),) unless columns were appended or removed."""
        return ((0, self.certificate.d),) if self.known is None else self.known.intervals

    @property
    def is_whole(self) -> bool:
        """Whether all d columns are in it."""
        return self.intervals == ((0, self.certificate.d),)

    @property
    def has_changed(self) -> bool:
        """Whether columns came or went since it was made: the plan is that of the last call."""
        portions = () if self.known is None else self.known.portions
        return len(portions) > 1 or not self.is_whole

    def _num_queries(self) -> int:
        if self.plan.queries is None:
            raise ParameterError("only sparsify_pair makes queries and keys; this result has Y")
        return self.plan.queries

    def transform(
        self,
        X_new: Any,
        *,
        feature_axis: int | str = 1,
        memory: int | str = "1 GiB",
        out: str | Path | None = None,
        overwrite: bool = False,
        progress: str | bool = "auto",
        missing: str = "error",
        nonfinite: str = "error",
    ) -> Any:
        """Apply the same map to new rows, in one pass over them.

        Parameters
        ----------
        X_new : (n_new, d), anything ``sparsify`` takes; its columns mean the same as those of X.
        feature_axis : 0 or 1, the long axis of X_new as stored, or the name of that dimension.
        memory : bytes for the whole computation, or text with a unit.
        out : where to write Y_new, as a Zarr group; None returns it.
        overwrite : replace ``out`` if it is there.
        progress : "auto", True or False: a bar on stderr.
        missing, nonfinite : what to do about absent chunks and about NaN, as for ``sparsify``.

        Returns
        -------
        Y_new (n_new, m): as Y is, or the ``Y`` of the Zarr group at ``out``. Where Y is the sketch
        itself (``m`` was given) or made of columns of X, rows of X give the rows of Y again, to the
        last bit, and new rows are as good as old ones. Where a sketch was cut to n columns or fewer
        (no ``m``), products of new rows with old ones are kept, but of each new row only the part
        in the span of the old ones: products of new rows with each other are not. Where X was
        centred, new rows are taken less the mean of the old ones. Columns that the result is not
        made of are not looked at. After ``append`` and ``remove`` of others than integers rows of X
        give those of Y up to rounding.

        Raises
        ------
        ParameterError : for method "exact", which keeps no map, for another d, and where the
            columns of X_new have other names, or another order, than those of X had; where columns
            of X were scaled or imputed, or its rows centred and rescaled.
        StreamSparseError : as ``sparsify``.

        Notes
        -----
        One pass over X_new, for "sample" over the blocks that hold a kept column; memory as for the
        sketch of X_new, or 3 n_new m cells for "sample".
        """
        reading = Reading(feature_axis, memory, out, overwrite, progress, missing, nonfinite)
        return transform_rows(self, X_new, reading)

    def append(  # noqa: PLR0913 - as for transform
        self,
        X_more: Any,
        *,
        start: int | None = None,
        feature_axis: int | str = 1,
        memory: int | str = "1 GiB",
        out: str | Path | None = None,
        overwrite: bool = False,
        progress: str | bool = "auto",
        missing: str = "error",
        nonfinite: str = "error",
    ) -> Result:
        """Return the result of [X, X_more], in one pass over X_more.

        Parameters
        ----------
        X_more : (n, k), anything ``sparsify`` takes: more columns of the same rows, in the same
            order, preprocessed as those of X were. For queries and keys the tuple (Q_more, K_more).
        start : where they are put: column j of X_more becomes column start + j of X. None for the
            end, d. Beyond it there may be a gap, whose columns are not there until they come.
        feature_axis, memory, out, overwrite, progress, missing, nonfinite :
            as for ``transform``; ``out`` is for the whole new result.

        Returns
        -------
        A new :class:`Result`. Its certificate is about all columns; ``passes``, ``bytes_read``,
        ``seconds`` and the memory in it are of this call.

        Raises
        ------
        ParameterError : where there are columns already, for another n, and for results that are
            no sum over columns: of "sample" and "select", and sketches that were cut to a smaller Y
            (without ``m``).
        StreamSparseError : as ``sparsify``.

        Notes
        -----
        One pass over X_more; memory as for a reduction of it, and what is kept of X. Of integers
        the bits are those of one run over everything, of others they are equal up to rounding,
        and the same for any chunk grid, number of threads and memory budget. Where X_more is read
        in bands of rows its bounds on all rows are lost. No checkpoints: an interrupted call leaves
        nothing. The same columns at another place: a StreamSparseWarning. Guarantee: S is a
        function of the column and G a sum over columns, so what was proved or measured of one run
        is of this one (THEORY 2, 7).
        """
        reading = Reading(feature_axis, memory, out, overwrite, progress, missing, nonfinite)
        return append_columns(self, X_more, start, reading)

    def remove(  # noqa: PLR0913 - as for transform
        self,
        X_some: Any,
        start: int,
        *,
        feature_axis: int | str = 1,
        memory: int | str = "1 GiB",
        out: str | Path | None = None,
        overwrite: bool = False,
        progress: str | bool = "auto",
        missing: str = "error",
        nonfinite: str = "error",
    ) -> Result:
        """Return the result without the columns start .. start + k - 1, in one pass over them.

        Parameters
        ----------
        X_some : (n, k), the values that were added, in the same dtype.
        start : which columns of X they are. All in one of the calls that made the result.
        feature_axis, memory, out, overwrite, progress, missing, nonfinite : as for ``append``.

        Returns
        -------
        A new :class:`Result`; d stays, ``transform`` and ``append`` see a gap.

        Raises
        ------
        ParameterError : where those columns are not in the result, or nothing else is; where the
            values are not those that were added, which is sure to be seen when the last columns of
            a call go, and before only if a row would get a negative square.
        RoundingError : where nothing is left but rounding.
        StreamSparseError : as ``sparsify``.

        Notes
        -----
        One pass over X_some; memory as for ``append``. What was taken away leaves its rounding,
        relative to what was there: the certificate includes it, and a number that it hides is None.
        ``certify`` takes X with zeros where columns are gone.
        """
        reading = Reading(feature_axis, memory, out, overwrite, progress, missing, nonfinite)
        return remove_columns(self, X_some, start, reading)

    def save(self, path: str | Path, *, overwrite: bool = False) -> None:
        """Write the result as a Zarr group, beside its target and renamed when complete.

        Parameters
        ----------
        path : the new group: array ``Y``, optional ``columns``, ``weights``, ``projection``, what
            is ``known``, and ``attrs["streamsparse"]`` with everything else.
        overwrite : replace an earlier result at ``path``.

        Raises
        ------
        OutputExistsError : if something is there.
        StoreError : if the store cannot be written.
        """
        target = check_path("path", path)
        check_output(target, overwrite=overwrite, source_path=None)
        with staged(target, overwrite=overwrite) as temporary:
            writer = ResultWriter(temporary)
            if is_sparse(self.Y):
                writer.write_sparse(self.Y)
            else:
                writer.start(*self.Y.shape)
                step = chunk_rows(self.Y)
                for start in range(0, self.Y.shape[0], step):
                    writer.write_rows(start, self.Y[start : start + step])
            write_rest(writer, self)

    def export(self, path: str | Path, *, overwrite: bool = False) -> None:
        """Write Y alone, for others; :meth:`save` keeps the whole result.

        Parameters
        ----------
        path : its suffix says what is written, complete or not at all. ".npy": Y in float64, a
            sparse Y made dense. ".zarr": a Zarr array (n, m), every chunk with a crc32c; of a
            sparse Y a group in AnnData's ``csc_matrix`` encoding.
        overwrite : replace an earlier export, or any ``.npy`` file, at ``path``.

        Raises
        ------
        ParameterError : for another suffix.
        OutputExistsError : if something is there.
        StoreError : if it cannot be written.

        Notes
        -----
        No pass over X. Memory: 4 MiB of rows of Y at once, and of a sparse Y a copy by rows.
        """
        check_flag("overwrite", overwrite)
        export(self.Y, check_path("path", path), overwrite=overwrite)

    def to_xarray(self) -> Any:
        """Return Y as an ``xarray.DataArray`` of dimensions "row" and "component".

        Returns
        -------
        A DataArray (n, m) of the values of Y in memory, a sparse Y made dense; the coordinate "row"
        has the names of the rows, where the source has names.

        Raises
        ------
        ParameterError : if xarray is not installed.

        Notes
        -----
        No pass over X. Memory: n m cells, read from disk where Y lies there.
        """
        return as_data_array(dense_rows(self.Y), self.row_names)

    @classmethod
    def from_stored(cls, stored: StoredResult) -> Result:
        """Return the result that a group holds."""
        return cls(**fields_of(stored))

    def report(self, path: str | Path, *, overwrite: bool = False) -> None:
        """Write one HTML page about the result: what was measured, how, and how to make it again.

        Parameters
        ----------
        path : of the page; it needs no other file, and no network.
        overwrite : replace an earlier report at ``path``.

        Raises
        ------
        OutputExistsError : if something is there, or, with ``overwrite``, something that is no
            report; if ``path`` lies inside a result.
        StoreError : if the page cannot be written.
        MissingChunkError : if Y is on disk and chunks of it are gone.

        Notes
        -----
        No pass over X. Y of at most 2^23 cells (64 MiB) is read once, for the shares of its columns
        and, where its shorter side is at most 1,024, for the spectrum of Y Y^T; memory three times
        that. A larger Y is left alone. The same result gives the same page.
        """
        target = check_path("path", path)
        check_page_output(target, overwrite=overwrite)
        write_page(target, report_page(self), overwrite=overwrite)

    def __repr__(self) -> str:
        """Return the certificate, the selection and the next steps; reads and computes nothing."""
        return "\n".join(describe(self))

    def _repr_html_(self) -> str:
        """Return the card that notebooks show; reads and computes nothing."""
        return result_card(self)

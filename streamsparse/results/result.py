"""What a reduction returns: Y, its certificate, and the map for new rows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from streamsparse.arrays import Array
from streamsparse.checks import check_choice, check_path
from streamsparse.dense.certificate import Certificate
from streamsparse.errors import ParameterError
from streamsparse.methods.base import CurvePoint, GramState, Selection
from streamsparse.methods.products import chunk_rows, is_sparse
from streamsparse.methods.transform import map_rows, pick_columns, plan_columns, plan_row_map
from streamsparse.results.card import describe, result_card
from streamsparse.results.report import report_page
from streamsparse.results.saved import fields_of, path_of, write_rest
from streamsparse.running.facts import Facts
from streamsparse.running.local import Execution
from streamsparse.running.plan import Plan
from streamsparse.running.progress import show_progress
from streamsparse.running.threads import available_threads
from streamsparse.running.timeline import Points
from streamsparse.sketching.row_map import RowMap
from streamsparse.sources.base import Source
from streamsparse.sources.open import open_source
from streamsparse.storing.commit import check_output, staged
from streamsparse.storing.page import check_page_output, write_page
from streamsparse.storing.result_store import SCHEMA, ResultWriter, StoredResult
from streamsparse.storing.result_store import open_result as open_stored
from streamsparse.units import parse_memory


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
    known : of method "select": G and what else a later selection can start from.
    selection : of method "select": what chose the columns, and what it proves; else None.
    feature_digest : of the names of the columns of X, where the source has names, else None.
    timeline : (seconds since the passes began, bytes of X summed by then), at most 256 points, the
        last one at the end of the run; empty where others have made the passes.

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
    known: GramState | None
    feature_digest: str | None
    timeline: Points

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

    def _num_queries(self) -> int:
        if self.plan.queries is None:
            raise ParameterError("only sparsify_pair makes queries and keys; this result has Y")
        return self.plan.queries

    def transform(
        self,
        X_new: Any,
        *,
        feature_axis: int = 1,
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
        feature_axis : 0 or 1, the long axis of X_new as stored.
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
        in the span of the old ones: products of new rows with each other are not.

        Raises
        ------
        ParameterError : for method "exact", which keeps no map, for another d, and where the
            columns of X_new have other names, or another order, than those of X had.
        StreamSparseError : as ``sparsify``.

        Notes
        -----
        One pass over X_new, for "sample" over the blocks that hold a kept column; memory as for the
        sketch of X_new, or 3 n_new m cells for "sample".
        """
        if self.map is None and self.columns is None:
            raise ParameterError(
                f"method {self.certificate.method!r} keeps no map for new rows: reduce with "
                f'method="sketch", or stack the new rows under the old ones'
            )
        check_choice("nonfinite", nonfinite, ("error", "zero"))
        source = open_source(X_new, feature_axis=feature_axis, missing=missing)
        self._check_features(source)
        if out is not None:
            out = check_path("out", out)
            check_output(out, overwrite=overwrite, source_path=path_of(X_new, source))
        source.verify()
        facts = Facts.of(source)
        run = self._plan_rows(facts, memory_budget=parse_memory(memory), has_output=out is not None)
        with show_progress(progress, label="transform", total=facts.used_bytes) as bar:
            execution = Execution(available_threads(), nonfinite == "zero", bar)
            if out is None:
                return run(source, execution, None)
            with staged(out, overwrite=overwrite) as temporary:
                writer = ResultWriter(temporary)
                run(source, execution, writer)
                writer.finish({"schema": SCHEMA, "transform_of": self.certificate.to_dict()})
        return open_stored(out).Y

    def _check_features(self, source: Source) -> None:
        d = self.certificate.d
        if source.shape[1] != d:
            raise ParameterError(f"new rows must have d = {d:,} columns, not {source.shape[1]:,}")
        theirs = source.feature_digest()
        if None not in (self.feature_digest, theirs) and theirs != self.feature_digest:
            raise ParameterError(
                f"the columns of {source.name} have other names, or another order, than those that "
                f"were reduced (digest {theirs}, not {self.feature_digest}); reorder them"
            )

    def _plan_rows(
        self, facts: Facts, *, memory_budget: int, has_output: bool
    ) -> Callable[[Source, Execution, ResultWriter | None], Any]:
        """Return what maps the rows of a source with these facts, its reading planned."""
        if self.map is not None:
            row_map = self.map
            stream = plan_row_map(
                facts, row_map, memory_budget=memory_budget, has_output=has_output
            )
            return lambda source, execution, output: map_rows(
                source, stream, execution, row_map=row_map, output=output
            )
        columns, weights = self.columns, self.weights
        assert columns is not None
        assert weights is not None
        stream = plan_columns(facts, columns, memory_budget=memory_budget)
        return lambda source, execution, output: pick_columns(
            source, stream, execution, columns=columns, weights=weights, output=output
        )

    def save(self, path: str | Path, *, overwrite: bool = False) -> None:
        """Write the result as a Zarr group, beside its target and renamed when complete.

        Parameters
        ----------
        path : the new group: array ``Y``, optional ``columns``, ``weights``, ``projection``, and
            ``attrs["streamsparse"]`` with everything else.
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

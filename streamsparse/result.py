"""What a reduction returns: Y, its certificate, and the map for new rows."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from streamsparse.dense.certificate import Certificate
from streamsparse.errors import ParameterError, UnsupportedInputError
from streamsparse.methods.transform import plan_transform, transform_rows
from streamsparse.running.facts import Facts
from streamsparse.running.local import Execution, available_threads
from streamsparse.running.plan import Plan
from streamsparse.running.progress import show_progress
from streamsparse.sketching.run_hash import SparseSign
from streamsparse.sources.base import Array, Source
from streamsparse.sources.open import open_source
from streamsparse.storing.commit import check_output, staged
from streamsparse.storing.zarr_write import ResultWriter, StoredResult
from streamsparse.storing.zarr_write import open_result as open_stored
from streamsparse.units import parse_memory

SCHEMA = 1


@dataclass(frozen=True, slots=True)
class Result:
    """A reduced matrix with what was measured about it.

    Attributes
    ----------
    Y : (n, m) float64: an ndarray, or a zarr.Array where the result is on disk.
    certificate : what was measured, each number with its kind.
    plan : the plan that was run.
    columns, weights : for methods that keep columns of X, in pick order, else None:
        ``Y[:, k] = sqrt(weights[k]) * X[:, columns[k]]``.
    operator : the S that was applied, None for method "exact".
    projection : (sketch columns, m): Y = X S^T projection; None where Y = X S^T itself.
    """

    Y: Any
    certificate: Certificate
    plan: Plan
    columns: Array | None
    weights: Array | None
    operator: SparseSign | None
    projection: Array | None

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
        Y_new (n_new, m): ndarray, or the array ``Y`` of the Zarr group at ``out``. Where Y is the
        sketch itself (``m`` was given), rows of X give the rows of Y again, to the last bit, and
        new rows are as good as old ones. Where Y was cut to n columns (no ``m``), products of new
        rows with old ones are kept, but of each new row only the part in the span of the old ones:
        its norm and products of new rows with each other are not.

        Raises
        ------
        ParameterError : for method "exact", which keeps no map, and for another d.
        StreamSparseError : as ``sparsify``.

        Notes
        -----
        One pass over X_new; memory as for the sketch of X_new.
        """
        if self.operator is None:
            raise ParameterError(
                f"method {self.certificate.method!r} keeps no map for new rows: reduce with "
                f'method="sketch", or stack the new rows under the old ones'
            )
        source = open_source(X_new, feature_axis=feature_axis, missing=missing)
        if source.shape[1] != self.operator.d:
            raise ParameterError(
                f"new rows must have d = {self.operator.d:,} columns, not {source.shape[1]:,}"
            )
        if out is not None:
            check_output(Path(out), overwrite=overwrite, source_path=path_of(X_new, source))
        source.verify()
        m = int(self.Y.shape[1])
        facts = Facts.of(source)
        stream = plan_transform(
            facts,
            self.operator,
            m=m,
            projection_bytes=0 if self.projection is None else self.projection.nbytes,
            memory_budget=parse_memory(memory),
            has_output=out is not None,
        )
        with show_progress(progress, label="transform", total=facts.used_bytes) as bar:
            execution = Execution(available_threads(), nonfinite == "zero", bar)
            if out is None:
                return transform_rows(
                    source,
                    stream,
                    execution,
                    operator=self.operator,
                    projection=self.projection,
                    writer=None,
                )
            with staged(Path(out), overwrite=overwrite) as temporary:
                writer = ResultWriter(temporary, source.shape[0], m)
                transform_rows(
                    source,
                    stream,
                    execution,
                    operator=self.operator,
                    projection=self.projection,
                    writer=writer,
                )
                writer.finish({"schema": SCHEMA, "transform_of": self.certificate.to_dict()})
        return open_stored(Path(out)).Y

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
        check_output(Path(path), overwrite=overwrite, source_path=None)
        with staged(Path(path), overwrite=overwrite) as temporary:
            writer = ResultWriter(temporary, *self.Y.shape)
            step = max(1, (8 << 20) // (8 * self.Y.shape[1]))
            for start in range(0, self.Y.shape[0], step):
                writer.write_rows(start, self.Y[start : start + step])
            finish_writing(writer, self)

    def __repr__(self) -> str:
        """Return the certificate's lines; computes nothing."""
        return f"Result\n{self.certificate}"


def finish_writing(writer: ResultWriter, result: Result) -> None:
    """Write everything but Y, the attributes last."""
    for name in ("columns", "weights", "projection"):
        values = getattr(result, name)
        if values is not None:
            writer.write_array(name, values)
    writer.finish(
        {
            "schema": SCHEMA,
            "certificate": result.certificate.to_dict(),
            "plan": result.plan.to_dict(),
            "operator": None if result.operator is None else result.operator.to_dict(),
        }
    )


def from_stored(stored: StoredResult) -> Result:
    """Return the result that a group holds."""
    attributes = stored.attributes
    if "transform_of" in attributes:
        raise UnsupportedInputError(
            "this group holds transformed rows, not a result with a certificate"
        )
    try:
        operator = attributes["operator"]
        return Result(
            Y=stored.Y,
            certificate=Certificate.from_dict(attributes["certificate"]),
            plan=Plan.from_dict(attributes["plan"]),
            columns=stored.columns,
            weights=stored.weights,
            operator=None if operator is None else SparseSign.from_dict(operator),
            projection=stored.projection,
        )
    except (KeyError, TypeError) as error:
        raise UnsupportedInputError(f"the attributes of the result lack {error}") from error


def with_stored(result: Result, path: Path) -> Result:
    """Return the result with Y as the array on disk."""
    return replace(result, Y=open_stored(path).Y)


def path_of(obj: Any, source: Source) -> Path | None:
    """Return the local path that a source reads from, None if it is not a file."""
    name = str(getattr(obj, "filename", source.name)).removeprefix("file://")
    path = Path(name)
    return path if path.is_absolute() or path.exists() else None

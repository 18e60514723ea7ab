"""Check the arguments of the public functions, before anything is opened or read."""

from __future__ import annotations

import math
from numbers import Real
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from streamsparse.arrays import Array
from streamsparse.checks import (
    ALGORITHMS,
    MAX_SEED,
    METHODS,
    POLICIES,
    TARGETS,
    as_float,
    check_choice,
    check_count,
    check_flag,
    check_open_interval,
    check_path,
)
from streamsparse.errors import NonFiniteError, ParameterError
from streamsparse.methods.base import Request
from streamsparse.methods.products import dense_rows, is_sparse
from streamsparse.results.result import Result
from streamsparse.sources.preprocess import WORDS, Preprocess
from streamsparse.units import parse_memory

# Those whose Y is made of columns of X.
COLUMN_METHODS = ("sample", "select")

# Rarer than anything there is; what is left of it is still a number when it is shared out.
SMALLEST_DELTA = 1e-280


def check_request(
    *,
    method: str,
    m: int | None,
    epsilon: float | None,
    target: str,
    delta: float,
    beta: float,
    seed: int,
    memory: int | str,
    s: int,
    strict: bool,
    has_output: bool,
    algorithm: str = "auto",
    continues: bool = False,
    queries: int | None = None,
    preprocess: Preprocess | str | None = None,
) -> Request:
    """Return the request, every parameter checked; ParameterError names the first bad one."""
    check_choice("method", method, METHODS)
    check_choice("target", target, TARGETS)
    check_choice("algorithm", algorithm, ALGORITHMS)
    if algorithm != "auto" and method != "select":
        raise ParameterError(f"algorithm={algorithm!r} is of method 'select', not {method!r}")
    columns = check_preprocess(preprocess)
    if columns.is_needed and method in COLUMN_METHODS:
        raise ParameterError(
            f"method {method!r} keeps columns of X as they are: preprocess is of 'exact' and "
            f"'sketch'"
        )
    if continues and method != "select":
        raise ParameterError(f"start is of method 'select', not {method!r}")
    if m is not None:
        m = check_count("m", m, low=1)
        if epsilon is not None:
            raise ParameterError("give m or epsilon, not both: epsilon decides how large m is")
    if epsilon is not None:
        epsilon = check_open_interval("epsilon", epsilon, low=0, high=1)
    return Request(
        method=method,
        m=m,
        epsilon=epsilon,
        target=target,
        delta=max(SMALLEST_DELTA, check_open_interval("delta", delta, low=0, high=1)),
        beta=check_beta(beta),
        seed=check_seed(seed),
        memory=parse_memory(memory),
        s=check_s(s),
        strict=check_flag("strict", strict),
        has_output=has_output,
        algorithm=algorithm,
        continues=continues,
        queries=queries,
        preprocess=columns,
    )


def check_preprocess(preprocess: Preprocess | str | None) -> Preprocess:
    """Return what is to be done to the columns of X, given as a value, in one word, or not."""
    if preprocess is None:
        return Preprocess()
    if isinstance(preprocess, Preprocess):
        return preprocess
    if isinstance(preprocess, str) and preprocess in WORDS:
        return WORDS[preprocess]
    words = ", ".join(map(repr, WORDS))
    raise ParameterError(
        f"preprocess must be None, one of {words}, or an ss.Preprocess, not {preprocess!r}"
    )


def check_s(s: int) -> int:
    """Return the number of nonzeros per column of S."""
    if check_count("s", s, low=1, high=8) not in (1, 2, 4, 8):
        raise ParameterError(f"s must be 1, 2, 4 or 8, not {s!r}")
    return int(s)


def check_seed(seed: int) -> int:
    """Return a seed of 64 bits."""
    return check_count("seed", seed, low=0, high=MAX_SEED)


def check_beta(beta: float) -> float:
    """Return the logit scale, a positive finite number."""
    number = as_float(beta)
    if number is None or not 0 < number < math.inf:
        raise ParameterError(f"beta must be a positive finite number, not {beta!r}")
    return number


def check_feature_axis(feature_axis: int) -> int:
    """Return 0 or 1."""
    return check_count("feature_axis", feature_axis, low=0, high=1)


def check_out(out: str | Path | None) -> Path | None:
    """Return the output path, whatever becomes of the working directory; None without any."""
    return None if out is None else check_path("out", out)


def check_policies(*, missing: str, nonfinite: str) -> None:
    """Check what to do about absent chunks and about NaN."""
    check_choice("missing", missing, POLICIES["missing"])
    check_choice("nonfinite", nonfinite, POLICIES["nonfinite"])


def check_of_Y_request(
    *,
    beta: float,
    seed: int,
    memory: int | str,
    delta: float,
    queries: int | None = None,
    preprocess: Preprocess | str | None = None,
) -> Request:
    """Return the request of a check: only these parameters matter to it."""
    return check_request(
        method="exact",
        m=None,
        epsilon=None,
        target="attention",
        delta=delta,
        beta=beta,
        seed=seed,
        memory=memory,
        s=8,
        strict=False,
        has_output=False,
        queries=queries,
        preprocess=preprocess,
    )


def check_share(share: float) -> float:
    """Return a share of the rows, in (0, 1]."""
    if isinstance(share, bool) or not isinstance(share, Real) or not 0 < float(share) <= 1:
        raise ParameterError(f"share must be a number in (0, 1], not {share!r}")
    return float(share)


def check_matrix(name: str, values: npt.ArrayLike | Result) -> Array:
    """Return a real, finite matrix (n, m) in float64; of a result, its Y."""
    if isinstance(values, Result):
        values = values.Y
    if is_sparse(values):
        values = dense_rows(values)
    if isinstance(values, np.ma.MaskedArray) and np.ma.is_masked(values):
        raise ParameterError(f"{name} has masked values, which would count; fill them first")
    try:
        matrix = np.asarray(values)
    except ValueError as error:
        raise ParameterError(f"{name} must be a matrix (n, m): {error}") from error
    _check_real(name, matrix)
    matrix = matrix.astype(np.float64, copy=False)
    _check_finite(name, matrix)
    return matrix


def check_sparse_or_dense(name: str, values: Any) -> Any:
    """Return what :func:`check_matrix` does, but in CSR if it is sparse."""
    if isinstance(values, Result):
        values = values.Y
    if not is_sparse(values):
        return check_matrix(name, values)
    _check_real(name, values)
    by_rows = values.tocsr().astype(np.float64)
    _check_finite(name, by_rows.data)
    return by_rows


def _check_real(name: str, matrix: Any) -> None:
    if matrix.ndim != 2 or 0 in matrix.shape or matrix.dtype.kind not in "fiub":
        raise ParameterError(
            f"{name} must be real with shape (n, m), not {matrix.dtype} {matrix.shape}"
        )


def _check_finite(name: str, values: Array) -> None:
    if not np.isfinite(values).all():
        raise NonFiniteError(f"{name} holds NaN or infinity")

"""``sparsify_pair``: queries and keys reduced together, so that Q K^T survives."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from streamsparse.api.arguments import check_policies, check_request
from streamsparse.api.identity import Policies
from streamsparse.api.running import check_destination, reduce_source
from streamsparse.results.result import Result
from streamsparse.results.saved import path_of
from streamsparse.sources.stacked import open_pair


def sparsify_pair(
    Q: Any,
    K: Any,
    method: str = "auto",
    *,
    m: int | None = None,
    epsilon: float | None = None,
    target: str = "attention",
    delta: float = 0.01,
    beta: float = 1.0,
    seed: int = 0,
    memory: int | str = "1 GiB",
    feature_axis: int | str = 1,
    out: str | Path | None = None,
    overwrite: bool = False,
    resume: bool = False,
    progress: str | bool = "auto",
    missing: str = "error",
    nonfinite: str = "error",
    s: int = 8,
    strict: bool = False,
    algorithm: str = "auto",
) -> Result:
    """Reduce queries Q and keys K together, so that softmax(beta Q K^T) survives.

    Parameters
    ----------
    Q : anything :func:`open_source` takes, shape (queries, d).
    K : the same, shape (keys, d); both dense or both sparse.
    method, m, epsilon, delta, beta, seed, memory, feature_axis, out, overwrite, resume, progress,
    missing, nonfinite, s, strict, algorithm :
        as for :func:`sparsify`, of the stacked matrix Z = [Q; K].
    target : as for :func:`sparsify`: "attention" is softmax(beta Q K^T) by rows, "entries" are
        those of Q K^T relative to max ||q_i|| max ||k_j||, "spectral" and "regularised" speak of
        Z Z^T.

    Returns
    -------
    A :class:`Result` with ``Q`` (queries, m), ``K`` (keys, m), and a ``certificate`` of Q K^T.

    Raises
    ------
    ParameterError : if Q and K differ in d, or one is sparse and the other dense.
    StreamSparseError : as :func:`sparsify`.

    Notes
    -----
    One pass over Q and K, two for "sample" and "select". Memory: as for n = queries + keys rows.
    Guarantee (THEORY 1.7): Q' K'^T - Q K^T is a block of the error of Z Z^T, so
    |E_ij| <= epsilon ||q_i|| ||k_j||, and attention follows by Theorem 1.
    """
    check_policies(missing=missing, nonfinite=nonfinite)
    source = open_pair((Q, K), feature_axis=feature_axis, missing=missing)
    queries = source.above.shape[0]
    request = check_request(
        method=method,
        m=m,
        epsilon=epsilon,
        target=target,
        delta=delta,
        beta=beta,
        seed=seed,
        memory=memory,
        s=s,
        strict=strict,
        has_output=out is not None,
        algorithm=algorithm,
        queries=queries,
    )
    return reduce_source(
        source,
        request,
        destination=check_destination(out, overwrite=overwrite, resume=resume),
        policies=Policies(missing, nonfinite),
        source_paths=[path_of(Q, source.above), path_of(K, source.below)],
        progress=progress,
    )

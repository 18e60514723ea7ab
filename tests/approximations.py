"""Matrices Y that stand for X well, badly or perversely, and certificates by brute force."""

import numpy as np

import reference
from strategies import matrix_from_spectrum
from streamsparse.dense.certificate import Certificate, Errors, Measure
from streamsparse.sources.preprocess import Preprocess


def matrices(n=12, d=40, seed=0):
    """X (n, d) of every spectrum that error bars must survive."""
    rng = np.random.default_rng(seed)
    gaussian = rng.standard_normal((n, d)) / np.sqrt(d)
    clusters = np.repeat(gaussian[: n // 3] * 2, 3, axis=0) + 0.01 * gaussian
    return {
        "flat": matrix_from_spectrum(n, d, np.ones(n), seed),
        "decaying": matrix_from_spectrum(n, d, 2.0 ** -np.arange(n), seed),
        "one outlier": matrix_from_spectrum(n, d, [10.0, *np.ones(n - 1)], seed),
        "rank deficient": matrix_from_spectrum(n, d, np.ones(n // 3), seed),
        "duplicate rows": np.repeat(gaussian[: n // 2], 2, axis=0),
        "clusters": clusters,
        "zero rows": np.where(np.arange(n)[:, None] % 3 == 0, 0.0, gaussian),
        "lengths 0.01 to 100": gaussian * 10.0 ** np.linspace(-2, 2, n)[:, None],
        "one long row": gaussian * np.where(np.arange(n)[:, None] == 0, 30.0, 1.0),
    }


def approximations(X, seed=0):
    """Y of every kind: near, narrow, perverse, nothing."""
    rng = np.random.default_rng(seed)
    n, d = X.shape
    U, sigma, _ = np.linalg.svd(X, full_matrices=False)
    sketch = X @ rng.standard_normal((d, 8 * n)) / np.sqrt(8 * n)
    doubled, negated, swapped = X.copy(), X.copy(), X.copy()
    doubled[0] *= 2
    negated[0] *= -1
    swapped[[0, 1]] = X[[1, 0]]
    return {
        "X itself": X.copy(),
        "noise": X + 1e-3 * np.abs(X).max() * rng.standard_normal(X.shape),
        "sketch": sketch,
        "rows of exact norm": rescaled(sketch, X),
        "narrow sketch": sketch[:, :3] * np.sqrt(8 * n / 3),
        "truncated": U[:, : n // 2] * sigma[: n // 2],
        "one row doubled": doubled,
        "one row negated": negated,
        "two rows swapped": swapped,
        "all rows equal": np.repeat(X.mean(axis=0, keepdims=True), n, axis=0),
        "zero": np.zeros((n, 2)),
    }


def rescaled(Y, X):
    """Y with the row norms of X, where it can be."""
    lengths, of_Y = np.linalg.norm(X, axis=1), np.linalg.norm(Y, axis=1)
    return Y * np.divide(lengths, of_Y, out=np.ones(len(Y)), where=of_Y > 0)[:, None]


def certificate_of(X, Y, *, matrix_errors=("spectral", "regularised", "rms_entry"), **errors):
    """What an exact check of Y finds, or only what is named; ``errors`` in its place or beside."""
    G, F = X @ X.T, Y @ Y.T
    E, r = F - G, float(np.diagonal(G).max())
    found = {"entry": float(np.abs(E).max()) / r}
    found["rms_entry"] = float(np.sqrt(np.mean(np.square(E / r))))
    found["attention"] = reference.attention_error(G, F, 1.0)
    found["spectral"] = reference.loewner_error(reference.whitening(X), Y)
    root = np.linalg.cholesky(G + r * np.eye(len(G)))
    whitened = np.linalg.solve(root, np.linalg.solve(root, E).T)
    found["regularised"] = float(np.abs(np.linalg.eigvalsh(whitened)).max())
    measures = {
        name: Measure(value, "exact")
        for name, value in found.items()
        if np.isfinite(value) and name in ("entry", "attention", *matrix_errors)
    }
    return Certificate(
        n=len(X),
        d=X.shape[1],
        m=Y.shape[1],
        method="given",
        seed=0,
        beta=1.0,
        preprocess=Preprocess(),
        r=r,
        trace=float(np.trace(G)),
        errors=Errors(checked_rows=len(X), **(measures | errors)),
        target=None,
        epsilon=None,
        met=None,
        queries=None,
        passes=1,
        bytes_read=0,
        peak_memory_bytes=None,
        seconds=0.0,
        integrity="structural",
    )

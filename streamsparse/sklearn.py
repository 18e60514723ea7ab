"""Estimators with scikit-learn's interface: ``fit``, ``transform``, pipelines, grid searches.

X (n_samples, n_features) becomes Y (n_samples, n_components) with Y Y^T close to X X^T: whatever
looks at inner products or distances of samples alone may take Y instead of X. ``fit`` takes what
scikit-learn takes, and also what :func:`streamsparse.open_source` does: the path of a Zarr store, a
zarr or dask array. Those are read by blocks and never held whole.

>>> import numpy as np
>>> from sklearn.pipeline import make_pipeline
>>> from sklearn.svm import LinearSVC
>>> from streamsparse.sklearn import SparseSignProjection
>>> X = np.random.default_rng(0).standard_normal((40, 5000))
>>> made = make_pipeline(SparseSignProjection(256, random_state=0), LinearSVC())
>>> made.fit(X, X[:, 0] > 0)[0].certificate_.m
256
"""

from __future__ import annotations

import os
from abc import abstractmethod
from dataclasses import replace
from typing import Any

import numpy as np
import scipy.sparse

from streamsparse.api.access import open_source
from streamsparse.api.pair import sparsify_pair
from streamsparse.api.reduce import sparsify
from streamsparse.arrays import Array
from streamsparse.errors import needs_extra
from streamsparse.results.result import Result

try:
    from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
    from sklearn.utils import check_random_state
    from sklearn.utils.validation import check_is_fitted, validate_data
except ImportError as error:
    raise ImportError(needs_extra("streamsparse.sklearn", "scikit-learn", "sklearn")) from error

__all__ = [
    "GramReducer",
    "LeverageColumnSampler",
    "SparseSignProjection",
    "SpectralColumnSelector",
]

# Who makes what is read by blocks; whatever else there is scikit-learn checks and holds in memory.
_STREAMED = ("zarr", "dask")


class _Reducer(TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """What all have in common: checks of X, the run, its certificate, tags.

    Attributes of every fitted estimator:

    certificate_ : the measured errors of Y, a :class:`streamsparse.Certificate`.
    n_components_ : columns of Y.
    n_features_in_, feature_names_in_ : as everywhere in scikit-learn.
    """

    _method: str

    def fit(self, X: Any, y: Any = None) -> Any:  # noqa: ARG002 - the interface of scikit-learn
        """Reduce X; keep its certificate and what ``transform`` needs.

        Parameters
        ----------
        X : (n_samples, n_features); or a path, zarr or dask array, see ``feature_axis``.
        y : ignored.

        Returns
        -------
        self

        Raises
        ------
        ValueError : for what scikit-learn refuses, and for parameters out of range.
        StreamSparseError : as :func:`streamsparse.sparsify`.
        """
        self._reduce(X)
        return self

    def fit_transform(self, X: Any, y: Any = None, **_: Any) -> Any:  # noqa: ARG002 - the same
        """Reduce X and return Y: ``fit(X).transform(X)`` without another pass."""
        return self._reduce(X)

    def transform(self, X: Any) -> Any:
        """Apply the same map to rows of X, old ones or new ones.

        Parameters
        ----------
        X : (any, n_features), as ``fit`` takes it.

        Returns
        -------
        Y (any, n_components): float32 of float32, else float64.

        Raises
        ------
        NotFittedError : before ``fit``.
        ValueError : for another number, or other names, of features.
        """
        check_is_fitted(self)
        checked = self._checked(X, reset=False)
        return _as_scikit_learn_has_it(self._map(checked), X, checked)

    def _reduce(self, X: Any) -> Any:
        checked = self._checked(X, reset=True)
        result = sparsify(
            checked,
            self._method,
            memory=self.memory,
            feature_axis=self.feature_axis if _is_streamed(X) else 1,
            progress=self.progress,
            m=self.n_components,
            epsilon=self.epsilon,
            target=self.target,
            **self._options(),
        )
        self.certificate_ = result.certificate
        self.n_features_in_ = result.certificate.d
        self.n_components_ = self._n_features_out = int(result.Y.shape[1])
        self._keep(result, checked)
        return _as_scikit_learn_has_it(result.Y, X, checked)

    def _checked(self, X: Any, *, reset: bool) -> Any:
        """Return X as it may be reduced; of what is streamed only the width is looked at."""
        if not _is_streamed(X):
            return validate_data(self, X, reset=reset, accept_sparse=("csr", "csc"))
        if reset:
            return X
        d = open_source(X, feature_axis=self.feature_axis).shape[1]
        if d != self.n_features_in_:
            raise ValueError(
                f"X has {d} features, but {type(self).__name__} is expecting "
                f"{self.n_features_in_} features as input"
            )
        return X

    def _seed(self) -> int:
        return int(check_random_state(self.random_state).randint(2**31 - 1))

    @abstractmethod
    def _options(self) -> dict[str, Any]:
        """Return what else ``sparsify`` is asked for."""

    @abstractmethod
    def _keep(self, result: Result, X: Any) -> None:
        """Keep what ``transform`` needs."""

    @abstractmethod
    def _map(self, X: Any) -> Any:
        """Return Y of rows."""

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        tags.input_tags.sparse = True
        return tags


class _Mapped(_Reducer):
    """Those whose map is a function of one row, kept without Y."""

    def _keep(self, result: Result, X: Any) -> None:  # noqa: ARG002 - GramReducer keeps X
        empty = np.zeros((0, result.Y.shape[1]))
        self._result = replace(result, Y=empty, known=None, selection=None, curve=(), timeline=())

    def _map(self, X: Any) -> Any:
        return self._result.transform(
            X,
            feature_axis=self.feature_axis if _is_streamed(X) else 1,
            memory=self.memory,
            progress=self.progress,
        )


class SparseSignProjection(ClassNamePrefixFeaturesOutMixin, _Mapped):  # type: ignore[misc]
    """Y = X S^T with a random sparse-sign S, in one pass: ``sparsify(method="sketch")``.

    Parameters
    ----------
    n_components : columns of Y, at most n_features; then Y is X S^T itself. None: as few as
        ``epsilon`` allows; without it at most n_samples, by a wide sketch of which the Gram matrix
        is kept.
    epsilon, target : wanted error in (0, 1) and its meaning, as for :func:`streamsparse.sparsify`.
    s : nonzeros in a column of S.
    random_state : int, RandomState or None.
    memory : bytes for the whole computation, or text with a unit.
    feature_axis : for stored X, the axis along which features lie, or its name; 1 for all else.
    progress : "auto", True or False: a bar on stderr.

    Attributes
    ----------
    certificate_, n_components_, n_features_in_, feature_names_in_ :
        the measured errors of Y; columns of Y; columns of X, and their names where there are any.

    Notes
    -----
    Passes, memory and guarantee: as for :func:`streamsparse.sparsify` (THEORY 2). S is a few bytes:
    nothing of the size of n_features is kept.
    """

    _method = "sketch"

    def __init__(
        self,
        n_components: int | None = None,
        *,
        epsilon: float | None = None,
        target: str = "attention",
        s: int = 8,
        random_state: Any = None,
        memory: int | str = "1 GiB",
        feature_axis: int | str = 1,
        progress: str | bool = False,
    ) -> None:
        self.n_components = n_components
        self.epsilon = epsilon
        self.target = target
        self.s = s
        self.random_state = random_state
        self.memory = memory
        self.feature_axis = feature_axis
        self.progress = progress

    def _options(self) -> dict[str, Any]:
        return {"s": self.s, "seed": self._seed()}


class _ColumnReducer(_Mapped):
    """Those whose Y has columns of X, reweighted.

    Attributes
    ----------
    indices_ : (n_components,) which features, in the order of the columns of Y.
    weights_ : (n_components,) ``Y[:, k] = sqrt(weights_[k]) * X[:, indices_[k]]``.
    """

    def _keep(self, result: Result, X: Any) -> None:
        super()._keep(result, X)
        assert result.columns is not None
        assert result.weights is not None
        self.indices_, self.weights_ = result.columns, result.weights

    def get_support(self, indices: bool = False) -> Array:
        """Return which features are kept: a mask, or their increasing indices.

        Neither says in which order, or with which weights: ``indices_`` and ``weights_`` do.
        """
        check_is_fitted(self)
        mask = np.zeros(self.n_features_in_, dtype=bool)
        mask[self.indices_] = True
        return np.flatnonzero(mask) if indices else mask

    def get_feature_names_out(self, input_features: Any = None) -> Array:
        """Return the names of the features kept, in the order of the columns of Y.

        Parameters
        ----------
        input_features : (n_features,) names; those seen by ``fit``, or x0, x1, ..., by default.
        """
        check_is_fitted(self)
        known = getattr(self, "feature_names_in_", None)
        if input_features is None:
            if known is None:
                return np.array([f"x{k}" for k in self.indices_], dtype=object)
            return np.asarray(known, dtype=object)[self.indices_]
        names = np.asarray(input_features, dtype=object)
        if known is not None and not np.array_equal(known, names):
            raise ValueError("input_features is not equal to feature_names_in_")
        if len(names) != self.n_features_in_:
            raise ValueError(
                "input_features should have length equal to number of features "
                f"({self.n_features_in_}), got {len(names)}"
            )
        return names[self.indices_]


class LeverageColumnSampler(_ColumnReducer):
    """Columns of X drawn by leverage score, reweighted: ``sparsify(method="sample")``.

    Parameters
    ----------
    n_components : most columns to keep; what is drawn twice is kept once. None: as many as
        ``epsilon`` needs or ``memory`` holds.
    epsilon, target, random_state, memory, feature_axis, progress :
        as for :class:`SparseSignProjection`.

    Attributes
    ----------
    indices_, weights_ : ``Y[:, k] = sqrt(weights_[k]) * X[:, indices_[k]]``.
    certificate_, n_components_, n_features_in_, feature_names_in_ :
        as of :class:`SparseSignProjection`.

    Notes
    -----
    Two passes; memory and guarantee as for :func:`streamsparse.sparsify` (THEORY 3). Y is sparse
    where X is.
    """

    _method = "sample"

    def __init__(
        self,
        n_components: int | None = None,
        *,
        epsilon: float | None = None,
        target: str = "spectral",
        random_state: Any = None,
        memory: int | str = "1 GiB",
        feature_axis: int | str = 1,
        progress: str | bool = False,
    ) -> None:
        self.n_components = n_components
        self.epsilon = epsilon
        self.target = target
        self.random_state = random_state
        self.memory = memory
        self.feature_axis = feature_axis
        self.progress = progress

    def _options(self) -> dict[str, Any]:
        return {"seed": self._seed()}


class SpectralColumnSelector(_ColumnReducer):
    """Columns of X chosen without randomness, reweighted: ``sparsify(method="select")``.

    Parameters
    ----------
    n_components : most columns to keep. None: as few as ``epsilon`` allows, else 8 n_samples.
    algorithm : "auto", "bss" or "balance", as for :func:`streamsparse.sparsify`.
    epsilon, target, memory, feature_axis, progress : as for :class:`SparseSignProjection`.

    Attributes
    ----------
    indices_, weights_ : ``Y[:, k] = sqrt(weights_[k]) * X[:, indices_[k]]``.
    certificate_, n_components_, n_features_in_, feature_names_in_ :
        as of :class:`SparseSignProjection`.

    Notes
    -----
    Passes, memory and guarantee: as for :func:`streamsparse.sparsify` (THEORY 4). Y is sparse where
    X is.
    """

    _method = "select"

    def __init__(
        self,
        n_components: int | None = None,
        *,
        epsilon: float | None = None,
        target: str = "spectral",
        algorithm: str = "auto",
        memory: int | str = "1 GiB",
        feature_axis: int | str = 1,
        progress: str | bool = False,
    ) -> None:
        self.n_components = n_components
        self.epsilon = epsilon
        self.target = target
        self.algorithm = algorithm
        self.memory = memory
        self.feature_axis = feature_axis
        self.progress = progress

    def _options(self) -> dict[str, Any]:
        return {"algorithm": self.algorithm}


class GramReducer(ClassNamePrefixFeaturesOutMixin, _Reducer):  # type: ignore[misc]
    """Square root of the exact Gram matrix X X^T: ``sparsify(method="exact")``.

    Parameters
    ----------
    n_components : columns of Y, at most n_samples: the best of that rank. None: the rank of X, or
        as few as ``epsilon`` allows.
    epsilon, target, memory, feature_axis, progress : as for :class:`SparseSignProjection`.

    Attributes
    ----------
    Y_ : (n_samples, n_components) Y of what was fitted.
    X_fit_ : what was fitted, by reference: new rows are placed by their products with it, as
        ``KernelPCA`` does.
    certificate_, n_components_, n_features_in_, feature_names_in_ :
        as of :class:`SparseSignProjection`.

    Notes
    -----
    One pass; ``transform`` makes another one over X and the new rows. Products of new rows with old
    ones are kept, products of new rows with each other as far as they lie in the span of the old.
    """

    _method = "exact"

    def __init__(
        self,
        n_components: int | None = None,
        *,
        epsilon: float | None = None,
        target: str = "attention",
        memory: int | str = "1 GiB",
        feature_axis: int | str = 1,
        progress: str | bool = False,
    ) -> None:
        self.n_components = n_components
        self.epsilon = epsilon
        self.target = target
        self.memory = memory
        self.feature_axis = feature_axis
        self.progress = progress

    def _options(self) -> dict[str, Any]:
        return {}

    def _keep(self, result: Result, X: Any) -> None:
        self.Y_, self.X_fit_ = np.asarray(result.Y), X

    def _laid(self, X: Any) -> Any:
        """Return X with features along ``feature_axis``, as what is stored has them."""
        return X.T if self.feature_axis == 0 and not _is_streamed(X) else X

    def _map(self, X: Any) -> Array:
        if _is_streamed(X) or _is_streamed(self.X_fit_):
            pair = sparsify_pair(
                self._laid(X),
                self._laid(self.X_fit_),
                "exact",
                memory=self.memory,
                feature_axis=self.feature_axis,
                progress=self.progress,
            )
            products = np.asarray(pair.Q @ pair.K.T)
        else:
            found: Any = X.astype(np.float64) @ self.X_fit_.T.astype(np.float64)
            products = found.toarray() if hasattr(found, "toarray") else found
        # The rows y with Y y closest to the products.
        return np.asarray(np.linalg.lstsq(self.Y_, products.T)[0].T)


def _is_streamed(X: Any) -> bool:
    """Return whether X is read by blocks rather than held by scikit-learn."""
    made_by = type(X).__module__.partition(".")[0]
    return isinstance(X, str | os.PathLike) or made_by in _STREAMED


def _as_scikit_learn_has_it(Y: Any, X: Any, checked: Any) -> Any:
    """Return Y in the precision of X, and sparse as X was: an array or a matrix."""
    if not _is_streamed(checked) and checked.dtype == np.float32:
        Y = Y.astype(np.float32)
    is_array = isinstance(X, scipy.sparse.sparray) or not scipy.sparse.issparse(Y)
    return Y if is_array else scipy.sparse.csr_matrix(Y)

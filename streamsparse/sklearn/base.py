"""What the estimators share: checks of X, the run, its certificate, tags."""

from __future__ import annotations

import os
from abc import abstractmethod
from dataclasses import replace
from typing import Any

import numpy as np
import scipy.sparse
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data

from streamsparse.api.access import open_source
from streamsparse.api.reduce import sparsify
from streamsparse.results.result import Result

# Who makes what is read by blocks; whatever else there is scikit-learn checks and holds in memory.
_STREAMED = ("zarr", "dask", "h5py", "xarray")


class Reducer(TransformerMixin, BaseEstimator):  # type: ignore[misc]
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
        return as_scikit_learn_has_it(self._map(checked), X, checked)

    def _reduce(self, X: Any) -> Any:
        checked = self._checked(X, reset=True)
        result = sparsify(
            checked,
            self._method,
            memory=self.memory,
            feature_axis=self.feature_axis if is_streamed(X) else 1,
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
        return as_scikit_learn_has_it(result.Y, X, checked)

    def _checked(self, X: Any, *, reset: bool) -> Any:
        """Return X as it may be reduced; of what is streamed only the width is looked at."""
        if not is_streamed(X):
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


class Mapped(Reducer):
    """Those whose map is a function of one row, kept without Y."""

    def _keep(self, result: Result, X: Any) -> None:  # noqa: ARG002 - GramReducer keeps X
        empty = np.zeros((0, result.Y.shape[1]))
        self._result = replace(result, Y=empty, known=None, selection=None, curve=(), timeline=())

    def _map(self, X: Any) -> Any:
        return self._result.transform(
            X,
            feature_axis=self.feature_axis if is_streamed(X) else 1,
            memory=self.memory,
            progress=self.progress,
        )


def is_streamed(X: Any) -> bool:
    """Return whether X is read by blocks rather than held by scikit-learn."""
    made_by = type(X).__module__.partition(".")[0]
    return isinstance(X, str | os.PathLike) or made_by in _STREAMED


def as_scikit_learn_has_it(Y: Any, X: Any, checked: Any) -> Any:
    """Return Y in the precision of X, and sparse as X was: an array or a matrix."""
    if not is_streamed(checked) and checked.dtype == np.float32:
        Y = Y.astype(np.float32)
    if not scipy.sparse.issparse(Y):
        return Y
    made: Any = Y
    if max(made.nnz, *made.shape) < 2**31:
        # Not all of scikit-learn takes wider indices.
        made.indices, made.indptr = made.indices.astype(np.int32), made.indptr.astype(np.int32)
    return made if isinstance(X, scipy.sparse.sparray) else scipy.sparse.csr_matrix(made)

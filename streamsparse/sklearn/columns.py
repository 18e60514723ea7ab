"""Columns of X, drawn or chosen, as estimators."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.utils.validation import check_is_fitted

from streamsparse.arrays import Array
from streamsparse.results.result import Result
from streamsparse.sklearn.base import Mapped


class ColumnReducer(Mapped):
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


class LeverageColumnSampler(ColumnReducer):
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


class SpectralColumnSelector(ColumnReducer):
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

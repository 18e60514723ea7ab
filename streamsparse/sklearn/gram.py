"""The square root of the exact Gram matrix as an estimator."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import ClassNamePrefixFeaturesOutMixin

from streamsparse.api.pair import sparsify_pair
from streamsparse.arrays import Array
from streamsparse.results.result import Result
from streamsparse.sklearn.base import Reducer, is_streamed


class GramReducer(ClassNamePrefixFeaturesOutMixin, Reducer):  # type: ignore[misc]
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
        return X.T if self.feature_axis == 0 and not is_streamed(X) else X

    def _map(self, X: Any) -> Array:
        if is_streamed(X) or is_streamed(self.X_fit_):
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

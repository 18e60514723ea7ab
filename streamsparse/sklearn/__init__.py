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

from streamsparse.errors import needs_extra

try:
    import sklearn  # noqa: F401 - only looked for, so that who lacks it is told
except ImportError as error:
    raise ImportError(needs_extra("streamsparse.sklearn", "scikit-learn", "sklearn")) from error

from streamsparse.sklearn.columns import LeverageColumnSampler, SpectralColumnSelector
from streamsparse.sklearn.gram import GramReducer
from streamsparse.sklearn.projection import SparseSignProjection

__all__ = [
    "GramReducer",
    "LeverageColumnSampler",
    "SparseSignProjection",
    "SpectralColumnSelector",
]

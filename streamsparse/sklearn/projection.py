"""The sketch as an estimator."""

from __future__ import annotations

from typing import Any

from sklearn.base import ClassNamePrefixFeaturesOutMixin

from streamsparse.sklearn.base import Mapped


class SparseSignProjection(ClassNamePrefixFeaturesOutMixin, Mapped):  # type: ignore[misc]
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

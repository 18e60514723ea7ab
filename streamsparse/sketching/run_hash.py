"""The sparse-sign operator S (m x d): a pure function of (seed, column), never stored."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from streamsparse.checks import MAX_SEED, check_count
from streamsparse.errors import ParameterError
from streamsparse.sources.base import Array

HASH_VERSION = 1
MAX_RUN = 64

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_STREAM = np.uint64(0xD1342543DE82EF95)


def mix(values: Array) -> Array:
    """Return the splitmix64 finaliser of each uint64. Arrays wrap silently; scalars would warn."""
    z = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    finalised: Array = z ^ (z >> np.uint64(31))
    return finalised


def hash_words(*, seed: int, keys: Array, stream: int) -> Array:
    """Return one 64-bit word for each key: mix(mix(key * golden + mix(seed)) + stream * odd + 1).

    THEORY 7: two rounds, so that neighbouring keys and neighbouring streams share nothing. The seed
    is mixed first: added as it is, the seed s + golden would give the words of s, one key further.
    """
    start = mix(np.asarray([seed], np.uint64))
    first = mix(np.asarray(keys, np.uint64) * _GOLDEN + start)
    shift = np.asarray([stream], np.uint64) * _STREAM + np.uint64(1)
    return mix(first + shift)


@dataclass(frozen=True, slots=True)
class SparseSign:
    """S with ``s`` nonzeros +-1/sqrt(s) per column, run-hashed (THEORY 7.1).

    S stacks ``s`` independent CountSketches. Replicate t has ``widths[t]`` buckets; the widths add
    up to m and differ by one at most, so any m >= 1 works (s is lowered to m where m < s). Columns
    are hashed in runs of ``run`` consecutive indices: the largest power of two that is at most 64
    and at most every width, so that columns of one run never collide.

    Attributes
    ----------
    d : columns of X.
    m : rows of S, columns of Y; at least 1.
    s : nonzeros per column of S, after lowering.
    seed : 0 .. 2^64 - 1; with the hash version it fixes S for ever.
    run : columns per run.
    hash_version : of the arithmetic in this module.
    """

    d: int
    m: int
    s: int
    seed: int
    run: int
    hash_version: int = HASH_VERSION

    @classmethod
    def make(cls, *, d: int, m: int, s: int, seed: int) -> SparseSign:
        """Return the operator for these sizes; ``s`` and the run length are lowered to fit m."""
        check_count("m", m, low=1)
        check_count("s", s, low=1)
        check_count("seed", seed, low=0, high=MAX_SEED)
        s = min(s, m)
        run = min(MAX_RUN, 1 << ((m // s).bit_length() - 1))
        return cls(d=d, m=m, s=s, seed=seed, run=run)

    @classmethod
    def from_dict(cls, spec: dict[str, Any]) -> SparseSign:
        """Return the operator that :meth:`to_dict` described.

        Raises
        ------
        ParameterError : if it was made by another version of the hash.
        """
        if spec.get("hash_version") != HASH_VERSION:
            raise ParameterError(
                f"the sketch was made with hash version {spec.get('hash_version')}; "
                f"this library computes version {HASH_VERSION}"
            )
        return cls(**spec)

    def to_dict(self) -> dict[str, int]:
        """Return the description that fixes S: small, and all that new rows need."""
        return asdict(self)

    @property
    def widths(self) -> tuple[int, ...]:
        """Buckets of each replicate."""
        return tuple(self.m // self.s + (t < self.m % self.s) for t in range(self.s))

    @property
    def padded_m(self) -> int:
        """Columns of the padded Y: run - 1 more per replicate, so that no run wraps around."""
        return self.m + self.s * (self.run - 1)

    def tables(self, first: int, stop: int) -> tuple[Array, Array]:
        """Return (offsets, signs) of the runs first .. stop - 1 for the kernels.

        ``offsets[q, t]`` (int64) is the position in the padded Y of column 0 of run ``first + q``
        in replicate t; bit a of ``signs[q, t]`` (uint64) is set where column a has the sign -1.
        The offset is H mod w: for even w with w / 2 >= run, folding b -> b mod (w / 2) gives the
        sketch of half the width.
        """
        keys = np.arange(first, stop, dtype=np.uint64)
        offsets = np.empty((stop - first, self.s), np.int64)
        signs = np.empty((stop - first, self.s), np.uint64)
        base = 0
        for t, width in enumerate(self.widths):
            words = hash_words(seed=self.seed, keys=keys, stream=2 * t)
            offsets[:, t] = base + (words % np.uint64(width)).astype(np.int64)
            signs[:, t] = hash_words(seed=self.seed, keys=keys, stream=2 * t + 1)
            base += width + self.run - 1
        return offsets, signs

    def unpad(self, padded: Array) -> Array:
        """Return Y (rows, m) from the padded sums (rows, padded_m): tails added back, scaled."""
        Y = np.empty((padded.shape[0], self.m), np.float64)
        here = there = 0
        for width in self.widths:
            tail = self.run - 1
            Y[:, here : here + width] = padded[:, there : there + width]
            Y[:, here : here + tail] += padded[:, there + width : there + width + tail]
            here, there = here + width, there + width + tail
        if self.s > 1:
            Y /= np.sqrt(np.float64(self.s))
        return Y

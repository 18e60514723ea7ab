"""The sparse-sign operator S (m x d): a pure function of (seed, column), never stored."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, TypeAlias

import numpy as np

from streamsparse.arrays import Array
from streamsparse.checks import MAX_SEED, check_count
from streamsparse.errors import ParameterError
from streamsparse.kernels.polynomial import PRIME, polynomial_words
from streamsparse.kernels.vector import LANES

HASH_VERSION = 1
MAX_RUN = 64

# "splitmix": two rounds of a 64-bit finaliser, not provably k-wise, as good as random in every
# measurement. "poly4": exactly 4-wise independent, so that THEORY 2.2 and Theorem 2 are theorems.
Hash: TypeAlias = Literal["splitmix", "poly4"]

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_STREAM = np.uint64(0xD1342543DE82EF95)


def mix(values: Array) -> Array:
    """Return the splitmix64 finaliser of each uint64. Arrays wrap silently; scalars would warn."""
    z = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    finalised: Array = z ^ (z >> np.uint64(31))
    return finalised


def hash_words(*, seed: int, keys: Array, stream: int | Array) -> Array:
    """Return one 64-bit word for each key: mix(mix(key * golden + mix(seed)) + stream * odd + 1).

    An array of streams gives one row of words for each.

    THEORY 7: two rounds, so that neighbouring keys and neighbouring streams share nothing. The seed
    is mixed first: added as it is, the seed s + golden would give the words of s, one key further.
    """
    start = mix(np.asarray([seed], np.uint64))
    first = mix(np.asarray(keys, np.uint64) * _GOLDEN + start)
    shift = np.atleast_1d(np.asarray(stream, np.uint64)) * _STREAM + np.uint64(1)
    return mix(first + shift[:, None] if np.ndim(stream) else first + shift)


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
    hash : how offsets and signs are drawn, "splitmix" or "poly4".
    hash_version : of the arithmetic in this module.
    """

    d: int
    m: int
    s: int
    seed: int
    run: int
    hash: Hash = "splitmix"
    hash_version: int = HASH_VERSION

    @classmethod
    def make(cls, *, d: int, m: int, s: int, seed: int, hash: Hash = "splitmix") -> SparseSign:
        """Return the operator for these sizes; ``s`` and the run length are lowered to fit m."""
        check_count("m", m, low=1)
        check_count("s", s, low=1)
        check_count("seed", seed, low=0, high=MAX_SEED)
        s = min(s, m)
        run = min(MAX_RUN, 1 << ((m // s).bit_length() - 1))
        return cls(d=d, m=m, s=s, seed=seed, run=run, hash=hash)

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

    def to_dict(self) -> dict[str, int | str]:
        """Return the description that fixes S: small, and all that new rows need."""
        return asdict(self)

    @property
    def widths(self) -> tuple[int, ...]:
        """Buckets of each replicate."""
        return tuple(self.m // self.s + (t < self.m % self.s) for t in range(self.s))

    @property
    def padded_m(self) -> int:
        """Columns of the padded Y: run - 1 more per replicate, so that no run wraps around.

        And up to whole vectors of LANES.
        """
        cells = self.m + self.s * (self.run - 1)
        return cells + -cells % LANES

    @property
    def scale(self) -> float:
        """The isometry scale 1 / sqrt(s): Y is this times the sums of signed columns."""
        return 1.0 / float(np.sqrt(self.s))

    def tables(self, first: int, stop: int) -> tuple[Array, Array]:
        """Return (offsets, signs) of the runs first .. stop - 1 for the kernels.

        ``offsets[q, t]`` (int64) is the position in the padded Y of column 0 of run ``first + q``
        in replicate t; bit a of ``signs[q, t]`` (uint64) is set where column a has the sign -1.
        The offset is H mod w: for even w with w / 2 >= run, folding b -> b mod (w / 2) gives the
        sketch of half the width.
        """
        if self.hash == "splitmix":
            # Streams 2 t and 2 t + 1: a word for the offset, and one whose bits are the signs.
            keys = np.arange(first, stop, dtype=np.uint64)
            drawn = hash_words(seed=self.seed, keys=keys, stream=np.arange(2 * self.s))
            words, signs = drawn[0::2].T, np.ascontiguousarray(drawn[1::2].T)
        else:
            pairs = [self._polynomial_words(first, stop, t) for t in range(self.s)]
            words, signs = (np.stack(part, axis=1) for part in zip(*pairs, strict=True))
        widths = np.asarray(self.widths, np.uint64)
        bases = np.cumsum(np.asarray([0, *self.widths[:-1]]) + (self.run - 1)) - (self.run - 1)
        return bases + (words % widths).astype(np.int64), signs

    def _polynomial_words(self, first: int, stop: int, t: int) -> tuple[Array, Array]:
        """Return two words per run from two polynomials: one at the run, one at each column."""
        words = np.empty(stop - first, np.uint64)
        polynomial_words(first, self._coefficients(2 * t), words)
        columns = np.empty((stop - first) * self.run, np.uint64)
        polynomial_words(first * self.run, self._coefficients(2 * t + 1), columns)
        bits = (columns & np.uint64(1)).reshape(-1, self.run)
        places = np.arange(self.run, dtype=np.uint64)
        signs = np.bitwise_or.reduce(bits << places, axis=1)
        return words, signs

    def _coefficients(self, stream: int) -> Array:
        """Return the four coefficients of one polynomial, uniform below the prime up to 2^-61."""
        keys = np.arange(4, dtype=np.uint64)
        return hash_words(seed=self.seed, keys=keys, stream=stream) % np.uint64(PRIME)

    def unpad(self, padded: Array) -> Array:
        """Return the sums (rows, m), Y without its scale, from the padded ones (rows, padded_m)."""
        sums = np.empty((padded.shape[0], self.m), np.float64)
        here = there = 0
        for width in self.widths:
            tail = self.run - 1
            sums[:, here : here + width] = padded[:, there : there + width]
            sums[:, here : here + tail] += padded[:, there + width : there + width + tail]
            here, there = here + width, there + width + tail
        return sums

    @property
    def levels(self) -> tuple[int, ...]:
        """Numbers of columns to which a sketch can be folded, its own first, each half the last.

        A replicate of width w folds to w / 2 while that is an integer and no less than the run:
        narrower, two columns of one run would surely collide (THEORY 7.1).
        """
        found = [self.m]
        while found[-1] % (2 * self.s) == 0 and found[-1] // (2 * self.s) >= self.run:
            found.append(found[-1] // 2)
        return tuple(found)

    def folded(self, columns: int) -> SparseSign:
        """Return the operator whose sketch the fold to ``columns``, one of the levels, gives."""
        assert columns in self.levels
        return replace(self, m=columns)

    def fold(self, sums: Array, columns: int) -> Array:
        """Return the sums (rows, columns) of the folded operator from those of this one.

        Bucket b of each replicate is added to b mod (columns / s), left half first.
        """
        assert columns in self.levels
        rows, width = sums.shape[0], self.m // self.s
        while width * self.s > columns:
            halves = sums.reshape(rows, self.s, 2, width // 2)
            sums = halves[:, :, 0] + halves[:, :, 1]
            width //= 2
        return sums.reshape(rows, columns)

"""Slow, obvious twins of everything fast: plain Python and dense NumPy, nothing shared with it."""

import math
from typing import NamedTuple

import numpy as np

MASK = 2**64 - 1
PRIME = 2**61 - 1


def mix(z):
    """splitmix64's finaliser on a Python int."""
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
    return z ^ (z >> 31)


def hash_word(seed, key, stream):
    first = mix((key * 0x9E3779B97F4A7C15 + mix(seed)) & MASK)
    return mix((first + stream * 0xD1342543DE82EF95 + 1) & MASK)


def polynomial(coefficients, x):
    """c3 x^3 + c2 x^2 + c1 x + c0 modulo 2^61 - 1."""
    return sum(int(c) * x**k for k, c in enumerate(coefficients)) % PRIME


def polynomial_word(seed, x, stream):
    """The value at x of the polynomial that belongs to (seed, stream)."""
    return polynomial([hash_word(seed, k, stream) % PRIME for k in range(4)], x)


def uniform(seed, key, stream):
    """The middle of the cell of width 2^-53 that the first 53 bits of a word name."""
    return min(((hash_word(seed, key, stream) >> 11) + 0.5) * 2.0**-53, 1 - 2.0**-53)


def digest(X):
    """One word per row: sum_j factor_j spread(bits(X_ij)) modulo 2^64."""

    def spread(bits):
        word = (bits * 0x9E3779B97F4A7C15) & MASK
        return word ^ (word >> 32)

    bits = np.ascontiguousarray(X).view(f"u{X.dtype.itemsize}")
    factors = [hash_word(0, j, 6 << 32) | 1 for j in range(X.shape[1])]
    return [
        sum(factor * spread(bit) for factor, bit in zip(factors, row, strict=True)) & MASK
        for row in bits.tolist()
    ]


def dense_S(*, d, m, s, seed, hash="splitmix", start=0):
    """The matrix S (m, d) of THEORY 7.1, times sqrt(s): entries -1, 0, 1, column by column.

    ``start``: the columns start .. start + d of a wider S instead of the first d.
    """
    s = min(s, m)
    run = min(64, 2 ** int(math.log2(m // s)))
    S = np.zeros((m, d))
    for j in range(d):
        q, a = divmod(start + j, run)
        base = 0
        for t in range(s):
            width = m // s + (1 if t < m % s else 0)
            if hash == "poly4":
                offset = polynomial_word(seed, q, 2 * t) % width
                bit = polynomial_word(seed, start + j, 2 * t + 1) & 1
            else:
                offset = hash_word(seed, q, 2 * t) % width
                bit = (hash_word(seed, q, 2 * t + 1) >> a) & 1
            sign = -1 if bit else 1
            S[base + (offset + a) % width, j] = sign
            base += width
    return S


def sketch(X, *, m, s, seed):
    """Y = X S^T, columns added one by one within a span of any width."""
    return sums(X, m=m, s=s, seed=seed) / math.sqrt(min(s, m))


def sums(X, *, m, s, seed):
    """sqrt(s) X S^T: exact for integers."""
    return X.astype(np.float64) @ dense_S(d=X.shape[1], m=m, s=s, seed=seed).T


def gram(X):
    """X X^T from Python integers or exactly rounded sums."""
    n = X.shape[0]
    G = np.empty((n, n))
    for i in range(n):
        for j in range(n):
            products = X[i].astype(np.float64) * X[j].astype(np.float64)
            G[i, j] = math.fsum(products.tolist())
    return G


def softmax(logits):
    P = np.empty(logits.shape)
    for i, row in enumerate(logits):
        weights = [math.exp(value - max(row)) for value in row]
        P[i] = [weight / math.fsum(weights) for weight in weights]
    return P


def attention_error(G, F, beta):
    """Largest row L1 distance of softmax(beta F) from softmax(beta G)."""
    return np.abs(softmax(beta * F) - softmax(beta * G)).sum(axis=1).max()


def merge_by_tree(values, arity):
    """Sum of a list by the fixed tree: children folded left to right, level by level.

    Complete groups of ``arity`` become one node of the level above; what is left over is folded
    from the lowest level up.
    """
    levels = [list(values)]
    while len(levels[-1]) >= arity:
        below = levels[-1]
        groups = [below[k : k + arity] for k in range(0, len(below) - arity + 1, arity)]
        levels[-1] = below[len(groups) * arity :]
        levels.append([fold(group) for group in groups])
    total = None
    for rest in levels:
        if rest:
            here = fold(rest)
            total = here if total is None else here + total
    return total


def fold(values):
    total = values[0]
    for value in values[1:]:
        total = total + value
    return total


class Whitening(NamedTuple):
    """What turns (L) into singular values: W X has orthonormal rows, N X = 0.

    ``slack``: how far from 0 rounding may move an entry of N Y, per row of N.
    """

    inside: np.ndarray
    outside: np.ndarray
    slack: np.ndarray


def whitening(X, rank=None):
    """W and N of X (n, d) from its singular vectors; ``rank`` None counts singular values.

    (L) is invariant under any invertible congruence, so rows are rescaled first, by powers of two,
    which is exact: the condition number is then that of the directions of the rows. Singular values
    of X, not eigenvalues of G, whose condition number is the square.
    """
    X = X.astype(np.float64)
    scale = power_of_two_scale(X)
    U, sigma, _ = np.linalg.svd(X * scale[:, None], full_matrices=False)
    if rank is None:
        rank = np.count_nonzero(sigma > max(X.shape) * np.finfo(float).eps * sigma[0])
    inside = (U[:, :rank] / sigma[:rank]).T * scale
    # Relative to the largest direction, so that it can be compared with rounding.
    outside = (U[:, rank:] / sigma[0]).T * scale
    # An entry of X S^T is a sum of d terms of magnitude ||x_i||_1 <= sqrt(d) ||x_i|| in all.
    d = X.shape[1]
    lengths = np.linalg.norm(X, axis=1)
    slack = (d + 2) * np.finfo(float).eps * math.sqrt(d) * (np.abs(outside) @ lengths)
    return Whitening(inside, outside, slack)


def power_of_two_scale(X):
    """Factors (n,) that bring the norms of rows to [1, 2) without rounding."""
    return 2.0 ** (1 - np.frexp(np.linalg.norm(X.astype(np.float64), axis=1))[1])


def loewner_error(white, Y):
    """Smallest epsilon with (1 - epsilon) G <= Y Y^T <= (1 + epsilon) G, G = X X^T.

    Infinite where Y has a direction that X has not, beyond the rounding of Y.
    """
    if (np.abs(white.outside @ Y) > white.slack[:, None]).any():
        return math.inf
    squares = np.linalg.eigvalsh((inside := white.inside @ Y) @ inside.T)
    return max(abs(squares[-1] - 1), abs(squares[0] - 1))


def cosine_errors(X, Y):
    """|E_ij| / (||x_i|| ||x_j||) for all pairs of rows that are not zero."""
    scale = power_of_two_scale(X)
    X, Y = X.astype(np.float64) * scale[:, None], Y * scale[:, None]
    norms = np.linalg.norm(X, axis=1)
    seen = norms > 0
    E = (Y @ Y.T - X @ X.T)[np.ix_(seen, seen)]
    return np.abs(E) / np.outer(norms[seen], norms[seen])


def barrier_forms(A, V, lower, upper, step):
    """U and L of every column (THEORY 3.3), by inverses made anew; the barriers have not moved."""
    eye = np.eye(len(A))
    above, below = np.linalg.inv((upper + step) * eye - A), np.linalg.inv(A - (lower + 1) * eye)
    fall = np.trace(np.linalg.inv(upper * eye - A)) - np.trace(above)
    rise = np.trace(below) - np.trace(np.linalg.inv(A - lower * eye))
    U = [v @ above @ above @ v / fall + v @ above @ v for v in V.T]
    L = [v @ below @ below @ v / rise - v @ below @ v for v in V.T]
    return np.array(U), np.array(L)


def bss(V, picks, kappa, first=None):
    """Batson, Spielman and Srivastava from A = 0: (positions, t's), the best L / U at every step.

    At A = 0 all columns have the same L / U, and rounding decides, unless ``first`` is given.
    """
    k, root = len(V), math.sqrt(kappa)
    step = (root + 1) / (root - 1)
    lower, upper = -k * root, k * (kappa + root) / (root - 1)
    A, positions, ts = np.zeros((k, k)), [], []
    for _ in range(picks):
        U, L = barrier_forms(A, V, lower, upper, step)
        best = int(np.argmax(L / U)) if positions or first is None else first
        assert U[best] <= L[best]
        t = 2 / (U[best] + L[best])
        A = A + t * np.outer(V[:, best], V[:, best])
        lower, upper = lower + 1, upper + step
        positions.append(best)
        ts.append(t)
    return positions, ts


class Balanced(NamedTuple):
    """Factors (0 for what is dropped), the error that they make, how many too many."""

    factors: list
    error: np.ndarray
    surplus: float


def balance(V, rate, slack):
    """Sequential balancing (THEORY 3.6), column by column."""
    D, surplus, factors = np.zeros((len(V), len(V))), 0.0, []
    for v in V.T.astype(np.float64):
        tau = float(v @ v)
        if tau == 0:
            factors.append(0.0)
            continue
        p = min(1.0, rate * tau)
        costs = {}
        for b in (0, 1):
            z = b / p - 1
            costs[b] = 2 * z * (v @ D @ v) + z**2 * tau**2 + slack * (surplus + b - p) ** 2
        b = 1 if p == 1 or costs[1] < costs[0] else 0
        D = D + (b / p - 1) * np.outer(v, v)
        surplus += b - p
        factors.append(b / p)
    return Balanced(factors, D, surplus)


def kernel(F, name, *, gamma=1.0, degree=3, coef0=1.0, beta=1.0):
    """A kernel entry by entry, from the products of all pairs of rows."""

    def value(i, j):
        product, lengths = F[i, j], math.sqrt(F[i, i]) * math.sqrt(F[j, j])
        squared_distance = max(0.0, F[i, i] + F[j, j] - 2 * product)
        return {
            "linear": lambda: product,
            "cosine": lambda: product / lengths if lengths else 0.0,
            "rbf": lambda: math.exp(-gamma * squared_distance),
            "polynomial": lambda: (gamma * product + coef0) ** degree,
            "exponential": lambda: math.exp(beta * product),
        }[name]()

    n = len(F)
    return np.array([[value(i, j) for j in range(n)] for i in range(n)])


def compared(F, metric):
    """What neighbours are chosen by, smallest first, from products of rows."""
    if metric == "euclidean":
        diagonal = np.diagonal(F)
        return diagonal[:, None] + diagonal - 2 * F
    return -kernel(F, {"cosine": "cosine", "inner": "linear"}[metric])


def neighbors(values, k):
    """The k other rows with the smallest values, of equal ones the smaller index first."""
    found = []
    for i, row in enumerate(values.tolist()):
        others = [j for j in range(len(row)) if j != i]
        found.append(sorted(others, key=lambda j: (row[j], j))[:k])
    return np.array(found)


def surely_near(values, chosen, bound):
    """Which of the chosen have fewer than k others that can be as near, counted one by one."""
    n, k = chosen.shape
    sure = np.zeros((n, k), bool)
    for i in range(n):
        for place, j in enumerate(chosen[i]):
            rivals = [
                h for h in range(n) if h not in (i, j) and values[i, h] <= values[i, j] + 2 * bound
            ]
            sure[i, place] = len(rivals) < k
    return sure


def centred_eigenvalues(X):
    """The n eigenvalues of H X X^T H, descending, from singular values."""
    X = X.astype(np.float64)
    sigma = np.linalg.svd(X - X.mean(axis=0), compute_uv=False)
    return np.append(np.square(sigma), np.zeros(max(0, len(X) - len(sigma))))


def sine_between_spans(X, Y, k):
    """The largest sine of an angle between the first k principal scores of X and of Y."""
    U, V = (np.linalg.svd(M - M.mean(axis=0), full_matrices=False)[0][:, :k] for M in (X, Y))
    return np.linalg.norm(V - U @ (U.T @ V), ord=2)


def preprocessed(X, *, center=False, scale=False, impute=None, missing_value=None):
    """X with its columns imputed, centred and scaled, one by one in exactly rounded sums."""
    n = X.shape[0]
    columns = X.astype(np.float64).T.copy()
    for j in range(len(columns)):
        column = columns[j]
        missing = np.isnan(column) if missing_value is None else column == missing_value
        if impute is not None:
            there = column[~missing].tolist()
            filled = math.fsum(there) / len(there) if impute == "mean" and there else 0.0
            column[missing] = filled
        # From the first value on, so that little is left to round.
        shifted = column - column[0]
        shifted -= math.fsum(shifted.tolist()) / n
        deviation = math.sqrt(math.fsum(np.square(shifted).tolist()) / n)
        if center:
            column[:] = shifted
        if scale and deviation > 0 and column.min() < column.max():
            column /= deviation
    return np.ascontiguousarray(columns.T)

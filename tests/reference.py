"""Slow, obvious twins of everything fast: plain Python and dense NumPy, nothing shared with it."""

import math

import numpy as np

MASK = 2**64 - 1


def mix(z):
    """splitmix64's finaliser on a Python int."""
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
    return z ^ (z >> 31)


def hash_word(seed, key, stream):
    first = mix((key * 0x9E3779B97F4A7C15 + mix(seed)) & MASK)
    return mix((first + stream * 0xD1342543DE82EF95 + 1) & MASK)


def dense_S(*, d, m, s, seed):
    """The matrix S (m, d) of THEORY 7.1, times sqrt(s): entries -1, 0, 1, column by column."""
    s = min(s, m)
    run = min(64, 2 ** int(math.log2(m // s)))
    S = np.zeros((m, d))
    for j in range(d):
        q, a = divmod(j, run)
        base = 0
        for t in range(s):
            width = m // s + (1 if t < m % s else 0)
            offset = hash_word(seed, q, 2 * t) % width
            sign = -1 if (hash_word(seed, q, 2 * t + 1) >> a) & 1 else 1
            S[base + (offset + a) % width, j] = sign
            base += width
    return S


def sketch(X, *, m, s, seed):
    """Y = X S^T, columns added one by one within a span of any width (exact for integers)."""
    return (
        X.astype(np.float64) @ dense_S(d=X.shape[1], m=m, s=s, seed=seed).T / math.sqrt(min(s, m))
    )


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

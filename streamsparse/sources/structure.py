"""The structure of compressed matrices: pointers and indices checked, sorted and clipped.

The *majors* of a compressed matrix are what ``indptr`` runs over (rows of CSR, columns of CSC); the
*minors* are what ``indices`` names.
"""

from __future__ import annotations

import numpy as np

from streamsparse.arrays import Array, Interval
from streamsparse.errors import BadStructureError
from streamsparse.sources.base import regular_intervals

# Checks work through this many entries at a time, which bounds their temporaries.
_CHECK_ENTRIES = 1 << 18
CHECK_BYTES = 48 * _CHECK_ENTRIES


def major_word(by_rows: bool) -> str:
    """Return what one major is called in a message."""
    return "row" if by_rows else "column"


def check_indptr(indptr: Array, *, name: str, by_rows: bool, first: int, nnz: int) -> Array:
    """Return pointers as int64 after checking that they never decrease and stay in [0, nnz].

    Parameters
    ----------
    indptr : shape (majors + 1,), any integer type; any contiguous part of the whole.
    first : index of the major that ``indptr[0]`` starts.
    nnz : stored entries of the whole matrix.

    Raises
    ------
    BadStructureError : naming the first row or column that goes wrong.
    """
    if indptr.dtype.kind not in "iu":
        raise BadStructureError(f"indptr of {name} has dtype {indptr.dtype}, not an integer type")
    # Values of uint64 beyond int64 become negative here, and so are refused below.
    pointers = indptr.astype(np.int64, copy=False)
    if pointers[0] < 0 or bool((pointers[1:] < pointers[:-1]).any()) or pointers[-1] > nnz:
        bad = (pointers < 0) | (pointers > nnz)
        bad[1:] |= pointers[1:] < pointers[:-1]
        at = int(np.argmax(bad))
        major = first + max(at - 1, 0)
        raise BadStructureError(
            f"indptr of {name} is wrong at {major_word(by_rows)} {major:,}: it reaches "
            f"{int(pointers[at]):,}, but must never decrease and must stay in [0, {nnz:,}]"
        )
    return pointers


def check_indptr_ends(first: int, last: int, *, name: str, nnz: int) -> None:
    """Refuse pointers that do not start at 0 or do not end at the number of stored entries.

    Raises
    ------
    BadStructureError : with both numbers.
    """
    if first != 0:
        raise BadStructureError(f"indptr of {name} starts at {first:,}, not at 0")
    if last != nnz:
        raise BadStructureError(
            f"indptr of {name} ends at {last:,} but there are {nnz:,} stored entries; "
            f"the file may have been written with pointers that overflowed"
        )


def check_indices(
    indptr: Array,
    indices: Array,
    data: Array,
    *,
    minors: int,
    name: str,
    by_rows: bool,
    first: int,
    is_ours: bool,
) -> tuple[Array, Array]:
    """Return (indices, data) with indices checked, sorted within each major and narrowed.

    Parameters
    ----------
    indptr : int64, shape (majors + 1,), starting at 0, as ``check_indptr`` returns it.
    indices : shape (nnz,), any integer type.
    data : shape (nnz,).
    minors : number of minors; indices must lie in [0, minors).
    first : index of the first major, for messages.
    is_ours : whether ``indices`` and ``data`` may be sorted in place; else sorting copies them.

    Raises
    ------
    BadStructureError : for indices out of range or duplicated, naming the row or column.
    """
    if indices.dtype.kind not in "iu":
        raise BadStructureError(
            f"indices of {name} have dtype {indices.dtype}, not an integer type"
        )
    narrow = np.int32 if minors <= np.iinfo(np.int32).max else np.int64
    is_narrow = indices.dtype == narrow
    out = indices if is_narrow else np.empty(indices.shape, narrow)
    for low, high in regular_intervals(indices.size, 1, _CHECK_ENTRIES):
        part = indices[low:high]
        if int(part.min()) < 0 or int(part.max()) >= minors:
            at = int(np.argmax((part < 0) | (part >= minors)))
            major = first + int(np.searchsorted(indptr, low + at, side="right")) - 1
            raise BadStructureError(
                f"index {int(part[at]):,} in {major_word(by_rows)} {major:,} of {name} lies "
                f"outside [0, {minors:,})"
            )
        if not is_narrow:
            out[low:high] = part
    if not _is_increasing(indptr, out):
        if not is_ours:
            out, data = out.copy() if is_narrow else out, data.copy()
        _sort_within(indptr, out, data)
        _refuse_duplicates(indptr, out, name=name, by_rows=by_rows, first=first)
    return out, data


def _rises(indptr: Array, indices: Array, low: int, high: int) -> Array:
    """Whether entry i + 1 may follow entry i, for i in [low, high): larger, or in another major."""
    rises = indices[low + 1 : high + 1] > indices[low:high]
    start, stop = np.searchsorted(indptr, [low + 1, high + 1])
    starts = indptr[start:stop] - low - 1
    rises[starts[starts < rises.size]] = True
    return rises


def _is_increasing(indptr: Array, indices: Array) -> bool:
    return all(
        bool(_rises(indptr, indices, low, high).all())
        for low, high in regular_intervals(indices.size - 1, 1, _CHECK_ENTRIES)
    )


def _refuse_duplicates(
    indptr: Array, indices: Array, *, name: str, by_rows: bool, first: int
) -> None:
    for low, high in regular_intervals(indices.size - 1, 1, _CHECK_ENTRIES):
        rises = _rises(indptr, indices, low, high)
        if not rises.all():
            at = low + int(np.argmin(rises))
            major = first + int(np.searchsorted(indptr, at, side="right")) - 1
            raise BadStructureError(
                f"index {int(indices[at]):,} occurs twice in {major_word(by_rows)} {major:,} of "
                f"{name}; sum or drop duplicates first"
            )


def _sort_within(indptr: Array, indices: Array, data: Array) -> None:
    """Sort each major by index, in place, in groups of majors of bounded size."""
    majors = indptr.size - 1
    start = 0
    while start < majors:
        stop = int(np.searchsorted(indptr, indptr[start] + _CHECK_ENTRIES, side="right")) - 1
        stop = min(max(stop, start + 1), majors)
        low, high = int(indptr[start]), int(indptr[stop])
        owners = np.repeat(np.arange(start, stop), np.diff(indptr[start : stop + 1]))
        order = np.lexsort((indices[low:high], owners))
        indices[low:high] = indices[low:high][order]
        data[low:high] = data[low:high][order]
        start = stop


def keep_minors(
    indptr: Array, indices: Array, data: Array, minors: Interval
) -> tuple[Array, Array, Array]:
    """Return the entries with minors in [start, stop), their indices relative to ``start``."""
    keep = (indices >= minors[0]) & (indices < minors[1])
    counts = np.zeros(keep.size + 1, np.int64)
    np.cumsum(keep, out=counts[1:])
    kept = indices[keep]
    kept -= kept.dtype.type(minors[0])
    return counts[indptr], kept, data[keep]

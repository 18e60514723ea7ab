"""The names of rows and columns of X that a store keeps beside it: all, some, or a digest.

AnnData keeps them in ``var`` (features along axis 1) or ``obs`` (axis 0); xarray and others in an
array named like the dimension.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import zarr

from streamsparse.arrays import Array
from streamsparse.sources.labels import as_labels, digest_labels
from streamsparse.sources.zarr_layout import check_codecs, codecs_of
from streamsparse.sources.zarr_seam import local_root, seam_path

_PIECE = 1 << 16
_TEXT_CODECS = frozenset({"vlen-utf8"})
_ANNDATA_AXES = ("obs", "var")
_ANNDATA_ENCODINGS = ("anndata", "raw")


def digest_names(node: Any, *, axis: int, length: int) -> str | None:
    """Return a digest of the names along an axis of an open zarr array or sparse group.

    Parameters
    ----------
    node : ``zarr.Array`` or ``zarr.Group``.
    axis : 0 or 1, of the matrix as stored.
    length : how many names there must be.

    Returns
    -------
    32 hexadecimal digits, equal for equal names in equal order; None where no names are found.
    Reads all of them, in pieces: they are never in memory at once.
    """
    try:
        return digest_labels(labels for _, labels in _pieces(node, axis, length))
    except Exception:
        # Names are a help, not a part of X: where they cannot be read there are none.
        return None


def pick_names(node: Any, *, axis: int, length: int, positions: Array) -> list[Any] | None:
    """Return the names at some positions along an axis, in their order; None without names."""
    names: dict[int, Any] = {}
    wanted = np.unique(positions)
    try:
        for start, texts in _pieces(node, axis, length, wanted):
            first, stop = np.searchsorted(wanted, [start, start + len(texts)])
            names |= {int(j): texts[int(j) - start] for j in wanted[first:stop]}
    except Exception:
        return None
    return [names[int(j)] for j in positions]


def read_names(node: Any, *, axis: int, length: int) -> Array | None:
    """Return all names along an axis; None without names, and for times that xarray has encoded."""
    try:
        names = _find(node, axis)
        if names is None or " since " in str(names.attrs.get("units")):
            return None
        pieces = [as_labels(labels) for _, labels in _pieces(node, axis, length)]
    except Exception:
        return None
    found = [piece for piece in pieces if piece is not None]
    return np.concatenate(found) if len(found) == len(pieces) else None


def _pieces(
    node: Any, axis: int, length: int, wanted: Array | None = None
) -> Iterator[tuple[int, list[Any]]]:
    """Yield (position of the first, names) in pieces; LookupError where there are none.

    ``wanted`` : sorted positions; pieces without one are passed over.
    """
    names = _find(node, axis)
    if names is None or names.shape != (length,):
        raise LookupError
    # Strings in format 2 are objects: only a codec that makes nothing but text is decoded.
    check_codecs(_codecs_of(names.metadata), str(names), also=_TEXT_CODECS)
    pieces = range(-(-length // _PIECE)) if wanted is None else np.unique(wanted // _PIECE).tolist()
    for piece in pieces:
        start = piece * _PIECE
        yield start, np.asarray(names[start : start + _PIECE]).tolist()


def _codecs_of(metadata: Any) -> list[Any]:
    if metadata.zarr_format == 2:
        return codecs_of(metadata.to_dict())
    # The rest has the type, and of types of text zarr warns that they may yet change.
    return [codec.to_dict() for codec in metadata.codecs]


def _find(node: Any, axis: int) -> zarr.Array[Any] | None:
    parents = list(_parents(node))
    for parent in parents:
        if parent.attrs.get("encoding-type") in _ANNDATA_ENCODINGS:
            return _anndata_names(parent, _ANNDATA_AXES[axis])
    dimensions = dimensions_of(node)
    if dimensions is None or dimensions[axis] is None or not parents:
        return None
    return _array_in(parents[0], str(dimensions[axis]))


def _anndata_names(parent: zarr.Group, name: str) -> zarr.Array[Any] | None:
    table = parent.get(name)
    if not isinstance(table, zarr.Group) or "_index" not in table.attrs:
        return None
    return _array_in(table, str(table.attrs["_index"]))


def _array_in(group: zarr.Group, name: str) -> zarr.Array[Any] | None:
    found = group.get(name)
    return found if isinstance(found, zarr.Array) else None


def dimensions_of(node: Any) -> list[str | None] | None:
    """Return the names of the dimensions of an open zarr array or group; None where it has none.

    As zarr 3 has them, or by xarray's convention for zarr 2.
    """
    names = getattr(node.metadata, "dimension_names", None) or node.attrs.get("_ARRAY_DIMENSIONS")
    if not isinstance(names, list | tuple) or len(names) != len(getattr(node, "shape", names)):
        return None
    return [None if name is None else str(name) for name in names]


def _parents(node: Any) -> Iterator[zarr.Group]:
    """Yield the groups that hold the node, the nearest first, two at most."""
    store, path = node.store, node.path
    root = local_root(store)
    if not path and root is not None:
        # The store was opened at the node itself: its parents are folders above.
        for folder in list(root.resolve().parents)[:2]:
            if any((folder / name).exists() for name in ("zarr.json", ".zgroup")):
                yield zarr.open_group(seam_path(folder), mode="r", use_consolidated=False)
        return
    parts = path.split("/")
    for depth in (1, 2):
        if depth <= len(parts):
            above = "/".join(parts[:-depth])
            yield zarr.open_group(store, path=above, mode="r", use_consolidated=False)

"""Opening zarr arrays and groups: metadata read afresh, errors ours."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any, Literal

import zarr
from zarr.storage import StorePath

from streamsparse.arrays import Array
from streamsparse.errors import (
    SourceNotFoundError,
    StoreError,
    StreamSparseError,
    UnsupportedInputError,
)
from streamsparse.sources.reading import within_deadline
from streamsparse.sources.zarr_array import StoredArray
from streamsparse.sources.zarr_names import digest_names, pick_names, read_names
from streamsparse.sources.zarr_seam import (
    read_documents,
    seam_path,
)

Format = Literal[2, 3]


@dataclass(frozen=True, slots=True)
class StoredGroup:
    """A zarr group: its attributes and the arrays directly in it.

    Attributes
    ----------
    name : what errors call it.
    attributes : its JSON attributes.
    arrays : by name within the group; only arrays that were asked for.
    members : names of everything in it, for messages.
    node : what zarr opened.
    """

    name: str
    attributes: dict[str, Any]
    arrays: dict[str, StoredArray]
    members: list[str]
    node: Any

    def digest_names(self, *, axis: int, length: int) -> str | None:
        """Return a digest of the names along an axis of the matrix, None without names."""
        return digest_names(self.node, axis=axis, length=length)

    def pick_names(self, *, axis: int, length: int, positions: Array) -> list[Any] | None:
        """Return the names at some positions along an axis, None without names."""
        return pick_names(self.node, axis=axis, length=length, positions=positions)

    def read_names(self, *, axis: int, length: int) -> Array | None:
        """Return all names along an axis, None without names."""
        return read_names(self.node, axis=axis, length=length)

    def documents(self) -> dict[str, bytes]:
        """Return the metadata documents of the group itself as they are stored now, by name."""
        store, path = self.node.store, self.node.path
        return within_deadline(f"reading {self.name}", lambda: read_documents(store, path))


def open_node(target: Any, *, missing: str, members: tuple[str, ...]) -> StoredArray | StoredGroup:
    """Open a zarr array, or a group with those of its arrays that are named ``members``.

    Of an AnnData that is its ``X``.

    Parameters
    ----------
    target : path or URL, store, ``zarr.Array`` or ``zarr.Group``; metadata is read afresh, and
        consolidated metadata is ignored because it goes stale.
    missing : "error" or "fill", for chunks that are absent.

    Raises
    ------
    SourceNotFoundError, UnsupportedInputError, StoreError : nothing there, not zarr, no access.
    """
    name, chosen = str(target), None
    if isinstance(target, zarr.Array | zarr.Group):
        # Whoever opened it has said which format to read, where both are there.
        chosen, target = target.metadata.zarr_format, target.store_path
        name = str(target)
    try:
        return within_deadline(
            f"opening {name}", lambda: _open_node(target, name, missing, members, chosen)
        )
    except StreamSparseError:
        raise
    except FileNotFoundError as error:
        if isinstance(target, str | os.PathLike) and os.path.exists(target):
            raise UnsupportedInputError(
                f"{name} is neither a .npy file nor a zarr array or group"
            ) from error
        raise SourceNotFoundError(f"there is no zarr array or group at {name}") from error
    except OSError as error:
        raise StoreError(f"opening {name} failed: {error}") from error
    except Exception as error:
        raise UnsupportedInputError(f"zarr cannot open {name}: {error}") from error


def _open_node(
    target: Any, name: str, missing: str, members: tuple[str, ...], chosen: Format | None
) -> StoredArray | StoredGroup:
    node = _open(seam_path(target), name, chosen)
    if isinstance(node, zarr.Array):
        return StoredArray(node, name=name, missing=missing)
    names = sorted(node.keys())
    if node.attrs.get("encoding-type") == "anndata" and "X" in names:
        return _open_node(node.store_path / "X", f"{name}/X", missing, members, chosen)
    arrays = {
        key: StoredArray(child, name=f"{name}/{key}", missing=missing)
        for key in members
        if key in names
        and isinstance(child := _open(node.store_path / key, f"{name}/{key}", chosen), zarr.Array)
    }
    return StoredGroup(name, dict(node.attrs), arrays, names, node)


def _open(place: StorePath, name: str, chosen: Format | None) -> Any:
    if chosen is None:
        documents = read_documents(place.store, place.path)
        if "zarr.json" in documents and documents.keys() & {".zarray", ".zgroup"}:
            raise UnsupportedInputError(
                f"{name} has metadata of format 2 and of format 3, and they may differ; remove "
                f"one, or give zarr.open(..., zarr_format=3)"
            )
    return zarr.open(place, mode="r", use_consolidated=False, zarr_format=chosen)

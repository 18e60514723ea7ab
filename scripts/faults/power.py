"""States in which a power failure may leave the disk, enumerated from the operations of one run.

What a file holds is certain up to its last fsync; later writes may be there, be absent, be zeros or
be torn at a sector. Which names there are is certain up to the last fsync of their directory; of
later operations on names any prefix may be there, or all but one.
"""

from __future__ import annotations

import hashlib
import os
import traceback
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jobs
import numpy as np
from faulty_os import installed
from tally import Tally

import streamsparse as ss

_SECTOR = 512


@dataclass
class Content:
    """What one file holds: for certain, and as written."""

    durable: bytes = b""
    written: bytes = b""

    def after_crash(self, mode: str) -> bytes:
        """Return what is found of it."""
        if mode == "written" or self.durable == self.written:
            return self.written
        if mode == "zeros":
            return self.durable[: len(self.written)].ljust(len(self.written), b"\0")
        if mode == "torn":
            half = len(self.written) // 2 // _SECTOR * _SECTOR
            return self.written[:half] + self.durable[half : len(self.written)]
        return self.durable


@dataclass
class Naming:
    """An operation on names: ("create" | "mkdir" | "rename" | "unlink" | "rmdir", paths)."""

    kind: str
    path: Path
    to: Path | None = None
    content: Content | None = None
    is_durable: bool = False

    @property
    def folders(self) -> set[Path]:
        """Directories whose fsync makes it certain."""
        return {self.path.parent} | ({self.to.parent} if self.to else set())


@dataclass
class Disk:
    """Records the operations of a run below a folder, and what a crash before each may leave."""

    root: Path
    names: list[Naming] = field(default_factory=list)
    files: dict[Path, Content] = field(default_factory=dict)
    descriptors: dict[int, tuple[Path, int]] = field(default_factory=dict)
    states: dict[str, dict[Path, bytes | None]] = field(default_factory=dict)

    def before(self, operation: str, arguments: tuple[Any, ...]) -> None:
        """Crash here: keep every state that may be found."""
        del operation, arguments
        for state in self._crash_states():
            text = repr([(str(path), content) for path, content in sorted(state.items())])
            self.states.setdefault(hashlib.sha256(text.encode()).hexdigest(), state)

    def after(self, operation: str, arguments: tuple[Any, ...], result: Any) -> None:
        """Apply an operation to what is written, and to what is certain."""
        if operation in {"open", "write", "pwrite"}:
            arguments = (*arguments, result)
        getattr(self, f"_{operation}")(*arguments)

    def _open(self, path: Path, flags: int, _mode: int, result: int) -> None:
        path = Path(path)
        self.descriptors[result] = (path, 0)
        if flags & os.O_CREAT and path not in self.files:
            self.files[path] = Content()
            self.names.append(Naming("create", path, content=self.files[path]))
        elif flags & os.O_TRUNC:
            self.files[path].written = b""

    def _write(self, descriptor: int, data: Any, result: int) -> None:
        path, at = self.descriptors[descriptor]
        self._put(path, bytes(data)[:result], at)
        self.descriptors[descriptor] = (path, at + result)

    def _pwrite(self, descriptor: int, data: Any, at: int, result: int) -> None:
        self._put(self.descriptors[descriptor][0], bytes(data)[:result], at)

    def _put(self, path: Path, data: bytes, at: int) -> None:
        content = self.files[path]
        held = content.written.ljust(at, b"\0")
        content.written = held[:at] + data + held[at + len(data) :]

    def _ftruncate(self, descriptor: int, size: int) -> None:
        content = self.files[self.descriptors[descriptor][0]]
        content.written = content.written[:size].ljust(size, b"\0")

    def _fsync(self, descriptor: int) -> None:
        path, _ = self.descriptors[descriptor]
        if path in self.files:
            self.files[path].durable = self.files[path].written
            return
        for k, naming in enumerate(self.names):
            if path in naming.folders:
                self._make_durable(k)

    def _make_durable(self, k: int) -> None:
        """Let an operation be certain, and those before it on the same paths or above them."""
        naming = self.names[k]
        naming.is_durable = True
        mine = {p for p in (naming.path, naming.to) if p}
        for earlier in range(k):
            other = self.names[earlier]
            theirs = {p for p in (other.path, other.to) if p}
            if not other.is_durable and any(a == b or b in a.parents for a in mine for b in theirs):
                self._make_durable(earlier)

    def _rename(self, path: Path, to: Path) -> None:
        self.names.append(Naming("rename", Path(path), Path(to)))
        for old in [p for p in self.files if p == path or Path(path) in p.parents]:
            self.files[Path(to) / old.relative_to(path)] = self.files.pop(old)

    _replace = _rename

    def _unlink(self, path: Path) -> None:
        self.names.append(Naming("unlink", Path(path)))
        self.files.pop(Path(path), None)

    def _mkdir(self, path: Path, *_mode: int) -> None:
        self.names.append(Naming("mkdir", Path(path)))

    def _rmdir(self, path: Path) -> None:
        self.names.append(Naming("rmdir", Path(path)))

    def _crash_states(self) -> Iterator[dict[Path, bytes | None]]:
        pending = [k for k, naming in enumerate(self.names) if not naming.is_durable]
        chosen = [set(pending[:count]) for count in range(len(pending) + 1)]
        chosen += [set(pending) - {k} for k in pending]
        for extra in chosen:
            tree = self._named(extra)
            for mode in ("durable", "written", "zeros", "torn"):
                yield {
                    path: None if content is None else content.after_crash(mode)
                    for path, content in tree.items()
                }

    def _named(self, extra: set[int]) -> dict[Path, Content | None]:
        """Return the tree of names: files by their content, directories as None."""
        tree: dict[Path, Content | None] = {self.root: None}
        for k, naming in enumerate(self.names):
            if naming.is_durable or k in extra:
                _apply(naming, tree)
        return tree


def _apply(naming: Naming, tree: dict[Path, Content | None]) -> None:
    """Change the tree; what its place is not there for is lost."""
    path, to = naming.path, naming.to
    if naming.kind in {"create", "mkdir"}:
        if path.parent in tree and path not in tree:
            tree[path] = naming.content
    elif naming.kind == "rename":
        if to is not None and path in tree and to.parent in tree:
            for old in [p for p in tree if p == to or to in p.parents]:
                del tree[old]
            for old in [p for p in tree if p == path or path in p.parents]:
                tree[to / old.relative_to(path)] = tree.pop(old)
    elif path in tree and not any(path in p.parents for p in tree):
        del tree[path]


def _lay_out(root: Path, state: dict[Path, bytes | None]) -> None:
    """Make the folder hold exactly a state, beside the sources."""
    jobs.clear(root)
    for path, content in sorted(state.items()):
        if content is None:
            path.mkdir(exist_ok=True)
        else:
            path.write_bytes(content)


def losses(folder: Path, run: jobs.Run, *, every: int) -> list[Tally]:
    """Lose power at every operation, in every way; look at the output, then resume.

    ``every``: only each so manieth state is tried.
    """
    tallies = []
    for overwrite in (False, True):
        what = "replacing an earlier result" if overwrite else "a new output"
        tally = Tally(f"power loss, {what}: all states of the disk")
        tallies.append(tally)
        expected, _ = jobs.reference(run, folder)
        old = _prepare_old(folder) if overwrite else None
        disk = Disk(folder)
        if overwrite:
            _remember_old(disk, folder / "Y.zarr")
        with installed(disk):
            run.start(folder, resume=False, overwrite=overwrite)
        states = list(disk.states.values())
        for state in states[::every]:
            tally.add(_outcome(folder, run, state, expected, old))
        tally.note = f"of {len(states):,} states" if every > 1 else ""
    jobs.clear(folder)
    return tallies


def _prepare_old(folder: Path) -> str:
    """Make an earlier result with other values at the output; return its digest."""
    jobs.clear(folder)
    other = np.load(folder / "x.npy")[:, :300]
    ss.sparsify(other, "exact", out=folder / "Y.zarr", progress=False)
    return jobs.digest(folder / "Y.zarr")


def _remember_old(disk: Disk, output: Path) -> None:
    """Let the disk hold the earlier result for certain."""
    for path in [output, *sorted(output.rglob("*"))]:
        if path.is_dir():
            disk.names.append(Naming("mkdir", path, is_durable=True))
        else:
            content = path.read_bytes()
            disk.files[path] = Content(content, content)
            disk.names.append(Naming("create", path, content=disk.files[path], is_durable=True))


def _outcome(
    folder: Path,
    run: jobs.Run,
    state: dict[Path, bytes | None],
    expected: str,
    old: str | None,
) -> str:
    output = folder / "Y.zarr"
    _lay_out(folder, state)
    try:
        if output.exists():
            ss.load(output)
            if jobs.digest(output) not in (expected, old):
                return "silent"
        run.start(folder, resume=True, overwrite=True)
    except Exception:
        traceback.print_exc()
        return "crashes"
    is_same = jobs.digest(output) == expected and not jobs.litter(folder)
    return "survived" if is_same else "silent"

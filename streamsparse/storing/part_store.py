"""Parts on disk: a folder of sums, one record each, and a record that says what they are of."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from streamsparse.errors import (
    CorruptChunkError,
    MissingChunkError,
    OutputExistsError,
    SourceNotFoundError,
    UnsupportedInputError,
)
from streamsparse.storing.commit import check_output
from streamsparse.storing.files import make_directory
from streamsparse.storing.records import (
    DamagedRecordError,
    Portable,
    count_bytes,
    read_facts,
    read_record,
    write_record,
)

SCHEMA = 2
# Written last: without it a folder is no part.
_MARK = "part"
_REMEDY = "sum this part again, with overwrite=True (-f)"
_SUMS = re.compile(r"band-\d+-sums-\d+")


def _name(band: int, number: int) -> str:
    return f"band-{band}-sums-{number}"


class PartWriter:
    """A new part; until ``finish`` it is none.

    Parameters
    ----------
    path : the folder; it must not exist yet.
    key : of what it is a part, and which; every record has it.
    check : called every now and then; what it raises ends the writing.

    Raises
    ------
    StoreError : from every method, if it cannot be written.
    """

    def __init__(self, path: Path, key: str, *, check: Callable[[], None]) -> None:
        self._path, self._key, self._check = path, key, check
        self.nbytes = 0
        make_directory(path)

    def put(self, band: int, number: int, packed: list[Portable]) -> None:
        """Write the sums ``number`` of a band of rows; nothing of them is copied."""
        facts = {"key": self._key, "band": band, "number": number}
        write_record(self._path / _name(band, number), facts, packed, check=self._check)
        self.nbytes += count_bytes(packed)

    def finish(self, facts: dict[str, Any]) -> None:
        """Say what the part is, which makes it one."""
        marked = facts | {"schema": SCHEMA, "key": self._key}
        write_record(self._path / _MARK, marked, None, check=self._check)


@dataclass(frozen=True, slots=True)
class StoredPart:
    """A complete part: where it is, and what it is of."""

    path: Path
    facts: dict[str, Any]

    def read(self, band: int, number: int) -> list[Portable]:
        """Return sums, every byte of them checked.

        Raises
        ------
        MissingChunkError, CorruptChunkError : if they are gone, or are not what was written.
        StoreError : if they cannot be read.
        """
        path = self.path / _name(band, number)
        if not path.exists():
            raise MissingChunkError(f"{path} is gone; {_REMEDY}")
        try:
            facts, packed = read_facts(path), read_record(path)
        except DamagedRecordError as error:
            raise CorruptChunkError(f"{error}; {_REMEDY}") from error
        expected = {"key": self.facts["key"], "band": band, "number": number}
        if facts != expected:
            raise CorruptChunkError(
                f"{path} was written as something else ({facts}, not {expected}); {_REMEDY}"
            )
        return list(packed)


def open_part(path: Path) -> StoredPart:
    """Open a part; of its sums nothing is read.

    Raises
    ------
    SourceNotFoundError : if there is nothing at the path.
    UnsupportedInputError : if something else is there, or a part of another format.
    CorruptChunkError : if its record is not what was written.
    """
    if not path.exists():
        hint = ""
        if path.with_name(f".{path.name}.unfinished").exists():
            hint = ", but something unfinished: the job that sums it runs still, or was killed"
        raise SourceNotFoundError(f"there is no part at {path}{hint}")
    if not (path / _MARK).is_file():
        raise UnsupportedInputError(f"{path} is no part: reduce --part (reduce_part) writes parts")
    try:
        facts = read_facts(path / _MARK)
    except DamagedRecordError as error:
        raise CorruptChunkError(f"{error}; {_REMEDY}") from error
    if not isinstance(facts, dict) or facts.get("schema") != SCHEMA:
        raise UnsupportedInputError(f"{path} is a part of another format than {SCHEMA}")
    return StoredPart(path, facts)


def is_part(path: Path) -> bool:
    """Whether there is a complete part at ``path``, of whatever run."""
    return (path / _MARK).is_file()


def check_part_output(path: Path, *, overwrite: bool, source_path: Path | None) -> None:
    """Refuse a place for a part where it would destroy something, as ``check_output`` does."""
    check_output(path, overwrite=overwrite, source_path=source_path, refuse_foreign=_refuse_foreign)


def _refuse_foreign(target: Path) -> None:
    if target.is_symlink() or not is_part(target):
        raise OutputExistsError(
            f"{target} is no part of a run, and overwrite replaces nothing else; remove it "
            f"yourself or choose another name"
        )
    foreign = sorted(
        entry.name
        for entry in target.iterdir()
        if entry.name != _MARK and not _SUMS.fullmatch(entry.name)
    )
    if foreign:
        raise OutputExistsError(
            f"{target} holds {foreign[0]!r}, which belongs to no part and which overwrite does not "
            f"delete; move it away or choose another name"
        )

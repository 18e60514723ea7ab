import errno
import os
import re
from pathlib import Path

import numpy as np
import pytest

from streamsparse.errors import OutputExistsError, StoreError
from streamsparse.storing import files


def test_reporting__names_operation_path_and_reason_and_keeps_errno(tmp_path):
    files.make_directory(tmp_path / "taken")
    with pytest.raises(
        StoreError, match=r"making the directory .*taken failed: File exists"
    ) as info:
        files.make_directory(tmp_path / "taken")
    assert info.value.errno == errno.EEXIST


def test_reporting__leaves_our_own_errors_alone(tmp_path):
    with pytest.raises(OutputExistsError), files.reporting("writing", tmp_path):
        raise OutputExistsError("there")


@pytest.mark.parametrize(
    "operation",
    [
        files.fsync_file,
        files.fsync_directory,
        files.fsync_tree,
        files.free_disk_bytes,
        lambda path: files.rename(path, path.with_name("other")),
    ],
)
def test_operations__report_a_missing_path(tmp_path, operation):
    with pytest.raises(StoreError, match="absent"):
        operation(tmp_path / "absent")


def test_fsync_tree__syncs_every_file_and_directory_children_first(tmp_path, monkeypatch):
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b" / "file").write_text("x")
    (tmp_path / "a" / "other").write_text("y")
    synced = []
    monkeypatch.setattr(files, "_fsync", lambda path, flags: synced.append(path.name))
    files.fsync_tree(tmp_path / "a")
    assert synced == ["file", "b", "other", "a"]


def test_remove_tree__removes_directory_file_link_and_nothing(tmp_path):
    kept = tmp_path / "kept"
    kept.mkdir()
    (tmp_path / "link").symlink_to(kept)
    (tmp_path / "file").write_text("x")
    (tmp_path / "tree" / "below").mkdir(parents=True)
    for name in ("link", "file", "tree", "absent"):
        files.remove_tree(tmp_path / name)
    assert os.listdir(tmp_path) == ["kept"]


def test_positioned_file__reads_back_what_was_written_and_zeros_elsewhere(tmp_path):
    file = files.PositionedFile(tmp_path / "f")
    file.preallocate(64)
    file.write(np.arange(2.0), 16)
    out = np.empty(8)
    file.read_into(out, 0)
    file.close()
    file.close()
    np.testing.assert_array_equal(out, [0, 0, 0, 1, 0, 0, 0, 0])


def test_positioned_file__goes_on_after_short_writes_and_reads(tmp_path, monkeypatch):
    pwrite, preadv = os.pwrite, os.preadv
    monkeypatch.setattr(os, "pwrite", lambda fd, view, at: pwrite(fd, view[:3], at))
    monkeypatch.setattr(os, "preadv", lambda fd, views, at: preadv(fd, [views[0][:5]], at))
    file = files.PositionedFile(tmp_path / "f")
    file.write(np.arange(5.0), 0)
    out = np.empty(5)
    file.read_into(out, 0)
    file.close()
    np.testing.assert_array_equal(out, np.arange(5.0))


def test_positioned_file__refuses_to_replace_a_file_and_reports_early_end_and_full_disk(
    tmp_path, monkeypatch
):
    file = files.PositionedFile(tmp_path / "f")
    with pytest.raises(StoreError, match="File exists"):
        files.PositionedFile(tmp_path / "f")
    with pytest.raises(StoreError, match="ends before byte 8"):
        file.read_into(np.empty(1), 0)

    def full(fd, view, at):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "pwrite", full)
    with pytest.raises(StoreError, match=r"writing .*f failed: No space left"):
        file.write(np.empty(1), 0)
    file.close()


def test_write_file__replaces_and_goes_on_after_short_writes(tmp_path, monkeypatch):
    write = os.write
    monkeypatch.setattr(os, "write", lambda fd, view: write(fd, view[:3]))
    for content in (b"0123456789", b"ab", b""):
        files.write_file(tmp_path / "f", content)
        assert (tmp_path / "f").read_bytes() == content


def test_make_directories__makes_those_above_and_accepts_what_is_there(tmp_path):
    for _ in range(2):
        files.make_directories(tmp_path / "a" / "b" / "c")
    assert (tmp_path / "a" / "b" / "c").is_dir()
    (tmp_path / "file").write_text("x")
    with pytest.raises(StoreError, match="making the directory"):
        files.make_directories(tmp_path / "file" / "below")


def test_files__is_the_one_module_that_changes_a_disk():
    # Whoever stands between ``files`` and ``os`` sees every operation: scripts/faults do.
    changing = re.compile(
        r"\.(write_text|write_bytes|mkdir|rmdir|unlink|rename|touch|symlink_to)\(|shutil\.(rm|copy|move)"
        r"|\bopen\([^)]*[\"'][wax]|np\.save\(|tofile\("
    )
    package = Path(files.__file__).parent.parent
    # The lock of numba's cache lies beside the code, where no run has any file.
    others = {package / "kernels" / "jit.py"}
    found = [
        f"{path.relative_to(package)}: {line.strip()}"
        for path in package.rglob("*.py")
        if path.name != "files.py" and "demo" not in path.parts and path not in others
        for line in path.read_text(encoding="utf-8").splitlines()
        if changing.search(line)
    ]
    assert found == []

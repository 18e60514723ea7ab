import errno
import os
import subprocess
import sys

import numpy as np
import pytest

from streamsparse.errors import OutputBusyError, OutputExistsError, StoreError
from streamsparse.storing import commit, files
from streamsparse.storing.commit import Workplace, check_output, staged
from streamsparse.storing.result_store import ResultWriter


def write_result(path, attributes=None):
    writer = ResultWriter(path)
    writer.start(2, 1)
    writer.write_rows(0, np.ones((2, 1)))
    writer.finish(attributes or {"schema": 1})


def put(path, text):
    path.mkdir()
    (path / "file").write_text(text)


def test_staged__target_appears_only_after_a_clean_exit(tmp_path):
    target = tmp_path / "out"
    with staged(target, overwrite=False) as temporary:
        assert temporary == tmp_path / ".out.unfinished" / "result"
        put(temporary, "new")
        assert not target.exists()
    assert (target / "file").read_text() == "new"
    assert os.listdir(tmp_path) == ["out"]


def test_staged__syncs_the_tree_before_the_rename_and_the_parent_after(tmp_path, monkeypatch):
    target, calls = tmp_path / "out", []
    for name in ("fsync_tree", "rename", "fsync_directory"):
        real = getattr(commit, name)

        def logged(*paths, name=name, real=real):
            calls.append(name)
            real(*paths)

        monkeypatch.setattr(commit, name, logged)
    with staged(target, overwrite=False) as temporary:
        put(temporary, "new")
    assert calls == ["fsync_tree", "rename", "fsync_directory"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
@pytest.mark.parametrize("overwrite", [False, True])
def test_staged__any_exception_leaves_everything_as_it_was(tmp_path, error, overwrite):
    target = tmp_path / "out"
    if overwrite:
        put(target, "old")

    def write():
        with staged(target, overwrite=overwrite) as temporary:
            put(temporary, "half")
            raise error

    with pytest.raises(error):
        write()
    assert os.listdir(tmp_path) == (["out"] if overwrite else [])
    if overwrite:
        assert (target / "file").read_text() == "old"


def test_staged__overwrite_replaces_the_old_and_removes_it(tmp_path):
    target = tmp_path / "out"
    put(target, "old")
    with staged(target, overwrite=True) as temporary:
        put(temporary, "new")
    assert (target / "file").read_text() == "new"
    assert os.listdir(tmp_path) == ["out"]


def test_staged__works_for_a_single_file(tmp_path):
    for text in ("first", "second"):
        with staged(tmp_path / "f", overwrite=True) as temporary:
            temporary.write_text(text)
    assert (tmp_path / "f").read_text() == "second"
    assert os.listdir(tmp_path) == ["f"]


def test_staged__refuses_what_appeared_meanwhile(tmp_path):
    target = tmp_path / "out"

    def write():
        with staged(target, overwrite=False) as temporary:
            put(temporary, "new")
            put(target, "of somebody else")

    with pytest.raises(OutputExistsError, match="overwrite=True"):
        write()
    assert (target / "file").read_text() == "of somebody else"
    assert os.listdir(tmp_path) == ["out"]


@pytest.mark.parametrize("failing", [0, 1])
@pytest.mark.parametrize("is_done", [False, True])
def test_staged__interrupt_around_either_rename_loses_nothing(
    tmp_path, monkeypatch, failing, is_done
):
    target, real, calls = tmp_path / "out", commit.rename, []
    put(target, "old")

    def interrupted(source, to):
        calls.append(to)
        if len(calls) - 1 != failing or is_done:
            real(source, to)
        if len(calls) - 1 == failing:
            raise KeyboardInterrupt

    monkeypatch.setattr(commit, "rename", interrupted)
    with pytest.raises(KeyboardInterrupt), staged(target, overwrite=True) as temporary:
        put(temporary, "new")
    is_new = failing == 1 and is_done
    assert (target / "file").read_text() == ("new" if is_new else "old")
    assert os.listdir(tmp_path) == ["out"]


def test_staged__reports_a_body_that_wrote_nothing(tmp_path):
    with pytest.raises(StoreError, match="syncing"), staged(tmp_path / "out", overwrite=False):
        pass
    assert os.listdir(tmp_path) == []


def test_check_output__accepts_a_new_name_and_a_result_to_replace(tmp_path):
    source = tmp_path / "source"
    source.mkdir()
    check_output(tmp_path / "out", overwrite=False, source_path=source)
    write_result(tmp_path / "out")
    check_output(tmp_path / "out", overwrite=True, source_path=source)


def test_check_output__existing_target_names_the_remedy(tmp_path):
    write_result(tmp_path / "out")
    with pytest.raises(OutputExistsError, match=r"overwrite=True \(-f\)"):
        check_output(tmp_path / "out", overwrite=False, source_path=None)


@pytest.mark.parametrize("kind", ["directory", "file", "json", "array", "unmarked"])
def test_check_output__overwrite_refuses_what_is_not_ours(tmp_path, kind):
    target = tmp_path / "out"
    if kind == "file":
        target.write_text("precious")
    else:
        put(target, "precious")
    if kind == "json":
        (target / "zarr.json").write_text("[1, 2]")
    if kind == "array":
        text = '{"node_type": "array", "attributes": {"streamsparse": {}}}'
        (target / "zarr.json").write_text(text)
    if kind == "unmarked":
        (target / "zarr.json").write_text('{"node_type": "group", "attributes": {}}')
    with pytest.raises(OutputExistsError, match="not a result of streamsparse"):
        check_output(target, overwrite=True, source_path=None)


def test_check_output__overwrite_refuses_a_result_with_other_things_in_it(tmp_path):
    write_result(tmp_path / "out")
    (tmp_path / "out" / "notes.txt").write_text("precious")
    with pytest.raises(OutputExistsError, match=r"notes\.txt"):
        check_output(tmp_path / "out", overwrite=True, source_path=None)


def test_check_output__overwrite_refuses_a_link(tmp_path):
    write_result(tmp_path / "real")
    (tmp_path / "out").symlink_to(tmp_path / "real")
    with pytest.raises(OutputExistsError, match="symbolic link"):
        check_output(tmp_path / "out", overwrite=True, source_path=None)


@pytest.mark.parametrize(
    ("target", "source", "word"),
    [
        ("x", "x", "is the source"),
        ("x/out", "x", "lies inside"),
        ("x", "x/y", "contains"),
        ("link", "x", "is the source"),
        ("link/out", "x", "lies inside"),
        ("x/y/../out", "link", "lies inside"),
    ],
)
@pytest.mark.parametrize("overwrite", [False, True])
def test_check_output__refuses_to_touch_the_source(tmp_path, target, source, word, overwrite):
    write_result(tmp_path / "x")
    (tmp_path / "link").symlink_to(tmp_path / "x")
    with pytest.raises(OutputExistsError, match=word):
        check_output(tmp_path / target, overwrite=overwrite, source_path=tmp_path / source)


def test_check_output__missing_parent_is_named(tmp_path):
    with pytest.raises(StoreError, match=r"nowhere is not a directory"):
        check_output(tmp_path / "nowhere" / "out", overwrite=False, source_path=None)


def test_workplace__is_beside_the_target_and_gone_when_nothing_is_in_it(tmp_path):
    with Workplace(tmp_path / "out").entered() as place:
        assert place.folder == tmp_path / ".out.unfinished"
        assert place.folder.is_dir()
    assert os.listdir(tmp_path) == []


def test_workplace__keeps_what_can_be_continued(tmp_path):
    with Workplace(tmp_path / "out").entered() as place:
        (place.folder / "checkpoint-a").write_text("work")
        put(place.folder / "result", "half")
    assert os.listdir(place.folder) == ["checkpoint-a"]
    with Workplace(tmp_path / "out").entered():
        (place.folder / "checkpoint-a").unlink()
    assert os.listdir(tmp_path) == []


def test_workplace__lets_one_in_at_a_time(tmp_path):
    with Workplace(tmp_path / "out").entered():
        with (
            pytest.raises(OutputBusyError, match="is locked"),
            Workplace(tmp_path / "out").entered(),
        ):
            pass
        # Another target is another place.
        with Workplace(tmp_path / "other").entered():
            pass
    with Workplace(tmp_path / "out").entered():
        pass


def test_workplace__lets_one_process_in_at_a_time(tmp_path):
    code = (
        "import sys; from pathlib import Path; from streamsparse.storing.commit import Workplace\n"
        "with Workplace(Path(sys.argv[1])).entered(): print('in', flush=True); input()"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "out")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout.readline() == b"in\n"
        with pytest.raises(OutputBusyError), Workplace(tmp_path / "out").entered():
            pass
        # A killed process holds nothing.
        child.kill()
    with Workplace(tmp_path / "out").entered():
        pass
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("is_moved", [False, True])
def test_workplace__brings_back_what_was_being_replaced_when_a_process_died(tmp_path, is_moved):
    target, place = tmp_path / "out", Workplace(tmp_path / "out")
    place.folder.mkdir()
    put(place.folder / "replaced", "old")
    if is_moved:
        put(target, "new")
    put(place.folder / "result", "half")
    (place.folder / "partial-checkpoint-a").write_text("half")
    with place.entered():
        assert (target / "file").read_text() == ("new" if is_moved else "old")
        assert os.listdir(place.folder) == ["lock"]
    assert os.listdir(tmp_path) == ["out"]


def test_workplace__survives_a_file_system_without_locks(tmp_path, monkeypatch):
    def no_locks(descriptor, how):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(files.fcntl, "flock", no_locks)
    with Workplace(tmp_path / "out").entered():
        pass
    assert os.listdir(tmp_path) == []


def test_entered__a_ctrl_c_while_it_clears_up_does_not_leave_it_locked(tmp_path, monkeypatch):
    place = Workplace(tmp_path / "Y")

    def interrupted(_path):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt), place.entered():
        patched.setattr("streamsparse.storing.commit.remove_tree", interrupted)
    with place.entered():
        pass
    assert list(tmp_path.iterdir()) == []

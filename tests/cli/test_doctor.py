import json
import os
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest

from streamsparse.cli import checkup, installation
from streamsparse.cli.installation import Check
from streamsparse.running.calibration import measure_rates
from streamsparse.running.rates import load_rates

NAMES = [
    "packages",
    "distributed",
    "h5py",
    "scikit-learn",
    "matplotlib",
    "blas",
    "numba",
    "environment",
    "text",
    "open files",
    "processors",
    "memory",
    "disk here",
    "disk temp",
    "codecs",
    "self test",
    "rates",
]


@pytest.fixture(autouse=True)
def little_to_measure(monkeypatch, tmp_path):
    monkeypatch.setattr(checkup, "measure_rates", partial(measure_rates, rows=64, columns=512))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))


def test_doctor__keeps_the_rates_for_plans(run, tmp_path):
    assert load_rates() is None
    assert "kept for plans" in run("doctor").stdout
    assert load_rates() is not None
    (tmp_path / "streamsparse").rename(tmp_path / "elsewhere")
    (tmp_path / "streamsparse").write_text("in the way", encoding="utf-8")
    result = run("doctor")
    assert result.exit_code == 0
    assert "cannot be" in result.stdout


def test_doctor__checks_everything(run):
    result = run("doctor", "--json")
    assert result.exit_code == 0, result.stderr
    values = json.loads(result.stdout)
    assert set(values) == {"versions", "platform", "checks"}
    assert [check["name"] for check in values["checks"]] == NAMES
    keys = {"name", "ok", "detail", "remedy", "verdict"}
    assert all(set(check) == keys for check in values["checks"])
    assert all(values["versions"].values())


def test_doctor__text_fits_80_columns(run):
    result = run("doctor")
    assert result.exit_code == 0, result.stderr
    # Paths are not broken: they are there to be copied.
    assert all(len(line) <= 80 or "/" in line for line in result.stdout.splitlines())
    assert "all checks passed" in result.stdout


def test_doctor__a_failing_check_says_what_to_do(run, monkeypatch):
    monkeypatch.setattr(checkup, "free_memory_bytes", lambda: 1 << 20)
    result = run("doctor")
    assert result.exit_code == 1
    assert "FAILED  memory" in result.stdout
    assert "-> runs need about 512.00 MiB" in result.stdout
    assert result.stderr == "streamsparse: error: failed: memory\n"


def test_doctor__a_directory_that_cannot_be_written(tmp_path):
    check = checkup.check_disk("disk temp", lambda: tmp_path / "absent")
    assert not check.ok
    assert "TMPDIR" in check.remedy


def test_doctor__an_absent_package_and_a_broken_codec(monkeypatch):
    assert installation.version_of("no-such-package-here") is None
    check = installation.check_packages({"no-such": None})
    assert (check.ok, check.verdict) == (False, "FAILED")
    assert "no-such" in check.detail

    def broken(settings):
        raise RuntimeError("no library")

    monkeypatch.setattr(checkup, "_round_trip", broken)
    check = checkup.check_codecs()
    assert not check.ok
    assert "zstd (no library)" in check.detail


def test_doctor__a_wrong_library_fails_the_self_test(monkeypatch):
    def broken(*args, **kwargs):
        raise ValueError("no kernels")

    monkeypatch.setattr(checkup.ss, "sparsify", broken)
    check = checkup.check_self()
    assert not check.ok
    assert "no kernels" in check.detail


@pytest.mark.parametrize("text", ["max\n", "", "1000000\n"])
def test_doctor__room_in_a_cgroup(tmp_path, text):
    (tmp_path / "max").write_text(text)
    (tmp_path / "used").write_text("400000\n")
    room = checkup._room(tmp_path / "max", tmp_path / "used")
    assert room == (600000 if text.startswith("1") else None)
    assert checkup._room(tmp_path / "none", tmp_path / "used") is None


def test_doctor__an_absent_extra_is_a_note_with_the_line_that_installs_it(run, monkeypatch):
    version_of = installation.version_of
    monkeypatch.setattr(
        installation, "version_of", lambda name: None if name == "h5py" else version_of(name)
    )
    result = run("doctor")
    assert result.exit_code == 0
    assert "note    h5py          not installed; for HDF5 files" in result.stdout
    assert f"\n{'':22}-> pip install h5py\n" in result.stdout


def test_doctor__kernels_that_are_not_compiled_fail(monkeypatch):
    monkeypatch.setattr(installation, "is_compiling", lambda: False)
    check = installation.check_numba()
    assert not check.ok
    assert check.remedy == "unset NUMBA_DISABLE_JIT"


def test_doctor__keeps_no_rates_of_kernels_that_are_not_compiled(monkeypatch):
    monkeypatch.setattr(checkup, "is_compiling", lambda: False)
    assert "not measured" in checkup.check_rates().detail
    assert load_rates() is None


def test_doctor__knows_whether_numba_compiles_and_where_it_keeps_kernels():
    code = (
        "from streamsparse.cli.installation import check_numba; from streamsparse.kernels.jit "
        "import cache_folder; print(check_numba().ok, cache_folder())"
    )

    def printed(**environment):
        done = subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            check=True,
            env=os.environ | environment,
        )
        return done.stdout.split()

    assert printed(NUMBA_DISABLE_JIT="1") == ["False", "None"]
    ok, folder = printed(NUMBA_DISABLE_JIT="0")
    assert (ok, Path(folder).is_dir()) == ("True", True)


def test_doctor__without_a_folder_for_kernels_says_which_variable_to_set(monkeypatch):
    monkeypatch.setattr(installation, "is_compiling", lambda: True)
    monkeypatch.setattr(installation, "cache_folder", lambda: None)
    check = installation.check_numba()
    assert check.verdict == "note"
    assert "NUMBA_CACHE_DIR" in check.remedy


def test_doctor__names_the_variables_that_matter(monkeypatch):
    monkeypatch.setenv("OPENBLAS_CORETYPE", "Haswell")
    assert "OPENBLAS_CORETYPE=Haswell" in installation.check_environment().detail


def test_doctor__narrow_text_and_few_files_are_notes(monkeypatch):
    monkeypatch.setattr("sys.getfilesystemencoding", lambda: "ascii")
    assert installation.check_text().remedy == "set PYTHONUTF8=1"
    resource = pytest.importorskip("resource")
    monkeypatch.setattr(resource, "getrlimit", lambda _: (256, 4096))
    assert installation.check_files() == Check("open files", True, "at most 256", "ulimit -n 1024")
    monkeypatch.setattr(resource, "getrlimit", lambda _: (256, 256))
    assert "hard limit of 1024" in installation.check_files().remedy
    monkeypatch.setattr(resource, "getrlimit", lambda _: (resource.RLIM_INFINITY,) * 2)
    assert installation.check_files().verdict == "ok"


def test_doctor__self_test_tries_every_method():
    from streamsparse.checks import METHODS

    assert set(checkup._METHODS) == set(METHODS) - {"auto"}

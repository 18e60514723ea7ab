import json
from functools import partial

import pytest

from streamsparse.cli import checkup, doctor
from streamsparse.running.calibration import measure_rates
from streamsparse.running.rates import load_rates

NAMES = [
    "packages",
    "blas",
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
    assert all(set(check) == {"name", "ok", "detail", "remedy"} for check in values["checks"])


def test_doctor__text_fits_80_columns(run):
    result = run("doctor")
    assert result.exit_code == 0, result.stderr
    assert max(map(len, result.stdout.splitlines())) <= 80
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
    assert doctor._version_of("no-such-package-here") is None
    assert "no-such" in doctor._check_packages({"no-such": None}).detail

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

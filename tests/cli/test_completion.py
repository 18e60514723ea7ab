"""What shells are told."""

import shutil
import subprocess

import pytest
from click.shell_completion import BashComplete

from streamsparse.cli.completion import _PROGRAM, _VARIABLE
from streamsparse.cli.main import cli


def complete(*words):
    """Return (kind, text) of what may come last."""
    completer = BashComplete(cli, {}, _PROGRAM, _VARIABLE)
    found = completer.get_completions(list(words[:-1]), words[-1])
    return [(item.type, item.value) for item in found]


def texts(*words):
    return [text for _, text in complete(*words)]


def test_completion__of_commands():
    assert texts("") == list(cli.commands)
    assert texts("re") == ["reduce", "remove"]


def test_completion__of_options():
    expected = ["--method", "--m", "--memory", "--missing-value", "--missing"]
    assert texts("reduce", "X.zarr", "Y.zarr", "--m") == expected
    assert texts("certify", "X.zarr", "Y.zarr", "--debu") == ["--debug"]


@pytest.mark.parametrize(
    ("words", "choices"),
    [
        (("reduce", "--method", "s"), ["sketch", "sample", "select"]),
        (("reduce", "--target", ""), ["attention", "entries", "spectral", "regularised"]),
        (("plan", "--feature-axis", ""), ["0", "1"]),
        (("completion", ""), ["bash", "zsh", "fish"]),
    ],
)
def test_completion__of_choices(words, choices):
    assert texts(*words) == choices


@pytest.mark.parametrize(
    "words",
    [
        ("reduce", "X"),
        ("reduce", "X.zarr", "Y"),
        ("plan", "X"),
        ("info", "X"),
        ("certify", "X"),
        ("certify", "X.zarr", "Y"),
        ("transform", "Y.zarr", "more"),
        ("merge", "Y.zarr", "part-1", "par"),
        ("merge", "--source", "X"),
        ("merge", "--after", "first"),
        ("reduce", "--start", "Y"),
    ],
)
def test_completion__of_paths_is_the_shells(words):
    assert complete(*words) == [("file", words[-1])]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion__prints_a_script_that_its_shell_reads(run, shell, tmp_path):
    result = run("completion", shell)
    assert result.exit_code == 0, result.stderr
    assert f"{_VARIABLE}={shell}_complete" in result.stdout
    if shutil.which(shell):
        (tmp_path / "script").write_text(result.stdout, encoding="utf-8")
        subprocess.run([shell, "-n", tmp_path / "script"], check=True)

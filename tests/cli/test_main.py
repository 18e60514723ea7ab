import functools
import json
import subprocess
import sys
import warnings

import click
import pytest

import streamsparse as ss
from streamsparse.cli.main import cli

ERRORS = [value for value in (getattr(ss, name) for name in ss._HOMES) if isinstance(value, type)]
ERRORS = [value for value in ERRORS if issubclass(value, ss.StreamSparseError)]
COMMANDS = tuple(cli.commands)


def raising(error):
    # Defaults of options are read from the signature.
    @functools.wraps(ss.sparsify)
    def sparsify(*args, **kwargs):
        raise error

    return sparsify


def test_cli__version(run):
    assert ss.__version__ in run("--version").stdout


def test_cli__python_m_runs_it_and_keeps_stdout_for_results():
    command = [sys.executable, "-W", "error", "-m", "streamsparse", "info", "absent.zarr", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr == "streamsparse: error: there is nothing at absent.zarr\n"


@pytest.mark.parametrize("kind", [*ERRORS, OSError, MemoryError, ZeroDivisionError])
@pytest.mark.parametrize("as_json", [[], ["--json"]])
def test_cli__every_error_is_one_line_and_status_1(run, monkeypatch, kind, as_json):
    monkeypatch.setattr(ss, "sparsify", raising(kind("the first\n  and the second half")))
    result = run("reduce", "X.zarr", "Y.zarr", *as_json)
    assert result.exit_code == 1
    assert result.stdout == ""
    assert result.stderr.startswith("streamsparse: error: ")
    assert "the first and the second half" in result.stderr
    assert result.stderr.count("\n") == 1
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize(
    "words",
    [
        ["--debug", "reduce", "X.zarr", "Y.zarr"],
        ["reduce", "--debug", "X.zarr", "Y.zarr"],
        ["reduce", "X.zarr", "Y.zarr", "--debug"],
    ],
)
def test_cli__debug_shows_the_traceback_wherever_it_stands(run, monkeypatch, words):
    monkeypatch.setattr(ss, "sparsify", raising(ss.StoreError("disk full")))
    result = run(*words)
    assert result.exit_code == 1
    assert "Traceback" in result.stderr
    assert result.stderr.endswith("streamsparse: error: disk full\n")


def test_cli__an_interrupt_is_one_line_and_status_130(run, monkeypatch):
    monkeypatch.setattr(ss, "sparsify", raising(KeyboardInterrupt()))
    result = run("reduce", "X.zarr", "Y.zarr")
    assert result.exit_code == 130
    assert result.stderr.strip() == "streamsparse: interrupted"


def test_cli__our_warnings_are_one_line_on_stderr(run, monkeypatch):
    @functools.wraps(ss.plan)
    def plan(*args, **kwargs):
        warnings.warn("not as close\nas hoped", ss.StreamSparseWarning, stacklevel=2)
        raise ss.ParameterError("enough")

    monkeypatch.setattr(ss, "plan", plan)
    result = run("plan", "X.zarr")
    assert result.stderr.splitlines() == [
        "streamsparse: warning: not as close as hoped",
        "streamsparse: error: enough",
    ]


@pytest.mark.parametrize(
    "words",
    [
        ["reduce", "X.zarr"],
        ["reduce", "X.zarr", "Y.zarr", "--m", "many"],
        ["reduce", "X.zarr", "Y.zarr", "--method", "magic"],
        ["plan", "X.zarr", "--feature-axis", "2"],
        ["reduce", "X.zarr", "part", "--part", "0/3"],
        ["reduce", "X.zarr", "part", "--part", "4/3"],
        ["reduce", "X.zarr", "part", "--part", "third"],
        ["reduce", "X.zarr", "part", "--part", "1/2", "--algorithm", "bss"],
        ["reduce", "X.zarr", "Y.zarr", "--after", "first"],
        ["merge", "Y.zarr"],
        ["certify", "X.zarr", "Y.zarr", "--exact", "--rows", "3"],
        ["demo", "--limit", "1"],
        ["completion", "tcsh"],
        ["info", "X.zarr", "--no-such-option"],
        ["no-such-command"],
    ],
)
def test_cli__bad_usage_is_status_2(run, words):
    result = run(*words)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert "Usage: streamsparse" in result.stderr


@pytest.mark.parametrize(
    ("command", "function"),
    [
        ("reduce", ss.sparsify),
        ("plan", ss.plan),
        ("certify", ss.certify),
        ("merge", ss.merge),
        ("transform", ss.Result.transform),
        ("info", ss.open_source),
    ],
)
def test_cli__defaults_are_those_of_the_python_functions(command, function):
    import inspect

    parameters = inspect.signature(function).parameters
    context = click.Context(cli.commands[command])
    shared = [option for option in cli.commands[command].params if option.name in parameters]
    for option in shared:
        if isinstance(option, click.Option):
            given = option.process_value(context, option.get_default(context))
            assert given == parameters[option.name].default
    assert shared


def test_cli__numbers_that_json_lacks_become_null(capsys):
    from streamsparse.cli.options import print_json

    print_json({"a": [float("nan"), 1.0], "b": {"c": float("inf")}})
    assert json.loads(capsys.readouterr().out) == {"a": [None, 1.0], "b": {"c": None}}

"""Help pages: in 80 columns, with examples that run, and without what takes long to import."""

import re
import shlex
import subprocess
import sys

import click
import numpy as np
import pytest

import streamsparse as ss
from streamsparse.cli.command import _HEADINGS
from streamsparse.cli.main import cli

COMMANDS = tuple(cli.commands)
PAGES = ([], *([name] for name in COMMANDS))
HEAVY = ("numpy", "scipy", "numba", "zarr", "dask", "distributed", "sklearn", "matplotlib", "tqdm")
PARTS = ["part-1", "part-2"]


def page(run, words):
    result = run(*words, "--help")
    assert result.exit_code == 0
    assert run(*words, "-h").stdout == result.stdout
    return result.stdout


def examples(name):
    """Yield the commands that the help page of a command shows."""
    for line in cli.commands[name].epilog.splitlines():
        if line.startswith("  streamsparse"):
            yield shlex.split(re.split(r"   +", line.strip())[0], comments=True)


def options_of(name):
    return [one for one in cli.commands[name].params if isinstance(one, click.Option)]


@pytest.mark.parametrize("words", PAGES, ids=" ".join)
def test_help__fits_80_columns_and_ends_with_examples(run, words):
    text = page(run, words)
    assert max(map(len, text.splitlines())) <= 80
    assert not any(line != line.rstrip() for line in text.splitlines())
    assert " ".join(["streamsparse", *words]) in text.split("Examples")[1]


def test_help__lists_every_command_in_one_whole_line(run):
    text = page(run, [])
    for name in COMMANDS:
        (line,) = re.findall(rf"^  {name} +(.+)$", text, flags=re.MULTILINE)
        assert line.endswith(".")
        assert not line.endswith("...")


def test_help__states_every_exit_status(run):
    text = " ".join(page(run, []).split())
    assert "1 refused or failed; 2 bad usage; 130 and 143 stopped" in text


def test_cli__alone_shows_its_help(run):
    assert "Commands:" in run().output


@pytest.mark.parametrize("name", COMMANDS)
def test_help__shows_every_option_once(run, name):
    listed = re.findall(r"^  (?:-\w, )?(--[\w-]+)", page(run, [name]), flags=re.MULTILINE)
    assert sorted(listed) == sorted([*(option.opts[-1] for option in options_of(name)), "--help"])


def test_help__of_reduce_begins_with_the_five_options_that_matter(run):
    text = page(run, ["reduce"])
    first = text.partition("Main options:")[2].partition("\n\n")[0]
    listed = re.findall(r"^  (-\S+)", first, flags=re.MULTILINE)
    assert listed == ["--method", "--m", "--epsilon", "--memory", "-f,"]
    assert text.index("Main options:") < text.index("What is printed:")


def test_headings__name_options_that_exist_and_each_once():
    named = [name for names in _HEADINGS.values() for name in names]
    assert len(named) == len(set(named))
    assert set(named) <= {option.name for name in COMMANDS for option in options_of(name)}


def test_help__columns_of_all_headings_are_aligned(run):
    text = page(run, ["reduce"])
    starts = {
        len(found)
        for found in re.findall(r"^(  (?:-\w, )?--\S+(?: \S+)*  +)\S", text, flags=re.MULTILINE)
    }
    assert len(starts) == 1


@pytest.mark.parametrize("name", COMMANDS)
def test_commands__that_print_results_take_json_and_all_take_debug(name):
    names = {option.name for option in options_of(name)}
    assert ("as_json" in names) == (name != "completion")
    assert "--debug" in {flag for option in options_of(name) for flag in option.opts}


@pytest.fixture
def material(tmp_path):
    """Everything that examples name and do not make."""
    import zarr

    X = np.random.default_rng(0).standard_normal((6, 70_000)).astype(np.float32)
    zarr.create_array(tmp_path / "X.zarr", data=X, chunks=(6, 4096))
    zarr.create_array(tmp_path / "more_rows.zarr", data=X[:2], chunks=(2, 4096))
    np.save(tmp_path / "tall.npy", X.T)
    return X


def as_typed(words):
    """Return an example as somebody types it who has five spans, and outputs of earlier ones."""
    if words[0] in ("reduce", "merge") and not {"-f", "--resume", "--part"} & set(words):
        return [*words, "-f"]
    typed = [word.replace("3/16", "3/5") for word in words]
    # A shell says which parts there are.
    return [one for word in typed for one in (PARTS if word == "part-*" else [word])]


@pytest.mark.slow
def test_help__examples_run_as_they_are_written(run, material):
    done = []
    for name in ("plan", "reduce", "certify", "transform", "merge", "info"):
        for _, *words in examples(name):
            result = run(*as_typed(words))
            assert result.exit_code == 0, (words, result.stderr)
            done.append(words[0])
    assert done.count("reduce") >= 7
    assert ss.load("Y.zarr").Y.shape[0] == 6


def left_alone(code, **environment):
    import os

    code += f"; print([name for name in {HEAVY} if name in sys.modules], file=sys.stderr)"
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; {code}"],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | environment,
    )
    return done.stderr.strip() == "[]"


QUIET = (
    "from streamsparse.cli.main import cli; "
    "cli.main({words!r}, prog_name='streamsparse', standalone_mode=False)"
)


@pytest.mark.parametrize("words", [["--help"], ["--version"], ["completion", "zsh"]])
def test_cli__starts_without_the_heavy_packages(words):
    assert left_alone(QUIET.format(words=words))


@pytest.mark.parametrize("name", COMMANDS)
def test_completion__imports_nothing_heavy(name):
    typed = f"streamsparse {name} -"
    code = (
        "from streamsparse.cli.main import cli; from contextlib import suppress\n"
        "with suppress(SystemExit): cli.main(prog_name='streamsparse')\n"
        "import sys"
    )
    assert left_alone(
        f"pass\n{code}",
        _STREAMSPARSE_COMPLETE="bash_complete",
        COMP_WORDS=typed,
        COMP_CWORD="2",
    )

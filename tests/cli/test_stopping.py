import functools
import signal
import subprocess
import sys

import pytest

import streamsparse as ss
from streamsparse.cli.stopping import resume_line, status_of

STUBBORN = """
import signal, sys
from streamsparse.cli import stopping
stopping.PATIENCE_SECONDS = 0.2
# As inside of LAPACK: Python hears of the signal, and nothing comes of it.
for number in (signal.SIGINT, signal.SIGTERM):
    signal.signal(number, lambda *_: None)
with stopping.within_two_seconds(sys.argv[1:]):
    print("in", flush=True)
    while True:
        pass
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_within_two_seconds__ends_what_does_not_listen_and_says_how_to_go_on(number):
    command = [sys.executable, "-c", STUBBORN, "reduce", "my X.zarr", "Y.zarr"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as it:
        assert it.stdout.readline() == "in\n"
        it.send_signal(number)
        _, said = it.communicate()
    assert it.returncode == status_of(number)
    assert said.endswith("go on with\n  streamsparse reduce 'my X.zarr' Y.zarr --resume\n")


def test_within_two_seconds__leaves_alone_what_ends_by_itself():
    code = STUBBORN.replace("while True:\n        pass", "import time; time.sleep(0.3)")
    command = [sys.executable, "-c", code, "reduce"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as it:
        assert it.stdout.readline() == "in\n"
    assert it.returncode == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("kept", [False, True])
def test_cli__an_interrupted_run_prints_the_line_that_goes_on(run, monkeypatch, number, kept):
    @functools.wraps(ss.sparsify)
    def sparsify(*args, **kwargs):
        raise ss.RunInterrupted(number, "interrupted", has_checkpoint=kept)

    monkeypatch.setattr(ss, "sparsify", sparsify)
    result = run("reduce", "X.zarr", "Y.zarr", "--m", "7")
    assert result.exit_code == 128 + number
    assert result.stdout == ""
    line = "  streamsparse reduce X.zarr Y.zarr --m 7 --resume\n"
    assert result.stderr.endswith(line if kept else "streamsparse: interrupted\n")


def test_resume_line__asks_once():
    assert resume_line(["reduce", "X", "Y", "--resume"]) == "streamsparse reduce X Y --resume"

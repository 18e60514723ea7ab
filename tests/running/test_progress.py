"""The bar: one line on stderr while somebody watches, and no trace of it afterwards."""

import io
import re
from contextlib import redirect_stderr

import numpy as np
import pytest

import streamsparse as ss
from streamsparse.running.progress import show_progress


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def terminal(monkeypatch):
    """What a terminal of 80 columns is sent."""
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("LINES", "24")
    return Terminal()


def frames(terminal):
    return terminal.getvalue().split("\r")


@pytest.mark.parametrize("progress", ["auto", True])
def test_progress__says_bytes_speed_and_time_left_in_80_columns(terminal, progress):
    with (
        redirect_stderr(terminal),
        show_progress(progress, label="exact", total=3_000_000_000) as bar,
    ):
        bar._bar.mininterval = 0
        bar.advance(1_000_000_000)
    sent = frames(terminal)
    shown = next(frame for frame in sent if "33%" in frame)
    assert re.fullmatch(r"exact:  33%\|.+\| 1\.00GB of 3\.00GB, [\d.]+\wB/s, [\d:]+ left", shown)
    assert all(len(frame) <= 80 for frame in sent)


def test_progress__vanishes(terminal):
    with redirect_stderr(terminal), show_progress("auto", label="exact", total=100) as bar:
        bar.advance(100)
    *shown, blank, last = frames(terminal)
    assert (blank.strip(), last) == ("", "")
    assert len(blank) >= max(map(len, shown)) > 0


@pytest.mark.parametrize(("progress", "is_shown"), [("auto", False), (True, True), (False, False)])
def test_progress__without_a_terminal_only_on_demand(capsys, progress, is_shown):
    with show_progress(progress, label="exact", total=100) as bar:
        bar.advance(50)
    assert bool(capsys.readouterr().err) == is_shown


def test_progress__names_the_pass_and_what_follows_it(terminal):
    with (
        redirect_stderr(terminal),
        show_progress(True, label="sample", total=2_000_000, passes=2) as bar,
    ):
        said = [bar._bar.desc]
        for _ in range(4):
            bar.advance(500_000)
            said.append(bar._bar.desc)
    assert said == [
        "sample, pass 1 of 2",
        "sample, pass 1 of 2",
        "sample, between passes",
        "sample, pass 2 of 2",
        "sample, finishing",
    ]


def test_progress__ends_where_averages_were_rounded_or_more_was_read(terminal):
    with redirect_stderr(terminal), show_progress(True, label="sketch", total=1_000_000) as bar:
        bar.advance(999_998)
        assert bar._bar.desc == "sketch, finishing"
        bar.advance(1_000_000)
        assert bar._bar.desc == "sketch, finishing"


def test_progress__of_nothing_is_no_error(terminal):
    with redirect_stderr(terminal), show_progress(True, label="sketch", total=0) as bar:
        bar.advance(0)


@pytest.mark.parametrize("method", ["exact", "sketch", "sample", "select"])
def test_progress__of_a_run_comes_to_its_end(terminal, method):
    X = np.random.default_rng(0).standard_normal((5, 30_000))
    with redirect_stderr(terminal):
        ss.sparsify(X, method, m=None if method == "exact" else 20, progress=True)
    assert any(frame.startswith(f"{method}, finishing: 100%") for frame in frames(terminal))


def test_progress__must_be_a_word_it_knows():
    with pytest.raises(ss.ParameterError, match="progress must be one of 'auto', not 'yes'"):
        show_progress("yes", label="exact", total=1)

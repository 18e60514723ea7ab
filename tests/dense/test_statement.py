"""Lines and card of a certificate: the same numbers in both, and nothing too wide."""

import pytest
from hypothesis import given

from certificates import CERTIFICATES, NAMES, certificate
from html_tools import Parsed
from streamsparse.dense.certificate import Errors, Measure
from streamsparse.dense.statement import findings, verdict


@given(CERTIFICATES)
def test_lines_and_card__fit_parse_and_hold_every_number(c):
    lines = repr(c).splitlines()
    assert lines[0] == "Certificate"
    assert max(map(len, lines)) <= 80
    assert repr(c) == f"Certificate\n{c}"
    parsed, text = Parsed(c._repr_html_()), " ".join(str(c).split())
    for name in NAMES:
        measure = getattr(c.errors, name)
        if measure is not None:
            assert f"{measure.value:.4g}" in text, name
            assert f"{measure.value:.4g}" in parsed.text, name
    assert verdict(c).text in parsed.text


@given(CERTIFICATES)
def test_findings__hold_every_measure_once_and_the_main_errors_always(c):
    found = list(findings(c))
    shown = [f.measure for f in found if f.measure] + [f.of_zero for f in found if f.of_zero]
    there = [measure for name in NAMES if (measure := getattr(c.errors, name)) is not None]
    assert sorted(map(id, shown)) == sorted(map(id, there))
    assert [f.target for f in found if not f.is_more] == [
        "attention",
        "entries",
        "spectral",
        "regularised",
    ]


def test_card__has_the_error_of_Y_zero_in_the_row_of_ours():
    html = certificate()._repr_html_()
    (row,) = [row for row in html.split("<tr>") if "largest row, L1" in row]
    assert Parsed("<table><tr>" + row.partition("</tr>")[0] + "</tr></table>").texts == [
        "attention error (largest row, L1)",
        "0.004",
        "bound",
        "0.99",
        "0.05",
    ]


def test_lines__have_the_error_of_Y_zero_below_ours():
    lines = str(certificate()).splitlines()
    (at,) = [k for k, line in enumerate(lines) if "largest row, L1" in line]
    assert lines[at + 1].split() == ["the", "same", "for", "Y", "=", "0", "0.05", "estimate"]


@pytest.mark.parametrize(
    ("changes", "state", "text"),
    [
        ({}, "met", "asked: entries error 0.1: met by 95.0% of rows"),
        ({"target": "spectral"}, "met", "asked: spectral error 0.1: met"),
        ({"met": False}, "missed", "asked: entries error 0.1: NOT MET"),
        ({"met": None}, "open", "asked: entries error 0.1: not certified"),
        (
            {"epsilon": None, "met": None},
            "open",
            "no error was asked for; attention error 0.004 bound, conf. 0.99; 0.05 for Y = 0",
        ),
        (
            {"epsilon": None, "met": None, "errors": Errors(spectral=Measure(0.5, "exact"))},
            "open",
            "no error was asked for; spectral error 0.5 exact",
        ),
        (
            {"epsilon": None, "met": None, "errors": Errors()},
            "open",
            "no error was asked for; nothing was measured",
        ),
    ],
)
def test_verdict__says_what_was_asked_or_the_best_that_is_known(changes, state, text):
    found = verdict(certificate(**changes))
    assert found == (state, text)
    assert f'class="verdict {state}"' in certificate(**changes)._repr_html_()


def test_verdict__prefers_what_is_certified_to_the_largest_of_a_sample():
    errors = Errors(
        attention=Measure(0.1, "estimate"),
        most_rows_attention=Measure(0.1, "bound", 0.99, 0.95),
        uniform=Measure(0.3, "estimate"),
        checked_rows=90,
    )
    assert verdict(certificate(epsilon=None, met=None, errors=errors)).text.endswith(
        "attention error 0.1 bound, 95.0% of rows, conf. 0.99; 0.3 for Y = 0"
    )

"""The page about a result: whole, inert, and the same numbers as everywhere else."""

from dataclasses import replace

import numpy as np
import pytest
import scipy.sparse

import streamsparse as ss
from html_tools import Parsed
from streamsparse.results import report
from streamsparse.results.report import _relative_spectrum, report_page

EVIL = 'evil<script>alert(1)</script>"\x1b\udcff.zarr'


@pytest.fixture(scope="module")
def X():
    return np.random.default_rng(0).standard_normal((12, 3000))


@pytest.fixture(scope="module")
def sketch(X):
    return ss.sparsify(X, "sketch", epsilon=0.5, target="entries")


@pytest.fixture(scope="module")
def selected(X):
    return ss.sparsify(X, "select", m=60, algorithm="balance")


def sections(result):
    """The parts of the page by their headings, each parsed."""
    html = report_page(result)
    Parsed(html)
    parts = html.split("<section><h2>")[1:]
    return {
        part.partition("</h2>")[0]: Parsed(
            "<section><h2>" + part.partition("</section>")[0] + "</section>"
        )
        for part in parts
    }


def test_report__has_everything_about_a_sketch(sketch):
    parts = sections(sketch)
    assert list(parts) == [
        "Result",
        "Plan",
        "Error against columns",
        "Spectrum of Y Yᵀ",
        "Load it",
        "Make it again",
    ]
    assert "asked: entries error 0.5: met" in parts["Result"].text
    assert sketch.plan.promise in parts["Plan"].text
    curve = parts["Error against columns"]
    assert "epsilon = 0.5" in curve.texts
    assert curve.count("svg") == parts["Spectrum of Y Yᵀ"].count("svg") == 1
    for point in sketch.curve:
        assert f"{point.error:.4g}" in curve.texts
    assert "result.save" in parts["Load it"].text
    assert f"streamsparse {ss.__version__}" in Parsed(report_page(sketch)).text
    assert f"NumPy {np.__version__}" in Parsed(report_page(sketch)).text


def test_report__rings_the_Y_that_was_kept(sketch):
    tags = sections(sketch)["Error against columns"].tags
    ring, _ = (a for tag, a in tags if tag == "circle" and a["r"] == "7")
    lines = [a["points"].split() for tag, a in tags if tag == "polyline"]
    places = {tuple(map(float, point.split(","))) for line in lines for point in line}
    columns = sorted({x for x, _ in places})
    at = sorted({point.m for point in sketch.curve}).index(sketch.certificate.m)
    assert float(ring["cx"]) == columns[at]
    assert (float(ring["cx"]), float(ring["cy"])) in places


def test_report__shows_the_strongest_columns_of_a_selection(selected):
    part = sections(selected)["Columns of X in Y"]
    assert "20 of" in part.text
    firsts = [int(text.replace(",", "")) for text in part.texts if text.replace(",", "").isdigit()]
    assert set(selected.columns[:20].tolist()) <= set(firsts)
    assert f"{selected.weights[0]:.4g}" in part.texts
    assert f"{selected.weights[20]:.4g}" not in part.texts


def test_report__sorts_a_sample_by_the_share_of_the_trace(X):
    result = ss.sparsify(X, "sample", m=100)
    part = sections(result)["Columns of X in Y"]
    squares = np.square(result.Y).sum(axis=0)
    best = squares.argmax()
    row = part.texts.index(f"{result.columns[best]:,}")
    assert part.texts[row + 1 : row + 3] == [
        f"{result.weights[best]:.4g}",
        f"{squares[best] / squares.sum():.2%}",
    ]
    # Nothing but the head is before it.
    assert part.texts[row - 1] == "share of the trace"


def test_report__leaves_a_large_Y_alone(sketch, selected, monkeypatch):
    monkeypatch.setattr(report, "_MOST_CELLS", 10)
    monkeypatch.setattr(report, "dense_rows", None)
    assert "Not computed" in sections(sketch)["Spectrum of Y Yᵀ"].text
    text = sections(selected)["Columns of X in Y"].text
    assert "as they were chosen" in text
    assert "share" not in text
    plain = replace(selected, selection=None)
    assert "in the order of the result" in sections(plain)["Columns of X in Y"].text


def test_report__computes_no_spectrum_of_many_values(sketch, monkeypatch):
    monkeypatch.setattr(report, "_MOST_EIGENVALUES", sketch.Y.shape[1] - 1)
    monkeypatch.setattr(report, "eigenvalues", None)
    assert "Not computed" in sections(sketch)["Spectrum of Y Yᵀ"].text


@pytest.mark.parametrize("scale", [1.0, 2.0**-600, 2.0**600])
@pytest.mark.parametrize("turn", [np.asarray, np.transpose])
def test_spectrum__has_the_squares_above_rounding_in_order(scale, turn):
    Y = np.zeros((4, 7))
    Y[[0, 1, 2, 3], [3, 0, 5, 1]] = [2.0, 8.0, 4.0, 2.0**-40]
    values = _relative_spectrum(turn(scale * Y))
    np.testing.assert_array_equal(values, [1.0, 0.25, 0.0625])


def test_report__of_a_Y_of_zeros_has_nothing_to_draw(X):
    result = ss.sparsify(np.zeros((4, 1000)), "sketch", m=8)
    assert "nothing to draw" in sections(result)["Spectrum of Y Yᵀ"].text


def test_report__makes_text_of_all_names_and_loads_nothing(selected):
    names = tuple(EVIL for _ in selected.columns)
    hostile = replace(
        selected, plan=replace(selected.plan, source=EVIL, why=EVIL), column_names=names
    )
    html = report_page(hostile)
    assert "<script" not in html
    assert "http" not in html
    text = Parsed(html).text
    # Twenty names; source and reason of the plan; the call and the command.
    assert text.count("<script>alert(1)</script>") == 20 + 2 + 2
    html.encode()


def test_report__is_written_whole_and_the_same_again(sketch, tmp_path):
    path = tmp_path / "report.html"
    sketch.report(path)
    first = path.read_bytes()
    assert first.decode() == report_page(sketch)
    sketch.report(str(path), overwrite=True)
    assert path.read_bytes() == first
    assert [entry.name for entry in tmp_path.iterdir()] == ["report.html"]


def test_report__of_a_result_on_disk_says_where_it_is(sketch, tmp_path):
    sketch.save(tmp_path / "Y.zarr")
    loaded = ss.load(tmp_path / "Y.zarr")
    assert repr(str(tmp_path / "Y.zarr")) in sections(loaded)["Load it"].text
    # Y is the same, so everything but where it is is, too.
    assert sections(loaded)["Spectrum of Y Yᵀ"].tags == sections(sketch)["Spectrum of Y Yᵀ"].tags


def test_report__of_sparse_columns_and_of_a_pair_parse(X):
    values = scipy.sparse.random_array((12, 3000), density=0.2, rng=np.random.default_rng(0))
    assert sections(ss.sparsify(values.tocsc(), "sample", m=60))["Columns of X in Y"]
    assert "5 queries" in report_page(ss.sparsify_pair(X[:5], X[5:], "exact"))


def test_report__of_a_result_that_was_appended_to_names_no_call(tmp_path):
    X = np.random.default_rng(0).standard_normal((10, 300))
    both = ss.sparsify(X[:, :200], "sketch", m=32).append(X[:, 200:])
    both.report(tmp_path / "r.html")
    text = (tmp_path / "r.html").read_text(encoding="utf-8")
    assert "no single call makes it" in text
    assert "ss.sparsify" not in text

"""Pictures: what is drawn is what was measured, on the axes that were given."""

import doctest
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

import streamsparse as ss
from streamsparse.dense.certificate import Errors, Measure
from tolerances import gram_error_bound

matplotlib = pytest.importorskip("matplotlib")
plt = pytest.importorskip("matplotlib.pyplot")


@pytest.fixture(autouse=True)
def closed():
    """No figure, and no setting, is left to the next test."""
    plt.switch_backend("agg")
    assert plt.get_fignums() == []
    before = dict(matplotlib.rcParams)
    yield
    assert dict(matplotlib.rcParams) == before
    plt.close("all")


@pytest.fixture(scope="module")
def X():
    rng = np.random.default_rng(0)
    U, _ = np.linalg.qr(rng.standard_normal((40, 40)))
    return (U / np.arange(1, 41)) @ rng.standard_normal((40, 3000)) / 20


@pytest.fixture(scope="module")
def results(X):
    def reduce(*args, **options):
        return ss.sparsify(X, *args, progress=False, **options)

    return {
        "sketch": reduce("sketch", epsilon=0.1, target="entries"),
        "attention": reduce("sketch", epsilon=0.2, target="attention"),
        "regularised": reduce("sketch", epsilon=0.3, target="regularised"),
        "select": reduce("select", epsilon=0.5, target="spectral"),
        "wide": reduce("sketch", m=64),
        "sample": reduce("sample", m=50),
        "exact": reduce("exact"),
        "pair": ss.sparsify_pair(X[:10], X[10:], "sketch", m=64, progress=False),
    }


def lines(ax):
    """Every line by its label, as (x, y)."""
    return {line.get_label(): tuple(map(list, line.get_data())) for line in ax.get_lines()}


def draw(ax=None):
    return plt.subplots()[1] if ax is None else ax


PICTURES = {
    "error_curve": lambda r, **k: ss.plot.error_curve(r["sketch"], **k),
    "spectrum": lambda r, **k: ss.plot.spectrum(r["wide"], **k),
    "columns": lambda r, **k: ss.plot.columns(r["sample"], **k),
    "certificate": lambda r, **k: ss.plot.certificate(r["sketch"], **k),
    "throughput": lambda r, **k: ss.plot.throughput(r["sketch"], **k),
}


@pytest.mark.parametrize("name", PICTURES)
def test_pictures__are_on_the_axes_given_and_no_others(results, name):
    figure, (ax, other) = plt.subplots(1, 2)
    assert PICTURES[name](results, ax=ax) is ax
    assert not other.has_data()
    assert plt.get_fignums() == [figure.number]
    assert ax.get_xlabel()
    assert ax.get_ylabel() or name == "certificate"
    figure.canvas.draw()


@pytest.mark.parametrize("name", PICTURES)
def test_pictures__without_axes_are_on_the_current_ones_or_on_new_ones(results, name):
    made = PICTURES[name](results)
    assert plt.gcf() is made.figure
    current = plt.figure().add_subplot(1, 2, 2)
    assert PICTURES[name](results) is current


@pytest.mark.parametrize("name", ["sketch", "attention", "regularised", "select"])
def test_error_curve__shows_every_candidate_epsilon_and_the_one_chosen(results, name):
    result = results[name]
    drawn = lines(ss.plot.error_curve(result))
    ways = {"truncation": "truncations", "fold": "folds of the sketch", "columns": "columns of X"}
    certified = [point for point in result.curve if point.error is not None]
    for way, label in ways.items():
        points = [(point.m, point.error) for point in certified if point.way == way]
        assert list(zip(*drawn.get(label, ((), ())), strict=True)) == points
    assert drawn[f"epsilon = {result.plan.epsilon:g}"][1] == [result.plan.epsilon] * 2
    (chosen,) = [label for label in drawn if label.startswith("chosen")]
    (m,), (error,) = drawn[chosen]
    assert m == result.certificate.m
    assert (m, error) in [(point.m, point.error) for point in certified if point.meets]
    zeros = {point.zero_error for point in certified} - {None}
    assert ("Y = 0" in drawn) == bool(zeros)
    assert not zeros or set(drawn["Y = 0"][1]) == zeros


def test_error_curve__of_one_candidate_or_of_none_that_errs_has_numbers_on_its_axes(results):
    result = results["attention"]
    point = ss.CurvePoint(512, "fold", 0.0, 1.0, True)
    one = replace(result, curve=(point,), certificate=replace(result.certificate, m=512))
    ax = ss.plot.error_curve(one)
    ax.figure.canvas.draw()
    assert "512" in [label.get_text() for label in ax.get_xticklabels()]
    assert lines(ax)["folds of the sketch"] == ([512], [0.0])
    low, high = ax.get_ylim()
    assert low < 0
    assert high > 1


def test_error_curve__rings_the_y_that_was_returned_whatever_else_meets_epsilon(results):
    result = results["sketch"]
    meeting = [point for point in result.curve if point.meets]
    assert len(meeting) > 1
    for point in meeting[-2:]:
        returned = replace(result, certificate=replace(result.certificate, m=point.m))
        labels = lines(ss.plot.error_curve(returned, draw()))
        assert f"chosen: m = {point.m:,}, error {point.error:.4g}" in labels
    # A walk of barriers that took over is no candidate.
    other = replace(result, certificate=replace(result.certificate, m=7777))
    assert not any(
        label.startswith("chosen") for label in lines(ss.plot.error_curve(other, draw()))
    )


def test_error_curve__leaves_out_what_could_not_be_certified(results):
    result = results["attention"]
    lost = ss.CurvePoint(7, "truncation", None, None, False)
    ax = ss.plot.error_curve(replace(result, curve=(lost, *result.curve)))
    assert lines(ax)["truncations"] == lines(ss.plot.error_curve(result, draw()))["truncations"]
    with pytest.raises(ss.ParameterError, match="no candidate"):
        ss.plot.error_curve(replace(result, curve=(lost,)))


def test_spectrum__is_that_of_the_matrices(X, results):
    Y, G = results["wide"].Y, X @ X.T
    drawn = lines(ss.plot.spectrum(results["wide"], G))
    for label, matrix in (("eigenvalues of Y Y^T", Y @ Y.T), ("eigenvalues of G = X X^T", G)):
        indices, values = drawn[label]
        assert indices == list(range(1, 41))
        # Weyl: eigenvalues move by no more than the norm of what rounding adds.
        slack = np.linalg.norm(gram_error_bound(Y, np.float64)) + 40**2 * 2.0**-52 * values[0]
        np.testing.assert_allclose(values, np.linalg.eigvalsh(matrix)[::-1], rtol=0, atol=slack)


def test_spectrum__of_low_rank_has_no_noise():
    Y = np.random.default_rng(0).standard_normal((50, 3))
    drawn = lines(ss.plot.spectrum(Y, Y @ Y.T))
    assert [len(values) for _, values in drawn.values()] == [3, 3]


@pytest.mark.parametrize(
    ("Y", "G", "message"),
    [
        (np.eye(3), np.eye(4), r"G must have shape \(3, 3\)"),
        (np.zeros((3, 2)), None, "zeros"),
        (np.zeros(3), None, "shape"),
        (np.eye(3), np.triu(np.ones((3, 3))), "differ by 1"),
        (np.full((2, 2), 1e200), None, "overflow"),
        (np.eye(3), np.full((3, 3), np.nan), "NaN"),
    ],
)
def test_spectrum__refuses_what_has_none(Y, G, message):
    with pytest.raises(ValueError, match=message):
        ss.plot.spectrum(Y, G)
    assert plt.get_fignums() == []


def test_columns__are_where_they_lie_as_high_as_they_say(results):
    for name, heights in (
        ("sample", 1 / results["sample"].weights),
        ("select", results["select"].weights),
    ):
        ax = ss.plot.columns(results[name], draw())
        (line,) = ax.get_lines()
        np.testing.assert_array_equal(line.get_xdata(), results[name].columns)
        np.testing.assert_array_equal(line.get_ydata(), heights)
        assert ("leverage" in ax.get_ylabel()) == (name == "sample")


def test_columns__names_the_strongest(results):
    result = results["sample"]
    names = tuple(f"gene {column}" for column in result.columns)
    ax = ss.plot.columns(replace(result, column_names=names))
    strongest = np.argsort(result.weights, kind="stable")[:5]
    assert [text.get_text() for text in ax.get_legend().get_texts()] == [
        f"gene {column}" for column in result.columns[strongest]
    ]
    ax.figure.canvas.draw()


def test_columns__of_very_unlike_weights_are_on_a_logarithm(results):
    for most, scale in ((99, "linear"), (101, "log")):
        weights = np.geomspace(1, most, 50)
        ax = ss.plot.columns(replace(results["sample"], weights=weights), draw())
        assert ax.get_yscale() == scale


MASKS = {"none": None, "causal": "causal", "bias": np.linspace(-3, 3, 1600).reshape(40, 40)}


@pytest.mark.parametrize("mask", MASKS)
def test_attention__shows_both_and_the_difference(X, results, mask):
    G, Y = X @ X.T, results["sample"].Y
    axes = ss.plot.attention(results["sample"], G, beta=2.0, mask=MASKS[mask])
    U = np.linalg.cholesky(G)
    before = ss.attention(U, beta=2.0, mask=MASKS[mask])
    after = ss.attention(Y, beta=2.0, mask=MASKS[mask])
    # Logits differ by rounding of products of 40 x 40, attention by twice that, relatively.
    slack = 4 * 2.0 * (40**2 * 2.0**-52 * np.trace(G) + gram_error_bound(Y, np.float64).max())
    for ax, expected in zip(axes, (before, after, after - before), strict=True):
        shown = ax.images[0].get_array()
        np.testing.assert_allclose(np.ma.filled(shown, 0), expected, rtol=0, atol=slack)
        assert ax.get_xlabel()
        assert ax.get_ylabel()
    error = ss.attention_error(G, Y, beta=2.0, mask=MASKS[mask])
    assert f"L1 of a row at most {error:.3g}" in axes[2].get_title()
    assert axes[0].images[0].norm is axes[1].images[0].norm
    norm = axes[2].images[0].norm
    assert norm.vmin == -norm.vmax == -np.abs(axes[2].images[0].get_array()).max()
    assert norm(0.0) == 0.5


def test_attention__of_masked_cells_is_left_blank(X, results):
    axes = ss.plot.attention(results["wide"], X @ X.T, mask="causal")
    for ax in axes:
        blank = np.ma.getmaskarray(ax.images[0].get_array())
        assert blank[np.triu_indices(40, 1)].all()


def test_attention__of_a_pair_is_between_queries_and_keys(X, results):
    pair = results["pair"]
    axes = ss.plot.attention(pair, X[:10] @ X[10:].T)
    with pytest.raises(ss.ParameterError, match=r"Q K\^T must have shape \(10, 30\)"):
        ss.plot.attention(pair, X @ X.T)
    after = ss.attention(pair)
    np.testing.assert_allclose(axes[1].images[0].get_array(), after, rtol=64 * 2.0**-52)


def test_attention__of_many_rows_is_drawn_from_means():
    rng = np.random.default_rng(0)
    Y = rng.standard_normal((1500, 2)) / 2
    G = Y @ Y.T + np.diag(rng.random(1500))
    axes = ss.plot.attention(Y, G)
    P = ss.attention(Y)
    shown = axes[1].images[0].get_array()
    assert shown.shape == (750, 750)
    means = P.reshape(750, 2, 750, 2).mean(axis=(1, 3))
    np.testing.assert_allclose(shown, means, rtol=1500 * 2.0**-52)
    assert "means of 2 x 2 cells" in axes[0].get_title()
    assert axes[0].get_xlim() == (-0.5, 1499.5)
    assert f"at most {ss.attention_error(G, Y):.3g}" in axes[2].get_title()


def test_attention__of_more_rows_than_are_looked_at_at_once_is_masked_row_by_row():
    Y = np.random.default_rng(0).standard_normal((300, 2)) / 2
    bias = np.random.default_rng(1).standard_normal((300, 300))
    for mask in ("causal", bias):
        shown = ss.plot.attention(Y, Y @ Y.T, mask=mask)[1].images[0].get_array()
        expected = ss.attention(Y, mask=mask)
        np.testing.assert_allclose(np.ma.filled(shown, 0), expected, rtol=300 * 2.0**-52)


def test_attention__of_rows_that_do_not_fill_their_squares_means_what_is_there():
    P_Y = np.random.default_rng(0).standard_normal((1025, 1))
    shown = ss.plot.attention(P_Y, np.zeros((1025, 1025)))[0].images[0].get_array()
    assert shown.shape == (513, 513)
    np.testing.assert_allclose(shown, 1 / 1025, rtol=1025 * 2.0**-52)


def test_attention__is_on_the_axes_given(X, results):
    figure, given = plt.subplots(1, 3)
    made = ss.plot.attention(results["wide"], X @ X.T, axes=given)
    assert list(made) == list(given)
    assert plt.get_fignums() == [figure.number]


@pytest.mark.parametrize(
    ("G", "options", "message"),
    [
        (np.eye(3), {}, r"G must have shape \(40, 40\)"),
        (np.triu(np.ones((40, 40))), {}, "G must be X X"),
        (np.eye(40), {"beta": 0.0}, "beta"),
        (np.eye(40), {"mask": "diagonal"}, "mask"),
        (np.eye(40), {"axes": [None, None]}, "axes must be three"),
    ],
)
def test_attention__refuses_what_does_not_fit(results, G, options, message):
    with pytest.raises(ss.ParameterError, match=message):
        ss.plot.attention(results["wide"], G, **options)
    assert plt.get_fignums() == []


@pytest.mark.parametrize("name", ["sketch", "attention", "regularised", "select", "pair"])
def test_certificate__shows_every_number_with_its_kind(results, name):
    c = results[name].certificate
    ax = ss.plot.certificate(c)
    facts = c.to_dict().items()
    measured = {name: value for name, value in facts if name.endswith("_error") and value}
    measured.pop("uniform_attention_error", None)
    drawn = lines(ax)
    kinds = {"exact": "exact", "bound: at most this": "bound", "estimate": "estimate"}
    shown = {
        (row, value, kind)
        for label, kind in kinds.items()
        for value, row in zip(*drawn.get(label, ((), ())), strict=True)
    }
    assert len(shown) == len(measured)
    assert sorted((value, kind) for _, value, kind in shown) == sorted(
        (value["value"], value["kind"]) for value in measured.values()
    )
    texts = [label.get_text() for label in ax.get_yticklabels()]
    for row, value, kind in shown:
        assert f"\n{value:.4g} {kind}" in texts[row]


def test_certificate__has_zero_beside_it_and_epsilon_across_its_target(results):
    c = results["attention"].certificate
    ax = ss.plot.certificate(results["attention"])
    texts = [label.get_text().split("\n")[0] for label in ax.get_yticklabels()]
    zeros = {texts[row]: value for value, row in zip(*lines(ax)["Y = 0"], strict=True)}
    assert zeros == {
        "attention error (largest row, L1)": c.uniform_attention_error.value,
        "entry error, max |E_ij| / r": 1.0,
        "spectral error, Loewner epsilon": 1.0,
    }
    values, (low, high) = lines(ax)["epsilon = 0.2"]
    assert values == [0.2, 0.2]
    assert [text for row, text in enumerate(texts) if low < row < high] == [texts[0]]
    assert "attention error 0.2: met" in ax.get_title()


def test_certificate__of_a_sample_of_rows_claims_no_zero_that_nobody_measured(results):
    measure = Measure(0.1, "estimate")
    errors = Errors(entry=measure, all_rows_entry=Measure(0.5, "bound", 0.99), checked_rows=9)
    c = replace(results["wide"].certificate, errors=errors)
    assert lines(ss.plot.certificate(c))["Y = 0"] == ([1.0], [1])
    assert "Y = 0" not in lines(ss.plot.certificate(replace(c, queries=3), draw()))


def test_certificate__of_zeros_and_of_rounding_is_drawn(results):
    errors = Errors(entry=Measure(0.0, "exact"), attention=Measure(1e-16, "exact"), checked_rows=40)
    ax = ss.plot.certificate(replace(results["exact"].certificate, errors=errors))
    assert lines(ax)["exact"] == ([1e-16, 0.0], [0, 1])
    ax.figure.canvas.draw()


def test_throughput__adds_up_to_what_was_summed(results, X):
    ax = ss.plot.throughput(results["sketch"])
    (stairs,) = ax.patches
    rates, edges, _ = stairs.get_data()
    seconds, done = results["sketch"].timeline[-1]
    assert edges[0] == 0.0
    assert edges[-1] == seconds
    assert done == X.nbytes
    # Differences of sums over 64 steps, each rounded a few times.
    np.testing.assert_allclose((rates * np.diff(edges)).sum() * 1e9, done, rtol=512 * 2.0**-52)
    (label,) = lines(ax)
    assert label.startswith("mean")
    assert set(lines(ax)[label][1]) == {done / seconds / 1e9}


def test_throughput__shows_when_it_was_fast(results):
    line = ((0.0, 0), (32.0, 32 * 10**9), (48.0, 48 * 10**9 + 16 * 10**9), (64.0, 64 * 10**9))
    ax = ss.plot.throughput(replace(results["sketch"], timeline=line))
    rates, edges, _ = ax.patches[0].get_data()
    assert list(edges) == list(range(65))
    # Everything is a whole number of bytes below 2^53, and of seconds.
    assert list(rates) == [1.0] * 32 + [2.0] * 16 + [0.0] * 16


REFUSED = [
    ("error_curve", "wide", "has no curve"),
    ("error_curve", "exact", "has no curve"),
    ("columns", "sketch", "'sketch' keeps no columns"),
]


@pytest.mark.parametrize(("picture", "name", "message"), REFUSED)
def test_pictures__say_which_results_have_one(results, picture, name, message):
    with pytest.raises(ss.ParameterError, match=message):
        getattr(ss.plot, picture)(results[name])
    assert plt.get_fignums() == []


@pytest.mark.parametrize("timeline", [(), ((0.0, 0), (1.0, 0))])
def test_throughput__of_a_run_that_nobody_watched_says_so(results, timeline):
    with pytest.raises(ss.ParameterError, match="no timeline"):
        ss.plot.throughput(replace(results["sketch"], timeline=timeline))


def test_certificate__of_what_nobody_measured_says_so(results):
    with pytest.raises(ss.ParameterError, match="nothing was measured"):
        ss.plot.certificate(replace(results["sketch"].certificate, errors=Errors()))


@pytest.mark.parametrize("picture", ["error_curve", "columns", "certificate", "throughput"])
def test_pictures__of_something_else_are_refused(picture):
    with pytest.raises(ss.ParameterError, match="of a Result, not of ndarray"):
        getattr(ss.plot, picture)(np.eye(3))


def test_module__is_no_part_of_a_star_and_draws_nothing_when_imported():
    assert "plot" not in ss.__all__
    code = "import sys, streamsparse as ss; ss.plot; print('matplotlib' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "False"


def test_module__has_an_example_that_runs():
    failures, count = doctest.testmod(ss.plot)
    assert (failures, count > 0) == (0, True)


def test_module__without_matplotlib_says_how_to_get_it():
    code = (
        "import sys; sys.modules['matplotlib'] = None; import numpy, streamsparse as ss; "
        "ss.plot.spectrum(numpy.eye(3))"
    )
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == (
        "ImportError: streamsparse.plot needs matplotlib: pip install 'streamsparse[plot]'"
    )

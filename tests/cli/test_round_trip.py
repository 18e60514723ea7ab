"""reduce, plan, info, certify and transform on tiny matrices in every form a path can have."""

import functools
import json
import shlex
import warnings

import numpy as np
import pytest

import streamsparse as ss
from html_tools import Parsed
from tolerances import sum_error_bound

CERTIFICATE = {
    "n",
    "d",
    "m",
    "method",
    "seed",
    "beta",
    "preprocess",
    "r",
    "trace",
    "spectral_error",
    "entry_error",
    "attention_error",
    "uniform_attention_error",
    "barrier_spectral_error",
    "regularised_error",
    "rms_entry_error",
    "most_rows_entry_error",
    "most_rows_attention_error",
    "all_rows_entry_error",
    "all_rows_attention_error",
    "bootstrap_entry_error",
    "checked_rows",
    "target",
    "epsilon",
    "met",
    "queries",
    "passes",
    "bytes_read",
    "peak_memory_bytes",
    "seconds",
    "integrity",
}
SOURCES = ["X.npy", "tall.npy", "X.zarr", "sparse.zarr"]
MEMORY = ["--memory", "2 GiB"]


def parsed(result):
    def refuse(literal):
        raise AssertionError(f"{literal} is not JSON")

    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout, parse_constant=refuse)


def fits_80_columns(result):
    assert result.exit_code == 0, result.stderr
    assert max(map(len, result.stdout.splitlines())) <= 80
    return result.stdout


def axis_of(source):
    return ["--feature-axis", "0"] if source == "tall.npy" else []


@pytest.mark.parametrize("source", SOURCES, indirect=True)
def test_round_trip__json_has_exactly_the_documented_keys(run, source, X):
    axis = axis_of(source)
    sketch = ["--method", "sketch", "--m", 64, *MEMORY, *axis]
    planned = parsed(run("plan", source, "--json", *sketch))
    reduced = parsed(run("reduce", source, "Y.zarr", "--json", *sketch))
    assert set(reduced) == {"out", "plan", "certificate"}
    assert reduced["out"] == "Y.zarr"
    assert reduced["plan"] == planned
    assert set(reduced["certificate"]) == CERTIFICATE

    checked = parsed(run("certify", source, "Y.zarr", "--exact", "--json", *MEMORY, *axis))
    assert set(checked) == CERTIFICATE
    assert checked["checked_rows"] == 6
    # Rows of norm 1: float32 products in tiles of 256, on either side.
    allowed = 4 * sum_error_bound(1.0, 257, np.float32)
    claimed = reduced["certificate"]["entry_error"]
    assert abs(checked["entry_error"]["value"] - claimed["value"]) <= allowed

    moved = parsed(run("transform", "Y.zarr", source, "Y2.zarr", "--json", *MEMORY, *axis))
    assert moved == {"out": "Y2.zarr", "n": 6, "m": 64}
    direct = ss.sparsify(X, "sketch", m=64, memory="2 GiB").Y
    for name in ("Y.zarr", "Y2.zarr"):
        np.testing.assert_array_equal(_stored(name), direct)


def _stored(path):
    import zarr

    return zarr.open_group(path, mode="r")["Y"][...]


@pytest.mark.parametrize("source", SOURCES, indirect=True)
def test_round_trip__text_fits_80_columns_and_names_the_next_command(run, source):
    axis = axis_of(source)
    fits_80_columns(run("info", source, *axis))
    fits_80_columns(run("plan", source, *axis))
    reduced = fits_80_columns(run("reduce", source, "Y.zarr", *MEMORY, *axis))
    assert "attention error" in reduced
    assert "auto chose exact" in reduced
    assert "wrote Y.zarr" in reduced
    shown = reduced.partition("next:")[2]
    program, *words = shlex.split(shown.replace("\\\n", " "))
    assert (program, words[0]) == ("streamsparse", "certify")
    assert "all 6 rows were compared" in fits_80_columns(run(*words))
    fits_80_columns(run("info", "Y.zarr"))


@pytest.mark.parametrize("source", ["X.zarr", "sparse.zarr"], indirect=True)
def test_info__a_source(run, source):
    facts = parsed(run("info", source, "--json"))
    sparse = source == "sparse.zarr"
    assert facts == {
        "kind": "Zarr group, sparse" if sparse else "Zarr array",
        "path": source,
        "n": 6,
        "d": 500,
        "dtype": "float32",
        "nnz": 3000 if sparse else None,
        "unit": facts["unit"],
        "stored_bytes": facts["stored_bytes"],
        "codec": facts["codec"],
        "integrity": "checksummed",
        "column_names": None,
        "auto": facts["auto"],
        "chunks": {"initialized": 7, "total": 7} if sparse else {"initialized": 4, "total": 4},
    }
    assert facts["stored_bytes"] > 0
    assert facts["auto"]["method"] == ss.plan(source).method
    text = fits_80_columns(run("info", source))
    assert "would take exact" in text
    assert text.endswith(f"next:  streamsparse plan {source}\n")


@pytest.mark.parametrize("source", ["tall.npy"], indirect=True)
def test_info__goes_on_with_the_axis_it_was_told(run, source):
    text = fits_80_columns(run("info", source, "--feature-axis", 0))
    assert text.endswith("next:  streamsparse plan tall.npy --feature-axis 0\n")


@pytest.mark.parametrize("source", ["X.npy"], indirect=True)
def test_info__says_why_auto_would_refuse(run, source, monkeypatch):
    @functools.wraps(ss.plan)
    def plan(*args, **kwargs):
        raise ss.BudgetTooSmallError("needs 3 GiB,\nhas 1")

    monkeypatch.setattr(ss, "plan", plan)
    assert parsed(run("info", source, "--json"))["auto"]["method"] is None
    assert "would refuse: needs 3 GiB, has 1" in fits_80_columns(run("info", source))


def test_info__shows_the_first_and_the_last_name_of_the_columns(run, tmp_path):
    import zarr

    # As AnnData lays them out.
    table = zarr.create_group(tmp_path / "table.zarr", attributes={"encoding-type": "anndata"})
    table.create_array("X", data=np.ones((3, 40), np.float32), chunks=(3, 10))
    var = table.create_group("var", attributes={"_index": "genes"})
    with warnings.catch_warnings():
        # zarr says that its string type may yet change.
        warnings.simplefilter("ignore")
        var.create_array("genes", shape=40, dtype="str")[:] = [f"gene{k}" for k in range(40)]
    facts = parsed(run("info", "table.zarr/X", "--json"))
    assert facts["column_names"] == ["gene0", "gene39"]
    assert "columns gene0 to gene39" in fits_80_columns(run("info", "table.zarr/X"))


@pytest.mark.parametrize("source", ["X.npy"], indirect=True)
def test_info__results_and_transformed_rows(run, source):
    run("reduce", source, "Y.zarr", "--method", "sketch", "--m", 32)
    run("transform", "Y.zarr", source, "Y2.zarr")
    result = parsed(run("info", "Y.zarr", "--json"))
    assert set(result) == {"kind", "path", "plan", "certificate"}
    assert set(result["certificate"]) == CERTIFICATE
    rows = parsed(run("info", "Y2.zarr", "--json"))
    assert (rows["kind"], rows["n"], rows["m"]) == ("transformed", 6, 32)
    assert rows["transform_of"] == result["certificate"]
    assert "new rows" in fits_80_columns(run("info", "Y2.zarr"))


@pytest.mark.parametrize("source", ["X.npy"], indirect=True)
def test_info__writes_the_report_of_a_result_and_of_nothing_else(run, source, tmp_path):
    run("reduce", source, "Y.zarr", "--method", "sketch", "--m", 64, *MEMORY)
    page = tmp_path / "report.html"
    shown = fits_80_columns(run("info", "Y.zarr", "--report", "report.html"))
    assert shown.endswith("wrote report.html\n")
    first = page.read_bytes()
    Parsed(first.decode())
    refused = run("info", "Y.zarr", "--report", "report.html")
    assert refused.exit_code == 1
    assert "already exists" in refused.stderr
    facts = parsed(run("info", "Y.zarr", "--report", "report.html", "-f", "--json"))
    assert facts["kind"] == "result"
    assert page.read_bytes() == first
    run("transform", "Y.zarr", source, "Z.zarr", *MEMORY)
    for path in (source, "Z.zarr"):
        assert run("info", path, "--report", "other.html").exit_code == 2
    assert run("info", "Y.zarr", "-f").exit_code == 2
    assert not (tmp_path / "other.html").exists()


@pytest.mark.parametrize("source", ["X.npy"], indirect=True)
def test_info__of_a_result_ends_with_commands_that_go_on(run, source):
    run("reduce", source, "Y.zarr", "--method", "sketch", "--m", 32)
    *_, first, second = fits_80_columns(run("info", "Y.zarr")).splitlines()
    assert first == "next:  streamsparse certify X.npy Y.zarr"
    assert second == "   or  streamsparse transform Y.zarr NEW_ROWS NEW_OUT"
    assert run(*shlex.split(first)[2:]).exit_code == 0
    moved = shlex.split(second.replace("NEW_ROWS", source))[2:]
    assert run(*moved).exit_code == 0


@pytest.mark.parametrize("source", ["X.zarr"], indirect=True)
def test_info__counts_the_chunks_that_are_absent(run, source, tmp_path):
    next((tmp_path / source / "c").rglob("3")).unlink()
    assert parsed(run("info", source, "--json"))["chunks"] == {"initialized": 3, "total": 4}
    assert run("reduce", source, "Y.zarr").exit_code == 1
    assert run("reduce", source, "Y.zarr", "--missing", "fill").exit_code == 0


@pytest.mark.parametrize("source", ["X.npy"], indirect=True)
def test_reduce__replaces_only_with_force(run, source):
    assert run("reduce", source, "Y.zarr").exit_code == 0
    refused = run("reduce", source, "Y.zarr")
    assert refused.exit_code == 1
    assert "Y.zarr already exists" in refused.stderr
    assert run("reduce", source, "Y.zarr", "-f").exit_code == 0


@pytest.mark.parametrize("source", ["X.npy"], indirect=True)
def test_plan__writes_nothing_and_takes_the_arguments_of_reduce(run, source, tmp_path):
    words = [source, "Y.zarr", "--missing", "fill", "--nonfinite", "zero", "-f", "--beta", 2]
    assert parsed(run("plan", *words, "--json"))["beta"] == 2
    assert not (tmp_path / "Y.zarr").exists()
    assert run("reduce", *words).exit_code == 0


@pytest.mark.parametrize("source", ["X.npy"], indirect=True)
def test_certify__samples_rows(run, source):
    run("reduce", source, "Y.zarr")
    certificate = parsed(run("certify", source, "Y.zarr", "--rows", 2, "--json"))
    assert certificate["checked_rows"] == 2
    assert certificate["spectral_error"] is None


def test_append_and_remove__of_a_result_by_the_command_line(run, X, tmp_path):
    for name, columns in {"a": X[:, :300], "b": X[:, 300:]}.items():
        np.save(tmp_path / f"{name}.npy", columns)
    run("reduce", "a.npy", "A.zarr", "--method", "sketch", "--m", 64, *MEMORY)
    shown = fits_80_columns(run("append", "A.zarr", "b.npy", "Y.zarr", *MEMORY))
    assert "wrote Y.zarr" in shown
    assert "next:  streamsparse info Y.zarr" in shown
    assert "of columns" not in shown
    whole = ss.sparsify(X, "sketch", m=64)
    # Sums of at most 500 numbers below 1, scaled and put together.
    bound = sum_error_bound(2 * np.abs(X).sum(axis=1).max(), 510)
    np.testing.assert_allclose(ss.load("Y.zarr").Y[:], whole.Y, rtol=0, atol=bound)
    assert run("append", "Y.zarr", "b.npy", "Z.zarr", "--start", 499).exit_code == 1
    back = parsed(run("remove", "Y.zarr", "a.npy", "B.zarr", "--start", 0, "--json", *MEMORY))
    assert set(back) == {"out", "plan", "certificate", "intervals"}
    assert (back["out"], back["intervals"]) == ("B.zarr", [[300, 500]])
    assert back["certificate"]["d"] == 500
    assert "of columns 300 to 499" in fits_80_columns(run("info", "B.zarr"))
    assert run("remove", "Y.zarr", "a.npy", "C.zarr").exit_code == 2


@pytest.mark.parametrize("source", ["X.npy"], indirect=True)
def test_transform__refuses_a_method_that_keeps_no_map(run, source):
    run("reduce", source, "Y.zarr", "--method", "exact")
    result = run("transform", "Y.zarr", source, "Y2.zarr")
    assert result.exit_code == 1
    assert "keeps no map" in result.stderr


@pytest.mark.parametrize("source", ["X.npy"], indirect=True)
def test_reduce__a_missed_epsilon_is_a_warning_line(run, source):
    words = ["--method", "sketch", "--epsilon", "0.001", "--target", "entries"]
    result = run("reduce", source, "Y.zarr", *words, "--json")
    assert "Traceback" not in result.stderr
    if parsed(result)["certificate"]["entry_error"]["value"] > 0.001:
        assert result.stderr.startswith("streamsparse: warning: ")


def test_reduce__no_output_is_left_by_a_failed_run(run, X, tmp_path):
    X[2, 7] = np.nan
    np.save(tmp_path / "bad.npy", X)
    result = run("reduce", "bad.npy", "Y.zarr")
    assert result.exit_code == 1
    assert result.stderr.startswith("streamsparse: error: ")
    assert [path.name for path in tmp_path.iterdir()] == ["bad.npy"]
    assert run("reduce", "bad.npy", "Y.zarr", "--nonfinite", "zero").exit_code == 0


@pytest.mark.parametrize("source", ["X.npy", "sparse.zarr"], indirect=True)
def test_sample__keeps_columns_and_maps_new_rows_through_them(run, source, X):
    made = run("reduce", source, "Y.zarr", "--method", "sample", "--m", 40, *MEMORY)
    text = fits_80_columns(made)
    assert "method sample" in text
    assert "2 passes" in text
    result = ss.load("Y.zarr")
    Y = result.Y.toarray() if source == "sparse.zarr" else result.Y[:]
    np.testing.assert_array_equal(Y, X[:, result.columns] * np.sqrt(result.weights))
    moved = parsed(run("transform", "Y.zarr", source, "Y2.zarr", "--json", *MEMORY))
    assert moved == {"out": "Y2.zarr", "n": 6, "m": result.columns.size}


@pytest.mark.parametrize("target", ["attention", "entries", "spectral", "regularised"])
def test_reduce__says_whether_epsilon_was_met_for_every_target(run, tmp_path, target):
    np.save("X.npy", np.random.default_rng(0).standard_normal((30, 4000)))
    asked = ["--method", "sketch", "--epsilon", 0.4, "--target", target, "--beta", 1e-4]
    made = run("reduce", "X.npy", "Y.zarr", "--json", *asked, *MEMORY)
    certificate = parsed(made)["certificate"]
    assert (certificate["target"], certificate["epsilon"]) == (target, 0.4)
    assert certificate["met"] is ("warning" not in made.stderr)


def test_certify__bounds_the_spectral_error_of_many_rows(run):
    np.save("X.npy", np.random.default_rng(0).standard_normal((260, 3000)))
    run("reduce", "X.npy", "Y.zarr", "--method", "exact", *MEMORY)
    checked = parsed(
        run("certify", "X.npy", "Y.zarr", "--spectral", 2, "--delta", 0.05, "--json", *MEMORY)
    )
    assert checked["spectral_error"]["kind"] == "bound"
    assert checked["spectral_error"]["confidence"] == 0.95
    assert checked["regularised_error"] == checked["spectral_error"]
    assert checked["passes"] == 2
    assert checked["checked_rows"] < 260


@pytest.mark.parametrize("source", ["X.npy", "sparse.zarr"], indirect=True)
@pytest.mark.parametrize(
    ("words", "preprocess"),
    [
        (["--center"], ss.Preprocess(center=True)),
        (["--standardize"], ss.Preprocess(center=True, scale=True)),
        (["--center", "--scale"], ss.Preprocess(center=True, scale=True)),
        (["--impute", "zero", "--missing-value", "0.5"], ss.Preprocess(False, False, "zero", 0.5)),
    ],
)
def test_reduce__preprocesses_as_python_does_and_certify_knows_it(run, source, words, preprocess):
    sketch = ["--method", "sketch", "--m", 64, *MEMORY, *words]
    planned = parsed(run("plan", source, "--json", *sketch))
    assert planned["preprocess"] == preprocess.to_dict()
    assert f"columns  {preprocess}" in fits_80_columns(run("plan", source, *sketch))
    reduced = parsed(run("reduce", source, "Y.zarr", "--json", *sketch))
    assert reduced["plan"] == planned
    direct = ss.sparsify(source, "sketch", m=64, memory="2 GiB", preprocess=preprocess)
    np.testing.assert_array_equal(_stored("Y.zarr"), direct.Y)
    checked = parsed(run("certify", source, "Y.zarr", "--json", *MEMORY))
    assert checked["preprocess"] == preprocess.to_dict()
    assert checked["entry_error"] == reduced["certificate"]["entry_error"]
    assert "of X with its columns" in fits_80_columns(run("info", "Y.zarr"))


@pytest.mark.parametrize("source", ["X.npy"], indirect=True)
def test_reduce__refuses_what_preprocess_cannot_mean_in_one_line(run, source):
    for words, text in (
        (["--missing-value", "-1"], "say with impute what they become"),
        (["--center", "--method", "sample"], "keeps columns of X as they are"),
    ):
        result = run("reduce", source, "Y.zarr", *words)
        assert result.exit_code == 1
        assert text in result.stderr
        assert len(result.stderr.splitlines()) == 1


def test_info__of_a_result_that_was_appended_to_asks_for_all_columns(run, tmp_path):
    X = np.random.default_rng(0).standard_normal((5, 90))
    ss.sparsify(X[:, :60], "sketch", m=8).append(X[:, 60:]).save(tmp_path / "Y.zarr")
    shown = run("info", "Y.zarr").stdout
    assert "next:  streamsparse certify ALL_COLUMNS Y.zarr" in shown

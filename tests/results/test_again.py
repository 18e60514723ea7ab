"""The call that a result names makes the same result, to the last bit."""

import shlex
from dataclasses import replace

import numpy as np
import pytest
import scipy.sparse
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

import streamsparse as ss
from drivers import facts_of_size, request
from streamsparse.cli.main import cli
from streamsparse.errors import BudgetTooSmallError, ParameterError
from streamsparse.methods.auto import make_plan
from streamsparse.methods.products import dense_rows
from streamsparse.results.again import arguments_of, command_line, python_call

REQUESTS = [
    {},
    {"method": "exact"},
    {"method": "exact", "m": 5, "beta": 0.5},
    {"method": "exact", "epsilon": 0.2},
    {"method": "exact", "preprocess": "standardize"},
    {"method": "sketch", "m": 64, "preprocess": ss.Preprocess(True, False, "mean", -1.5)},
    {"method": "sketch"},
    {"method": "sketch", "target": "spectral", "s": 2, "seed": 2**64 - 1},
    {"method": "sketch", "m": 64, "seed": 7, "s": 4},
    {"method": "sketch", "epsilon": 0.3, "target": "entries", "delta": 0.05},
    {"method": "sketch", "epsilon": 0.9, "target": "regularised"},
    {"method": "sketch", "strict": True, "target": "entries", "delta": 0.9, "epsilon": 0.9},
    {"method": "sample"},
    {"method": "sample", "m": 100, "memory": "2 GiB"},
    {"method": "sample", "epsilon": 0.9, "target": "entries"},
    {"method": "select", "algorithm": "balance"},
    {"method": "select", "algorithm": "balance", "m": 60, "target": "entries"},
    {"method": "select", "algorithm": "bss", "m": 60},
    {"method": "select", "epsilon": 0.5, "target": "spectral"},
]


@pytest.fixture(scope="module")
def X():
    return np.random.default_rng(0).standard_normal((12, 3000)).astype(np.float32)


@given(
    n=st.integers(1, 10**4),
    d=st.integers(1, 10**7),
    nnz=st.none() | st.integers(1, 10**6),
    memory=st.integers(256 << 20, 16 << 30),
    asked=st.fixed_dictionaries(
        {
            "method": st.sampled_from(["auto", "sketch", "sample", "exact"]),
            "target": st.sampled_from(["attention", "entries", "spectral", "regularised"]),
            "seed": st.integers(0, 2**64 - 1),
            "s": st.sampled_from([1, 2, 4, 8]),
            "strict": st.booleans(),
            "has_output": st.booleans(),
        }
    )
    | st.fixed_dictionaries(
        {"method": st.just("select"), "algorithm": st.sampled_from(["auto", "bss", "balance"])}
    ),
    columns=st.fixed_dictionaries({"m": st.integers(1, 10**4)})
    | st.fixed_dictionaries({"epsilon": st.floats(0.01, 0.99)})
    | st.just({}),
)
def test_arguments__make_the_same_plan_of_any_matrix(n, d, nnz, memory, asked, columns):
    facts = facts_of_size(n, d, nnz=nnz and min(nnz, n * d))
    asked = {**asked, **columns, "memory": memory}
    try:
        plan = make_plan(facts, request(**asked), threads=2)
    except (BudgetTooSmallError, ParameterError):
        return
    given_again = arguments_of(plan) | {"has_output": asked.get("has_output", False)}
    # The source knows it, not the request.
    assert given_again.pop("feature_axis") == facts.feature_axis
    again = make_plan(facts, request(**given_again), threads=2)
    assert again.identity() == plan.identity()
    assert again.stream == plan.stream


def run(call, **names):
    space = dict(names)
    exec(call, space)
    return space["result"]


@pytest.mark.filterwarnings("ignore::streamsparse.StreamSparseWarning")
@pytest.mark.parametrize("asked", REQUESTS, ids=str)
def test_call__makes_the_same_bits(asked, X):
    first = ss.sparsify(X, **asked)
    again = run(python_call(first.plan), X=X)
    np.testing.assert_array_equal(dense_rows(again.Y), dense_rows(first.Y))
    assert again.plan.identity() == first.plan.identity()
    assert again.certificate.errors == first.certificate.errors


@pytest.mark.filterwarnings("ignore::streamsparse.StreamSparseWarning")
@pytest.mark.parametrize(
    "asked",
    [{"method": "sample"}, {"method": "sample", "strict": True, "epsilon": 0.9}],
    ids=str,
)
def test_call__makes_the_same_bits_of_many_sampled_rows(asked):
    X = np.random.default_rng(1).standard_normal((260, 3000))
    first = ss.sparsify(X, **asked | {"target": "spectral"})
    assert ("strict" in arguments_of(first.plan)) is asked.get("strict", False)
    again = run(python_call(first.plan), X=X)
    np.testing.assert_array_equal(again.Y, first.Y)


def test_call__leaves_out_m_where_rows_were_rescaled_because_it_was_not_given(X):
    first = ss.sparsify(X[:, :10], "sketch")
    assert first.plan.m == 10
    again = run(python_call(first.plan), X=X[:, :10])
    np.testing.assert_array_equal(again.Y, first.Y)


def test_call__of_a_pair_names_queries_and_keys(X):
    first = ss.sparsify_pair(X[:5], X[5:], "sketch", m=64, seed=3)
    again = run(python_call(first.plan), Q=X[:5], K=X[5:])
    np.testing.assert_array_equal(again.Y, first.Y)
    assert command_line(first.plan) is None


@pytest.mark.parametrize("asked", REQUESTS[5:7], ids=str)
def test_command__makes_the_same_bits_of_a_file(asked, X, tmp_path, monkeypatch):
    path = tmp_path / "it's X.npy"
    np.save(path, X)
    first = ss.sparsify(path, **asked)
    monkeypatch.chdir(tmp_path)
    shell = command_line(first.plan)
    program, *words = shlex.split(shell)
    assert program == "streamsparse"
    done = CliRunner().invoke(cli, words)
    assert done.exit_code == 0, done.output
    np.testing.assert_array_equal(ss.load("Y.zarr").Y[:], first.Y)
    np.testing.assert_array_equal(run(python_call(first.plan)).Y, first.Y)


@pytest.mark.parametrize("source", ["array", "sparse matrix", "dask array", "<Array>", "memory://"])
def test_command__is_none_for_what_is_no_file(X, source):
    plan = replace(ss.plan(X), source=source)
    assert command_line(plan) is None
    assert "ss.sparsify(\n    X,\n" in python_call(plan)


@pytest.mark.parametrize("make", [np.asarray, scipy.sparse.csc_array])
def test_call__takes_matrices_in_memory_for_no_files(X, make):
    assert command_line(ss.plan(make(X))) is None


def test_call__takes_dask_and_zarr_arrays_for_no_files(X):
    import dask.array
    import zarr

    assert command_line(ss.plan(dask.array.from_array(X))) is None
    assert command_line(ss.plan(zarr.array(X))) is None


def test_call__quotes_a_path_of_any_letters(X):
    plan = replace(ss.plan(X), source="/a'b\"\n</pre>.zarr")
    compile(python_call(plan), "", "exec")
    assert repr(plan.source) in python_call(plan)

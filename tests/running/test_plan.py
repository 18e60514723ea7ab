"""The plan is pure arithmetic: it is checked over thousands of shapes without any data."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

import streamsparse as ss
from drivers import facts_of_size as facts
from drivers import request
from html_tools import Parsed
from streamsparse.errors import BudgetTooSmallError, ParameterError
from streamsparse.methods.auto import make_plan
from streamsparse.running.plan import Plan
from streamsparse.running.stream import BASE_BYTES
from streamsparse.units import printable

MIB = 1 << 20


@given(
    n=st.integers(1, 10**5),
    d=st.integers(1, 10**8),
    unit=st.tuples(st.integers(1, 10**5), st.integers(1, 10**6)),
    density=st.one_of(st.none(), st.floats(1e-6, 0.5)),
    memory=st.integers(256 * MIB, 64 * 1024 * MIB),
    method=st.sampled_from(["auto", "sketch", "sample", "exact"]),
    m=st.one_of(st.none(), st.integers(1, 10**4)),
    has_output=st.booleans(),
)
def test_make_plan__never_projects_more_than_the_budget(
    n, d, unit, density, memory, method, m, has_output
):
    nnz = None if density is None else max(1, int(density * n * d))
    assume(m is None or (m <= d and (method != "exact" or m <= n)))
    given_facts = facts(n, d, unit, nnz)
    asked = request(method=method, m=m, memory=memory, has_output=has_output)
    try:
        plan = make_plan(given_facts, asked, threads=2)
    except BudgetTooSmallError as error:
        refusal = str(error)
        plan = None
    if plan is None:
        assert "budget is" in refusal
        assert "raise memory to" in refusal
        return
    stream = plan.stream
    assert BASE_BYTES <= stream.peak_memory_bytes <= memory
    assert stream.block_bytes >= 1
    assert stream.passes >= 1
    assert stream.in_flight >= 1
    assert stream.bytes_to_read >= given_facts.stored_bytes
    assert stream.spans * stream.span_width >= d
    if plan.method == "exact":
        assert stream.bands == 1
    if stream.bands == 1 and not stream.rebucket and plan.nnz is None:
        assert stream.block_bytes >= min(given_facts.unit_bytes(n), given_facts.decoded_bytes)
    assert Plan.from_dict(plan.to_dict()) == plan
    assert max(map(len, str(plan).splitlines())) <= 80


def test_make_plan__a_refusal_names_a_budget_that_then_works():
    for asked in (
        request(method="exact", memory="256 MiB"),
        request(method="sketch", m=8192, memory="256 MiB"),
        request(method="sketch", m=65536, memory="200 MiB", has_output=True),
    ):
        with pytest.raises(BudgetTooSmallError) as caught:
            make_plan(facts(n=3000), asked, threads=2)
        text = str(caught.value).split("raise memory to ")[1]
        number, unit = text.split()[:2]
        enough = int(float(number) * {"MiB": MIB, "GiB": 1024 * MIB}[unit.rstrip(",;")] * 1.01)
        make_plan(facts(n=3000), replace(asked, memory=enough), threads=2)


def test_make_plan__is_exact_for_few_rows_and_a_sketch_for_many():
    few = make_plan(facts(n=200), request(), threads=2)
    wide = facts(n=10**4, unit=(10**4, 256))
    many = make_plan(wide, request(m=1024, memory="16 GiB"), threads=2)
    assert few.method == "exact"
    assert "no error but rounding" in few.why
    assert many.method == "sketch"
    assert "faster" in many.why


def test_make_plan__falls_back_to_a_sketch_when_the_gram_matrix_does_not_fit():
    plan = make_plan(facts(n=20_000, unit=(1000, 256)), request(m=256), threads=2)
    assert plan.method == "sketch"
    assert "does not fit" in plan.why


def test_make_plan__uses_row_bands_when_Y_exceeds_the_budget_and_goes_to_disk():
    big = facts(n=10**6, d=10**6, unit=(1000, 1000))
    with pytest.raises(BudgetTooSmallError, match="give out="):
        make_plan(big, request(method="sketch", m=1024), threads=2)
    plan = make_plan(big, request(method="sketch", m=1024, has_output=True), threads=2)
    assert plan.stream.bands > 1
    assert plan.stream.passes == 1
    assert plan.stream.band_rows % 1000 == 0


def test_make_plan__rewrites_row_banded_input_for_the_gram_matrix():
    banded = facts(n=500, d=10**6, unit=(1, 10**6), nnz=10**8)
    plan = make_plan(banded, request(method="exact", memory="512 MiB"), threads=2)
    assert plan.stream.rebucket
    assert plan.stream.temporary_disk_bytes >= 10**8 * 8
    assert "temporary disk" in str(plan)


def test_make_plan__says_how_often_it_reads():
    # Chunks of all rows, a state for a part of them only: every band reads everything again.
    columns = facts(n=10**5, d=10**5, unit=(10**5, 10))
    plan = make_plan(
        columns, request(method="sketch", m=4096, memory="1 GiB", has_output=True), threads=2
    )
    assert plan.stream.passes >= plan.stream.bands > 1
    assert plan.stream.bytes_to_read >= plan.stream.passes * columns.stored_bytes
    assert f"{plan.stream.passes} times" in str(plan)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"m": 10**7}, "at most d"),
        ({"m": 2000, "method": "exact"}, "at most n"),
    ],
)
def test_make_plan__refuses_an_m_that_cannot_be(changes, message):
    with pytest.raises(ParameterError, match=message):
        make_plan(facts(), request(**changes), threads=2)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"m": 0}, "m must be at least 1"),
        ({"m": 2.5}, "m must be an integer"),
        ({"m": 5, "epsilon": 0.1}, "m or epsilon"),
        ({"epsilon": 0}, "epsilon must lie in"),
        ({"epsilon": 1}, "epsilon must lie in"),
        ({"epsilon": float("nan")}, "epsilon must lie in"),
        ({"delta": 0}, "delta must lie in"),
        ({"delta": 1.5}, "delta must lie in"),
        ({"method": "magic"}, "method must be one of"),
        ({"algorithm": "magic", "method": "select"}, "algorithm must be one of"),
        ({"algorithm": "bss"}, "is of method .select., not .auto."),
        ({"continues": True, "method": "sample"}, "start is of method .select."),
        ({"target": "magic"}, "target must be one of"),
        ({"beta": -1}, "beta must be"),
        ({"beta": float("inf")}, "beta must be"),
        ({"seed": -1}, "seed must be"),
        ({"seed": None}, "seed must be"),
        ({"memory": "lots"}, "memory must be"),
        ({"memory": 0}, "memory must be positive"),
        ({"s": 3}, "s must be 1, 2, 4 or 8"),
        ({"s": 16}, "s must be between 1 and 8"),
        ({"s": True}, "s must be an integer"),
        ({"strict": 1}, "strict must be True or False, not 1"),
        ({"strict": "yes"}, "strict must be True or False"),
        ({"strict": None}, "strict must be True or False"),
        ({"target": "regularized"}, "target must be one of .*'regularised'"),
        ({"method": "sampling"}, "method must be one of .*'sample'"),
    ],
)
def test_check_request__names_the_bad_parameter(changes, message):
    with pytest.raises(ParameterError, match=message):
        request(**changes)


@pytest.mark.parametrize(
    ("changes", "kind", "words"),
    [
        ({"method": "exact"}, "proved", "no error but rounding"),
        ({"method": "exact", "m": 5}, "proved", "Eckart-Young"),
        ({"method": "sketch"}, "empirical", "attention at most 2 tanh"),
        ({"method": "sketch", "target": "entries"}, "empirical", "entry error at most"),
        ({"method": "sketch", "target": "spectral"}, "empirical", "Gaussian reference"),
        ({"method": "sketch", "target": "regularised"}, "empirical", "Gaussian reference"),
        ({"method": "sketch", "m": 64}, "none", "the entrywise bound gives nothing"),
        ({"method": "sketch", "m": 64, "target": "spectral"}, "none", "gives nothing"),
        ({"method": "sketch", "m": 64, "strict": True}, "none", "Theorem 2 gives nothing"),
        ({"method": "sample", "m": 64}, "none", "exact number of columns"),
        ({"method": "sample"}, "none", "up to 16 n columns"),
        ({"method": "sample", "epsilon": 0.5}, "empirical", "if r lets so few columns do"),
        ({"method": "sketch", "s": 1, "target": "spectral"}, "none", "no formula holds for s = 1"),
        ({"method": "sketch", "epsilon": 0.2}, "empirical", "of the sketch itself"),
        ({"method": "sample", "epsilon": 0.5, "target": "entries"}, "proved", "exact scores"),
    ],
)
def test_make_plan__says_what_is_known_of_the_error(changes, kind, words):
    plan = make_plan(facts(n=100), request(memory="4 GiB", **changes), threads=2)
    assert plan.promise_kind == kind
    assert words in plan.promise
    assert f"promise  {kind}: " in str(plan)


def test_make_plan__of_many_rows_scores_columns_by_a_sketch_unless_strict():
    asked = request(method="sample", epsilon=0.5, target="spectral", memory="4 GiB")
    plan = make_plan(facts(n=300), asked, threads=2)
    assert (plan.promise_kind, plan.sketch_columns) == ("empirical", 2432)
    assert "estimated scores" in plan.promise
    strict = make_plan(facts(n=300), replace(asked, strict=True), threads=2)
    assert (strict.promise_kind, strict.sketch_columns) == ("proved", None)


@pytest.mark.parametrize("target", ["spectral", "entries", "regularised"])
def test_make_plan__strict_takes_the_columns_of_the_theorem_with_its_hash(target):
    asked = request(method="sketch", strict=True, epsilon=0.5, target=target, memory="16 GiB")
    plan = make_plan(facts(n=10), asked, threads=2)
    # n (n + 1) / (epsilon^2 delta); what a theorem speaks of is not folded.
    assert plan.sketch_columns == 44_000
    assert not plan.exact_diagonal
    assert (plan.promise_kind, plan.hash, plan.s) == ("proved", "poly4", 1)
    assert "Theorem 2" in plan.promise
    easy = make_plan(facts(n=10), replace(asked, strict=False), threads=2)
    assert (easy.hash, easy.s) == ("splitmix", 8)
    assert easy.sketch_columns < plan.sketch_columns


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"method": "sketch"}, "Theorem 2 needs more than"),
        ({"method": "sketch", "epsilon": 0.5}, "Theorem 2 needs more than"),
        ({"method": "sample", "m": 500}, "no theorem covers a sample of an exact size"),
        ({"method": "sample", "epsilon": 0.5}, "depend on r, unknown before the pass"),
    ],
)
def test_make_plan__strict_refuses_what_no_theorem_covers(changes, message):
    with pytest.raises(ParameterError, match=message):
        make_plan(facts(n=1000), request(strict=True, memory="8 GiB", **changes), threads=2)


@pytest.mark.parametrize("target", ["spectral", "entries", "regularised"])
def test_make_plan__strict_refuses_more_columns_than_X_has(target):
    asked = request(method="sketch", strict=True, epsilon=0.1, target=target)
    with pytest.raises(ParameterError, match=r"= 10,010,000,000 columns, more than d = 1,000,000"):
        make_plan(facts(n=1000), replace(asked, delta=0.01), threads=2)


def test_make_plan__auto_is_exact_where_a_strict_sketch_cannot_be():
    asked = request(strict=True, epsilon=0.1, target="entries", memory="4 GiB")
    plan = make_plan(facts(n=1000), asked, threads=2)
    assert plan.method == "exact"
    assert "does not meet the theorem" in plan.why


def test_make_plan__strict_does_not_shrink_a_theorem_to_the_budget():
    # 10^6 columns for 90 rows are 0.7 GiB a state.
    asked = request(method="sketch", strict=True, epsilon=0.9, target="entries", memory="512 MiB")
    with pytest.raises(BudgetTooSmallError, match="raise memory to"):
        make_plan(facts(n=90, d=10**8), asked, threads=2)


@given(
    n=st.integers(1, 10**5),
    d=st.integers(1, 10**8),
    density=st.one_of(st.none(), st.floats(1e-6, 0.5)),
    changes=st.fixed_dictionaries(
        {
            "method": st.sampled_from(["auto", "sketch", "sample", "exact"]),
            "epsilon": st.floats(0.01, 0.99),
            "target": st.sampled_from(["attention", "entries", "spectral", "regularised"]),
            "strict": st.booleans(),
            "memory": st.integers(256 * MIB, 64 * 1024 * MIB),
            "has_output": st.booleans(),
        }
    ),
)
def test_make_plan__for_an_epsilon_stays_within_the_budget_and_promises_what_it_does(
    n, d, density, changes
):
    nnz = None if density is None else max(1, int(density * n * d))
    try:
        plan = make_plan(facts(n, d, (1000, 4096), nnz), request(**changes), threads=2)
    except (BudgetTooSmallError, ParameterError):
        return
    assert plan.stream.peak_memory_bytes <= changes["memory"]
    assert plan.promise_kind in {"proved", "empirical", "none"}
    assert plan.promise
    assert 0 <= plan.checked_rows <= n
    if plan.method == "sketch":
        assert 1 <= plan.sketch_columns <= d
        assert plan.hash == ("poly4" if changes["strict"] else "splitmix")
        assert plan.promise_kind != "empirical" or not changes["strict"]
    if plan.method == "sample":
        assert 1 <= plan.most_columns <= d
        assert plan.stream.passes >= 2
    assert Plan.from_dict(plan.to_dict()) == plan
    assert max(map(len, str(plan).splitlines())) <= 80


@given(source=st.text(st.characters(codec=None)), why=st.text())
def test_plan__shows_itself_within_80_columns_and_as_text_whatever_its_names_are(source, why):
    plan = make_plan(facts(), request(method="sketch", m=512, memory="2 GiB"), threads=2)
    plan = replace(plan, source=source, why=why, seed=2**64 - 1)
    lines = repr(plan).split("\n")
    assert lines[0] == "Plan"
    assert max(map(len, lines)) <= 80
    assert repr(plan) == f"Plan\n{plan}"
    text = Parsed(plan._repr_html_()).text
    assert printable(source) in text
    assert printable(f"sketch: {why}") in text


def test_plan__card_has_what_its_lines_have():
    plan = make_plan(facts(), request(method="exact", memory="2 GiB"), threads=2)
    text = Parsed(plan._repr_html_()).text
    for line in str(plan).splitlines():
        if not line.startswith(" "):
            assert line.split(" ")[0] in text.split("\n")
    assert "1,000 of 1,000 rows computed exactly" in text


def test_plan__notes_more_rows_than_columns():
    tall = " ".join(str(ss.plan(np.ones((50, 4)), "exact")).split())
    assert "note more rows than columns" in tall
    assert "feature_axis=0 (--feature-axis 0)" in tall
    assert "note" not in str(ss.plan(np.ones((4, 50)), "exact"))

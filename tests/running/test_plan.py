"""The plan is pure arithmetic: it is checked over thousands of shapes without any data."""

from dataclasses import replace

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from streamsparse.api.arguments import check_request
from streamsparse.errors import BudgetTooSmallError, ParameterError
from streamsparse.methods.auto import make_plan
from streamsparse.running.facts import Facts
from streamsparse.running.plan import Plan
from streamsparse.running.stream import BASE_BYTES

MIB = 1 << 20


def facts(n=1000, d=10**6, unit=(1000, 4096), nnz=None, overhead=4 * MIB):
    return Facts(
        name="x.zarr",
        n=n,
        d=d,
        dtype="float32",
        block_itemsize=4,
        nnz=nnz,
        unit=(min(unit[0], n), min(unit[1], d)),
        stored_bytes=4 * n * d if nnz is None else 8 * nnz,
        read_overhead_bytes=overhead,
        entry_bytes=0 if nnz is None else 16,
        clipped_entry_bytes=0 if nnz is None else 48,
        largest_unit_entries=0 if nnz is None else min(nnz, n),
        opening_passes=0,
    )


def request(**changes):
    defaults = {
        "method": "auto",
        "m": None,
        "epsilon": None,
        "target": "attention",
        "delta": 0.01,
        "beta": 1.0,
        "seed": 0,
        "memory": "1 GiB",
        "feature_axis": 1,
        "s": 8,
        "has_output": False,
    }
    return check_request(**(defaults | changes))


@given(
    n=st.integers(1, 10**5),
    d=st.integers(1, 10**8),
    unit=st.tuples(st.integers(1, 10**5), st.integers(1, 10**6)),
    density=st.one_of(st.none(), st.floats(1e-6, 0.5)),
    memory=st.integers(256 * MIB, 64 * 1024 * MIB),
    method=st.sampled_from(["auto", "sketch", "exact"]),
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
    assert max(map(len, str(plan).splitlines())) <= 80 or "x.zarr" not in str(plan)


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
        ({"method": "select"}, "not available"),
        ({"target": "magic"}, "target must be one of"),
        ({"beta": -1}, "beta must be"),
        ({"beta": float("inf")}, "beta must be"),
        ({"seed": -1}, "seed must be"),
        ({"seed": None}, "seed must be"),
        ({"memory": "lots"}, "memory must be"),
        ({"memory": 0}, "memory must be positive"),
        ({"feature_axis": 2}, "feature_axis must be between 0 and 1"),
        ({"s": 3}, "s must be 1, 2, 4 or 8"),
    ],
)
def test_check_request__names_the_bad_parameter(changes, message):
    with pytest.raises(ParameterError, match=message):
        request(**changes)

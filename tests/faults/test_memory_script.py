"""A few cells of ``scripts/faults/memory.py``; its table."""

import os

import memory
import pytest


@pytest.mark.slow
@pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="needs /proc")
def test_memory_matrix__peak_is_within_plan_is_within_budget(capsys, monkeypatch):
    monkeypatch.setattr("sys.argv", ["memory.py", "--small"])
    assert memory.main() == 0
    assert "1 refused before a value was read" in capsys.readouterr().out


def cell(d, **changes):
    return memory.Cell(**({"kind": "CSC", "method": "exact", "budget": "1 GB", "d": d} | changes))


def run(outcome="survived", measured=300, **more):
    return {
        "outcome": outcome,
        "measured": measured,
        "level": 300,
        "projected": 400,
        "budget": 500,
        "full": True,
    } | more


def test_memory_matrix__counts_cells_by_kind_and_width():
    found = {
        cell(1000): run(),
        cell(1000, method="sketch"): {"outcome": "refused", "why": "too small"},
        cell(10_000): run("silent", 450),
        cell(10_000, method="sketch"): {"outcome": "crashes", "why": "KeyError: 1"},
    }
    narrow, wide = memory.matrix(found)
    assert (narrow.injected, narrow.survived, narrow.is_kept) == (2, 2, True)
    assert (
        narrow.note
        == "at most 60% of the budget, 75% of the plan; 1 refused before a value was read"
    )
    assert (wide.silent, wide.crashes, wide.is_kept) == (1, 1, False)
    assert wide.note.endswith("KeyError: 1")


def test_memory_matrix__marks_a_peak_that_grows_with_d(capsys):
    found = {cell(1000): run(), cell(10_000): run(level=310), cell(100_000): run(level=311)}
    memory.print_slopes(found)
    rows = [line for line in capsys.readouterr().out.splitlines() if "| CSC |" in line]
    assert ["grows" in row for row in rows] == [True, False]


def test_memory_matrix__has_a_row_where_every_budget_is_refused():
    (row,) = memory.matrix({cell(1000): {"outcome": "refused", "why": "too small"}})
    assert row.note == "1 refused before a value was read"

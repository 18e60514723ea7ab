"""How a pass reads: a pure function of shapes, units, needs and a budget."""

from __future__ import annotations

from dataclasses import dataclass

from streamsparse.errors import BudgetTooSmallError
from streamsparse.running.facts import Facts
from streamsparse.running.spans import span_count, tree_depth
from streamsparse.units import format_bytes

# Interpreter, libraries and compiled kernels: measured 90-160 MiB anonymous, rounded up.
BASE_BYTES = 192 << 20
# A sketch reads and writes its sums once for every block: the wider a block, the less of them.
_MAX_BLOCK_BYTES = 64 << 20
_GOOD_BLOCK_BYTES = 8 << 20
# Chunks of rows in which the dense stage compares Y Y^T with G.
_FINISH_BYTES = 32 << 20
_MAX_IN_FLIGHT = 4
_MIN_BUCKET_BYTES = 1 << 20
# Below this many columns of Y, asking for fewer frees next to nothing.
_FEW_COLUMNS = 256


@dataclass(frozen=True, slots=True)
class Needs:
    """What a method asks of a pass, in cells (float64) per row of X.

    Attributes
    ----------
    state_cells : cells per row of one partial state.
    band_cells : cells per row that exist once, while a band is finished.
    kept_cells : cells per row that stay in memory, whatever happens to Y.
    result_cells : cells per row of Y while it is kept in memory.
    scratch_bytes : memory beside states and blocks during the pass.
    finish_bytes : memory of the dense stage after the pass, everything included.
    span_width : columns per span.
    whole_columns : True if a block must hold all n rows.
    scans : passes that the method makes.
    """

    state_cells: int
    band_cells: int
    kept_cells: int
    result_cells: int
    scratch_bytes: int
    finish_bytes: int
    span_width: int
    whole_columns: bool
    scans: int = 1


@dataclass(frozen=True, slots=True)
class Stream:
    """How a pass reads: decided before the first read.

    Attributes
    ----------
    bands : number of row bands; 1 means that every block holds whole columns.
    band_rows : most rows per band.
    block_bytes : most memory of one block.
    blocks : expected number of blocks.
    in_flight : blocks held at once.
    spans, span_width : the fixed units of summation.
    rebucket : True if X is first rewritten into a temporary column-blocked store.
    temporary_disk_bytes : disk that is taken meanwhile, and given back.
    passes : complete reads of the source.
    bytes_to_read : bytes read from the source, as stored.
    peak_memory_bytes : projected peak, interpreter included.
    """

    bands: int
    band_rows: int
    block_bytes: int
    blocks: int
    in_flight: int
    spans: int
    span_width: int
    rebucket: bool
    temporary_disk_bytes: int
    passes: int
    bytes_to_read: int
    peak_memory_bytes: int


def plan_stream(*, facts: Facts, needs: Needs, memory_budget: int, has_output: bool) -> Stream:
    """Decide how a pass reads X within the budget.

    Whole columns in one pass where they fit; row bands for methods that work row by row; else X is
    rewritten once by columns. ``has_output``: the result may go to disk band by band.

    Raises
    ------
    BudgetTooSmallError : with the bytes needed, the budget and what would help.
    """
    states = tree_depth(span_count(d=facts.d, width=needs.span_width)) + 1
    row_bytes = 8 * (needs.state_cells * states + needs.band_cells)
    always = BASE_BYTES + needs.scratch_bytes + 8 * needs.kept_cells * facts.n

    def pass_bytes(rows: int) -> int:
        return always + rows * row_bytes

    kept = 0 if has_output else 8 * needs.result_cells * facts.n
    finish = BASE_BYTES + _FINISH_BYTES + needs.finish_bytes
    whole = pass_bytes(facts.n)
    room = memory_budget - whole
    in_flight = _blocks_in_flight(facts, room, facts.unit_bytes(facts.n))
    if finish <= memory_budget and in_flight > 0:
        block = _block_bytes(facts, room, in_flight, facts.unit_bytes(facts.n))
        return _stream(facts, needs, 1, facts.n, block, in_flight, whole, finish)
    if not needs.whole_columns and (has_output or finish <= memory_budget):
        rows = _band_rows(facts, memory_budget - always - kept, row_bytes)
        if rows > 0:
            room = memory_budget - kept - pass_bytes(rows)
            in_flight = _blocks_in_flight(facts, room, facts.unit_bytes(rows))
            block = _block_bytes(facts, room, in_flight, facts.unit_bytes(rows))
            bands = -(-facts.n // rows)
            # Bands that go to disk are finished one by one: no dense stage over all rows.
            dense = 0 if has_output else finish
            return _stream(
                facts, needs, bands, rows, block, in_flight, kept + pass_bytes(rows), dense
            )
    if needs.whole_columns:
        block = _bucket_bytes(facts, room, memory_budget)
        if finish <= memory_budget and block > 0:
            return _rebucketed(facts, needs, whole, block)
        bucket = max(_MIN_BUCKET_BYTES, facts.unit_bytes(1))
        by_buckets = max(whole + 4 * bucket, _rewriting_bytes(facts, bucket))
        least = max(finish, min(by_buckets, whole + _room_for_one(facts, facts.n)))
    else:
        least = max(0 if has_output else finish, kept + pass_bytes(1) + _room_for_one(facts, 1))
    raise BudgetTooSmallError(_too_small(facts, needs, least, memory_budget, has_output))


def _room_for_one(facts: Facts, rows: int) -> int:
    """Return the memory in which the narrowest block of ``rows`` rows can be read and prepared."""
    return 2 * facts.unit_bytes(rows) + facts.read_overhead_bytes


def _bucket_bytes(facts: Facts, room: int, memory_budget: int) -> int:
    """Return the size of blocks while X is rewritten by columns and read again; 0 if none fits.

    Rewriting holds a block in two layouts and one buffer; the pass holds two buckets, and their
    prepared copies, beside its states.
    """
    smallest = max(_MIN_BUCKET_BYTES, facts.unit_bytes(1))
    rewriting = memory_budget - _rewriting_bytes(facts, 0)
    block = min(max(_MAX_BLOCK_BYTES, smallest), room // 4, rewriting // 3)
    return block if block >= smallest else 0


def _rewriting_bytes(facts: Facts, block: int) -> int:
    return BASE_BYTES + facts.read_overhead_bytes + 3 * block


def _blocks_in_flight(facts: Facts, room: int, unit_bytes: int) -> int:
    """Return how many blocks to hold at once, at most 4; 0 if not even one unit fits.

    Reading ahead is worth little if it makes blocks small: a block smaller than a stored chunk
    decodes that chunk again.
    """
    for in_flight in range(_MAX_IN_FLIGHT, 1, -1):
        if _block_bytes(facts, room, in_flight, unit_bytes) >= max(unit_bytes, _GOOD_BLOCK_BYTES):
            return in_flight
    return 1 if _block_bytes(facts, room, 1, unit_bytes) >= unit_bytes else 0


def _block_bytes(facts: Facts, room: int, in_flight: int, unit_bytes: int) -> int:
    """Return the memory for one block: every block in flight may exist in two layouts at once."""
    readers = max(1, in_flight - 1)
    free = room - readers * facts.read_overhead_bytes
    return min(max(_MAX_BLOCK_BYTES, unit_bytes), max(0, free) // (in_flight + readers))


def _band_rows(facts: Facts, room: int, row_bytes: int) -> int:
    """Return the most rows per band, whole units where they fit, so that states and a block fit."""
    unit_rows = min(facts.unit[0], facts.n)
    for unit in (unit_rows, 1):
        rows = facts.n // unit * unit or unit
        while rows >= unit:
            left = room - rows * row_bytes
            if _blocks_in_flight(facts, left, facts.unit_bytes(rows)) > 0:
                return rows
            rows = rows // 2 // unit * unit
    return 0


def _stream(
    facts: Facts,
    needs: Needs,
    bands: int,
    band_rows: int,
    block_bytes: int,
    in_flight: int,
    pass_bytes: int,
    finish: int,
) -> Stream:
    readers = max(1, in_flight - 1)
    narrow = facts.region_bytes(band_rows, facts.d)
    if facts.nnz is None:
        block_bytes = min(block_bytes, narrow)
    held = (in_flight + readers) * block_bytes + readers * facts.read_overhead_bytes
    passes = needs.scans * (bands if facts.unit[0] > band_rows else 1) + facts.opening_passes
    return Stream(
        bands=bands,
        band_rows=band_rows,
        block_bytes=block_bytes,
        blocks=needs.scans * bands * max(1, -(-narrow // max(1, block_bytes))),
        in_flight=in_flight,
        spans=span_count(d=facts.d, width=needs.span_width),
        span_width=needs.span_width,
        rebucket=False,
        temporary_disk_bytes=0,
        passes=passes,
        bytes_to_read=passes * facts.stored_bytes,
        peak_memory_bytes=max(pass_bytes + held, finish),
    )


def _rebucketed(facts: Facts, needs: Needs, whole: int, block: int) -> Stream:
    """Plan to rewrite X by columns; the buckets are then read like any other blocks."""
    finish = BASE_BYTES + _FINISH_BYTES + needs.finish_bytes
    return Stream(
        bands=1,
        band_rows=facts.n,
        block_bytes=block,
        blocks=-(-facts.decoded_bytes // block),
        in_flight=2,
        spans=span_count(d=facts.d, width=needs.span_width),
        span_width=needs.span_width,
        rebucket=True,
        temporary_disk_bytes=facts.decoded_bytes,
        passes=1 + facts.opening_passes,
        bytes_to_read=(1 + facts.opening_passes) * facts.stored_bytes,
        peak_memory_bytes=max(whole + 4 * block, _rewriting_bytes(facts, block), finish),
    )


def _too_small(
    facts: Facts, needs: Needs, needed: int, memory_budget: int, has_output: bool
) -> str:
    # Rounded up to what the text can say, or the next try fails by a hair.
    needed += -needed % (1 << 20)
    if needed > 1 << 30:
        needed += -needed % (16 << 20)
    remedies = [f"raise memory to {format_bytes(needed)}"]
    if needs.result_cells > _FEW_COLUMNS:
        remedies.append("ask for a smaller m")
    if not needs.whole_columns and not has_output:
        remedies.append("give out= so that Y goes to disk band by band")
    remedy = " or ".join(remedies)
    return (
        f"reducing {facts.name} ({facts.n:,} x {facts.d:,}) needs {format_bytes(needed)} of memory "
        f"but the budget is {format_bytes(memory_budget)}; {remedy}"
    )

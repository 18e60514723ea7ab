"""A pass in shares: what one process sums of it, and what is made of all of them.

A share is a range of spans; its sums are nodes of the merge tree. Put into a tree in the order of
their spans they give the bits of a pass that one process has made (DESIGN decisions 3 and 44).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TypeAlias

from streamsparse.accumulators.base import Accumulator
from streamsparse.arrays import Interval
from streamsparse.errors import ParameterError
from streamsparse.kernels.ranges import Each
from streamsparse.running.local import Execution, Found, Scan, add_blocks
from streamsparse.running.memory import return_memory_at_once
from streamsparse.running.spans import ARITY, Node, cover
from streamsparse.running.sums import Sums
from streamsparse.running.threads import worker_threads
from streamsparse.sources.base import Block, Source
from streamsparse.storing.records import Portable

# Takes (position of the band, number of the node in its share, its packed sums), in order.
Put: TypeAlias = Callable[[int, int, list[Portable]], None]
# Yields the nodes of a band (number of the pass, position of the band), by their spans.
Nodes: TypeAlias = Callable[[int, int], Iterator[tuple[Node, list[Portable]]]]

# Edges of shares are moved to those of groups of spans by at most a half of this share of one.
_UNEVENNESS = 8


class PassReachedError(Exception):
    """A method wants a pass that nobody has made yet: ``scan`` says what it computes."""

    def __init__(self, scan: Scan) -> None:
        super().__init__(f"pass {scan.number}")
        self.scan = scan


def share_of(number: int, count: int, *, spans: int) -> Interval:
    """Return the spans of share ``number``, 1 .. ``count``; together they have each span once.

    Edges lie on multiples of the largest power of 16 that makes no share an eighth larger than
    another: so it has few nodes.

    Raises
    ------
    ParameterError : for more shares than spans.
    """
    if count > spans:
        raise ParameterError(
            f"X has {spans:,} span{'s' if spans > 1 else ''}, which cannot be cut any further, so "
            f"{count:,} parts are too many: ask for at most {spans:,}"
        )
    group = 1
    while group * ARITY * _UNEVENNESS * count <= spans:
        group *= ARITY

    def edge(k: int) -> int:
        return spans if k == count else (k * spans // count + group // 2) // group * group

    return edge(number - 1), edge(number)


def columns_of(source: Source, spans: Interval, span_width: int) -> Interval:
    """Return the columns that have to be read for some spans: whole units."""
    unit, d = min(source.unit[1], source.shape[1]), source.shape[1]
    start, stop = (min(span * span_width, d) for span in spans)
    return start // unit * unit, min(-(-stop // unit) * unit, d)


class _ShareSums:
    """The sums of a share of a band: one node of the merge tree after the other."""

    def __init__(
        self,
        accumulators: Sequence[Accumulator],
        scan: Scan,
        share: Interval,
        put: Callable[[int, list[Portable]], None],
    ) -> None:
        self._accumulators, self._scan, self._put = accumulators, scan, put
        self._waiting = list(enumerate(cover(*share)))
        self._next()

    def _next(self) -> None:
        self._number, self._node = self._waiting.pop(0)
        self._sums = Sums(
            self._accumulators,
            self._scan.stream.span_width,
            spans=self._node.spans,
            remembers=False,
        )

    @property
    def first_column(self) -> int:
        return self._sums.first_column

    def add(self, block: Block, careful: Each, steady: Each) -> None:
        """Add the columns of a block; whatever node ends in it is put where it belongs."""
        d, width = self._scan.source.shape[1], self._scan.stream.span_width
        while True:
            self._sums.add(block, careful, steady)
            if self._sums.is_complete or block.columns[1] < min(self._node.spans[1] * width, d):
                return
            self._sums.complete(steady)
            self._put(self._number, self._sums.packed())
            if not self._waiting:
                return
            self._next()


def sum_share(scan: Scan, share: Interval, execution: Execution, put: Put) -> None:
    """Stream the columns of a share through fresh accumulators, band by band.

    Every node goes to ``put`` as soon as it is summed: one is held at a time, and its tree.

    Raises
    ------
    RunInterrupted : if a signal came.
    """
    return_memory_at_once()
    with worker_threads(execution.threads) as each:
        for position, rows in enumerate(scan.bands()):
            accumulators = list(scan.accumulators(rows).values())

            def keep(number: int, packed: list[Portable], position: int = position) -> None:
                execution.interrupts.check()
                put(position, number, packed)

            sums = _ShareSums(accumulators, scan, share, keep)
            columns = scan.source.cut(rows, scan.stream.block_bytes, execution.columns)
            with execution.interrupts.deferred():
                for added_bytes in add_blocks(sums, rows, columns, scan, execution, each):
                    execution.progress.advance(added_bytes)


class MadeElsewhere:
    """Gives a method the passes that others have summed, and ends it where it wants another.

    Parameters
    ----------
    nodes : finds their sums.
    passes : how many there are.
    """

    def __init__(self, nodes: Nodes, *, passes: int) -> None:
        self._nodes, self._passes = nodes, passes

    def run_bands(self, scan: Scan, execution: Execution) -> Iterator[tuple[Interval, Found]]:
        """Yield (band, what was found of it); one node is held at a time, and the tree.

        Raises
        ------
        PassReachedError : if the pass was not made.
        """
        if scan.number >= self._passes:
            raise PassReachedError(scan)
        for position, rows in enumerate(scan.bands()):
            made = scan.accumulators(rows)
            sums = scan.sums(made, remembers=False)
            with worker_threads(execution.threads) as each:
                for node, packed in self._nodes(scan.number, position):
                    execution.interrupts.check()
                    sums.take(node, packed, each)
                    execution.progress.advance(_bytes_of(node, scan, rows))
                sums.complete(each)
            yield rows, sums.results(made)


def join_shares(scan: Scan, nodes: Nodes, execution: Execution, put: Put) -> None:
    """Make the sums of a whole pass of those of its shares: what the tree holds at its end."""
    with worker_threads(execution.threads) as each:
        for position, rows in enumerate(scan.bands()):
            accumulators = list(scan.accumulators(rows).values())
            found = nodes(scan.number, position)
            for number, whole in enumerate(cover(0, scan.stream.spans)):
                sums = Sums(
                    accumulators, scan.stream.span_width, spans=whole.spans, remembers=False
                )
                while sums.span < whole.spans[1]:
                    execution.interrupts.check()
                    node, packed = next(found)
                    sums.take(node, packed, each)
                    execution.progress.advance(_bytes_of(node, scan, rows))
                sums.complete(each)
                put(position, number, sums.packed())


def _bytes_of(node: Node, scan: Scan, rows: Interval) -> int:
    """Return what a node counts in the progress."""
    start, stop = (min(k * scan.stream.span_width, scan.source.shape[1]) for k in node.spans)
    return int((stop - start) * scan.column_bytes(rows))

"""What is summed of a band of rows: the states of spans, merged by the fixed tree."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from streamsparse.accumulators.base import Accumulator, State
from streamsparse.arrays import Interval
from streamsparse.kernels.ranges import Each
from streamsparse.running.pieces import cut_pieces
from streamsparse.running.spans import MergeTree, Node
from streamsparse.sources.base import Block
from streamsparse.storing.records import Portable, count_bytes


class Sums:
    """What is summed of some spans: the merged states of those finished, and of the one in hand.

    Blocks come in column order; the states of the spans are merged by the fixed tree. The result
    depends on the data and the span width only.

    Parameters
    ----------
    accumulators : what is computed.
    span_width : columns per span.
    spans : which of them, [first, stop); columns of others are passed over.
    remembers : keep a copy of what accumulators remember, as it was when the last span ended.

    Attributes
    ----------
    span : the one in hand; all before are finished.
    is_complete : whether everything is merged into one state.
    """

    def __init__(
        self,
        accumulators: Sequence[Accumulator],
        span_width: int,
        *,
        spans: Interval,
        remembers: bool,
    ) -> None:
        self._accumulators, self._width, self._remembers = accumulators, span_width, remembers
        self._trees = [MergeTree(accumulator.merge) for accumulator in accumulators]
        # Of the span in hand, made when its first columns come.
        self._states: list[State] = []
        self._memories = self._remember()
        self.span, self._stop = spans
        self.is_complete = False

    @property
    def first_column(self) -> int:
        """Of the span in hand: all before are in finished spans."""
        return self.span * self._width

    @property
    def nbytes(self) -> int:
        """Bytes of the states, and about as many again of tiles that are not full."""
        states = zip(self._accumulators, self._states, strict=False)
        held = sum(count_bytes(accumulator.pack(state)) for accumulator, state in states)
        return held + count_bytes(self.save()["sums"])

    def add(self, block: Block, careful: Each, steady: Each) -> None:
        """Add the columns of a block that lie in the spans still open.

        ``careful`` may raise at any time: only the span in hand is lost then. ``steady`` does not.
        """
        for span, piece in cut_pieces(block, self._width):
            if not self.span <= span < self._stop:
                continue
            while self.span < span:
                self._close(steady)
            for accumulator, state in zip(self._accumulators, self._in_hand(), strict=True):
                accumulator.update(state, piece, careful)

    def _in_hand(self) -> list[State]:
        if not self._states:
            self._states = [accumulator.start() for accumulator in self._accumulators]
        return self._states

    def _close(self, each: Each) -> None:
        """Merge the states of the span in hand, and go on to the next."""
        fresh: list[State] = []
        for accumulator, tree, state in zip(
            self._accumulators, self._trees, self._in_hand(), strict=True
        ):
            accumulator.close_span(state, each)
            free = tree.push(state, each)
            if free is not None:
                accumulator.clear(free)
                fresh.append(free)
        self.span += 1
        # All trees have the same shape.
        self._states = fresh if self.span < self._stop else []
        self._memories = self._remember()

    def take(self, node: Node, packed: list[Portable], each: Each) -> None:
        """Add what somebody else has summed of the spans that follow the finished ones."""
        assert node.spans[0] == self.span
        for accumulator, tree, state in zip(self._accumulators, self._trees, packed, strict=True):
            tree.push(accumulator.unpack(state), each, level=node.level, count=node.count)
        self.span = node.spans[1]

    def complete(self, each: Each) -> None:
        """Close the last span, and merge everything."""
        while self.span < self._stop:
            self._close(each)
        self._states = [tree.result(each) for tree in self._trees]
        self._trees = []
        # Merging may have taught a chooser something.
        self._memories = self._remember()
        self.is_complete = True

    def packed(self) -> list[Portable]:
        """Return the one state of each accumulator that everything was merged into."""
        assert self.is_complete
        states = zip(self._accumulators, self._states, strict=True)
        return [accumulator.pack(state) for accumulator, state in states]

    def results(self, made: Mapping[str, Accumulator]) -> dict[str, Any]:
        """Return what each accumulator found, by name; the states are lost."""
        assert self.is_complete
        states, self._states = self._states, []
        return {
            name: accumulator.finish(state)
            for (name, accumulator), state in zip(made.items(), states, strict=True)
        }

    def _remember(self) -> list[Portable]:
        if not self._remembers:
            return [None] * len(self._accumulators)
        return [accumulator.remember() for accumulator in self._accumulators]

    def save(self) -> Portable:
        """Return everything of the finished spans; nothing is copied."""
        kept = []
        for k, accumulator in enumerate(self._accumulators):
            levels = [self._states[k]] if self.is_complete else self._trees[k].levels
            counts = [1] if self.is_complete else self._trees[k].counts
            packed = [None if level is None else accumulator.pack(level) for level in levels]
            kept.append([packed, counts])
        return {
            "span": self.span,
            "is_complete": self.is_complete,
            "sums": kept,
            "memories": self._memories,
        }

    def restore(self, saved: Portable) -> None:
        """Become what :meth:`save` has described."""
        self.span, self.is_complete = saved["span"], saved["is_complete"]
        self._states = []
        for k, (packed, counts) in enumerate(saved["sums"]):
            accumulator = self._accumulators[k]
            levels = [None if level is None else accumulator.unpack(level) for level in packed]
            if self.is_complete:
                self._states.append(levels[0])
            else:
                self._trees[k].levels, self._trees[k].counts = levels, counts
        for accumulator, memory in zip(self._accumulators, saved["memories"], strict=True):
            accumulator.recall(memory)
        self._memories = saved["memories"]

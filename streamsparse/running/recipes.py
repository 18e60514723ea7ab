"""Chunks of a dask array as recipes: a task computes them itself, and lets each go when it is used.

A chunk that dask computes stays in memory until somebody uses it, on whatever worker was idle, and
may have to be sent to another: workers that are faster at making chunks than at using them fill up.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeAlias

from dask._task_spec import Alias, DataNode, Task
from dask.delayed import Delayed
from dask.highlevelgraph import HighLevelGraph

from streamsparse.arrays import Interval

# What dask calls a value.
Key: TypeAlias = Any
# A value that dask will compute; how one is made, typed here, where dask does not.
Lazy: TypeAlias = Any
_lazy: Callable[..., Lazy] = Delayed


class Steps:
    """What a task is to compute, and where it goes: (columns, keys of chunks) one after the other.

    Not a dataclass, because dask looks into those for tasks of its own.

    Parameters
    ----------
    columns, keys : of each step; the chunks in the order in which they are joined.
    recipes : how chunks are computed, by key.
    given : keys of what dask hands to the task, in order: chunks, and what recipes need.
    """

    __slots__ = ("_columns", "_given", "_keys", "_recipes")

    def __init__(
        self,
        columns: list[Interval],
        keys: list[list[Key]],
        recipes: Mapping[Key, Any],
        given: list[Key],
    ) -> None:
        self._columns, self._keys, self._recipes = columns, keys, recipes
        self._given = given

    def chunks(self, values: Iterable[Any]) -> Iterable[tuple[Interval, Iterable[Any]]]:
        """Yield (columns, chunks that are computed as they are asked for) of each step."""
        given = dict(zip(self._given, values, strict=True))
        for columns, keys in zip(self._columns, self._keys, strict=True):
            yield columns, (self._chunk(key, given) for key in keys)

    def _chunk(self, key: Key, given: Mapping[Key, Any]) -> Any:
        recipe = self._recipes.get(key)
        if recipe is None:
            return given[key]
        return recipe({name: given[name] for name in recipe.dependencies})


class Recipes:
    """Which chunks of a dask array a task can compute itself: those that need nothing but data.

    What needs the results of other tasks, is there already, or is to run where the user said, is
    left to dask.

    Parameters
    ----------
    lazy : the chunks, of one graph that is optimised.
    is_annotated : whether the user said something about where or how to compute them.
    """

    def __init__(self, lazy: Any, *, is_annotated: bool) -> None:
        self._graph: dict[Key, Any] = {} if is_annotated else dict(lazy.flat[0].dask)
        self._data: dict[Key, Lazy] = {}

    def of(self, key: Key) -> Any:
        """Return what computes a chunk once it has its data; None if that is left to dask."""
        node = self._graph.get(key)
        while isinstance(node, Alias) and node.target != node.key:
            node = self._graph.get(node.target)
        if not isinstance(node, Task) or not all(map(self._is_data, node.dependencies)):
            return None
        return node

    def data(self, key: Key) -> Lazy:
        """Return the data that a recipe needs as a value that dask hands out."""
        if key not in self._data:
            name = f"streamsparse-data-{key}"
            graph = HighLevelGraph.from_collections(name, {key: self._graph[key]}, ())
            self._data[key] = _lazy(key, graph, layer=name)
        return self._data[key]

    def _is_data(self, key: Key) -> bool:
        return isinstance(self._graph.get(key), DataNode)

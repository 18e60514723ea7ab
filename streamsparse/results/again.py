"""How a result was asked for: the call and the command that make the same Y again."""

from __future__ import annotations

import shlex
from typing import Any

from streamsparse.methods.base import ALL_ROWS
from streamsparse.running.plan import Plan
from streamsparse.sources.preprocess import Preprocess

# What plans call matrices that are no files.
_IN_MEMORY = ("array", "sparse matrix", "dask array")


def arguments_of(plan: Plan) -> dict[str, Any]:
    """Return the arguments of ``sparsify`` for the same bits, by name; None is left out.

    Defaults are spelled out: another version may have others. Where a sketch or a sample was given
    no ``m``, the memory decides it, so it belongs to them.
    """
    m = None
    if plan.epsilon is None and not plan.exact_diagonal:
        # Rows are only rescaled where m was not given.
        m = plan.m if plan.most_columns is None else plan.most_columns
    is_strict = _is_strict(plan)
    arguments: dict[str, Any] = {
        "method": plan.method,
        "algorithm": plan.algorithm,
        "m": m,
        "epsilon": plan.epsilon,
        "target": plan.target,
        "delta": plan.delta,
        "beta": plan.beta,
        "seed": plan.seed,
        "s": None if is_strict else plan.s,
        "strict": is_strict or None,
        "memory": plan.memory_budget,
        "feature_axis": plan.feature_axis,
        "preprocess": plan.preprocess if plan.preprocess.is_needed else None,
    }
    return {name: value for name, value in arguments.items() if value is not None}


def _is_strict(plan: Plan) -> bool:
    """Whether only theorems were let decide, as far as the bits depend on it."""
    if plan.method == "sample":
        return plan.n > ALL_ROWS and plan.sketch_columns is None
    return plan.hash == "poly4"


def python_call(plan: Plan) -> str:
    """Return the call in Python; matrices that are no files keep their letters."""
    given = [f"{name}={_as_python(value)}" for name, value in arguments_of(plan).items()]
    if plan.queries is not None:
        function, matrices = "sparsify_pair", ["Q", "K"]
    else:
        path = _path_of(plan)
        function, matrices = "sparsify", ["X" if path is None else repr(path)]
    inner = "".join(f"    {argument},\n" for argument in matrices + given)
    return f"import streamsparse as ss\n\nresult = ss.{function}(\n{inner})"


def command_line(plan: Plan) -> str | None:
    """Return the same as a command, None where there is none: it takes one file."""
    path = _path_of(plan)
    if plan.queries is not None or path is None:
        return None
    words = ["streamsparse", "reduce", path, "Y.zarr"]
    arguments = arguments_of(plan)
    preprocess = arguments.pop("preprocess", None)
    if preprocess is not None:
        arguments |= {name: value for name, value in preprocess.to_dict().items() if value}
        if preprocess.missing_value is not None:
            arguments["missing_value"] = preprocess.missing_value
    for name, value in arguments.items():
        words.append(f"--{name.replace('_', '-')}")
        if value is not True:
            words.append(str(value))
    return shlex.join(words)


def _as_python(value: Any) -> str:
    """Return an argument as it is written in a call."""
    return f"ss.{value!r}" if isinstance(value, Preprocess) else repr(value)


def _path_of(plan: Plan) -> str | None:
    """Return the path or URL of X, None where it was an object."""
    is_object = plan.source in _IN_MEMORY or plan.source.startswith(("<", "memory://"))
    return None if is_object else plan.source

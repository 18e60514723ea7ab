"""Parameters out of range, of the wrong type, or at odds with each other; outputs in the way."""

import math

import numpy as np

import streamsparse as ss
from catalogue.common import Bad, dense, given, zarr_array
from streamsparse.running.threads import blas_kernels
from streamsparse.storing.commit import Workplace
from streamsparse.storing.files import lock_file
from streamsparse.storing.records import write_record

PARAMETER, EXISTS, STORE = ss.ParameterError, ss.OutputExistsError, ss.StoreError

# name: (values, what the message says)
WRONG = {
    "method": ([None, "gram", "", 3, ["exact"]], "method must be one of"),
    "m": ([0, -1, 51, 1.5, "3", True, math.nan, 10**30], "m must be"),
    "epsilon": ([0, 1, -0.1, math.nan, math.inf, "0.1", True, 1j], "epsilon must"),
    "delta": ([0, 1, -1e-9, math.nan, None, "0.1"], "delta must"),
    "beta": ([0, -1.0, math.nan, math.inf, None, "1", True], "beta must be"),
    "seed": ([-1, 2**64, 1.5, None, "0", True, math.nan], "seed must be"),
    "memory": ([0, -1, "much", "1 parsec", "", math.nan, math.inf, None, []], "memory must be"),
    "feature_axis": ([2, -1, None, 1.0, "0", True], "feature_axis must be"),
    "s": ([0, 3, 16, -1, 1.0, None, True], "s must be"),
    "target": ([None, "logits", ["spectral"], 1], "target must be one of"),
    "algorithm": ([None, "greedy", {}], "algorithm must be one of"),
    "strict": ([1, None, "yes"], "strict must be True or False"),
    "missing": ([None, "ignore", []], "missing must be one of"),
    "nonfinite": ([None, "drop", 0], "nonfinite must be one of"),
    "progress": ([None, "always", 1], "progress must be"),
    "overwrite": (["yes", None, 1], "overwrite must be True or False"),
    "resume": (["yes", None, 1], "resume must be True or False"),
    "out": ([5, "a\0b", b"y", 1.0], "out must be a path"),
}

AT_ODDS = {
    "m and epsilon": (given(m=5, epsilon=0.5), "m or epsilon, not both"),
    "m above n, exact": (given(m=6, method="exact"), "at most n = 5 columns, not m = 6"),
    "m above d, sample": (given(m=51, method="sample"), "m must be at most d"),
    "m above d, select": (given(m=51, method="select"), "m must be at most d"),
    "algorithm of another method": (given(method="exact", algorithm="bss"), "of method 'select'"),
    "start of another method": (given(method="sketch", start="r.zarr"), "start is of method"),
    "strict without room": (
        given(method="sketch", strict=True, epsilon=0.5, target="spectral"),
        r"strict needs n \(n \+ 1\) / \(epsilon\^2 delta\) = 12,000 columns, more than d = 50",
    ),
}

BUDGETS = {
    method: given(method=method, memory="1 MiB", **more)
    for method, more in {
        "sketch": {"m": 8},
        "exact": {},
        "sample": {"m": 8},
        "select": {"m": 8},
        "auto": {},
    }.items()
}


def stored(tmp_path):
    return zarr_array(tmp_path, np.ones((6, 12)))


def beside_a_file(tmp_path):
    (tmp_path / "y.zarr").write_text("precious")
    return dense()


def below_a_file(tmp_path):
    (tmp_path / "file").write_text("precious")
    return dense()


def saved(tmp_path):
    np.save(tmp_path / "x.npy", dense())
    return tmp_path / "x.npy"


def out(*parts, **more):
    return lambda tmp_path: {"out": tmp_path.joinpath(*parts)} | more


def link_to_nothing(tmp_path):
    (tmp_path / "y.zarr").symlink_to(tmp_path / "nowhere")
    return dense()


def link_to_the_source(tmp_path):
    path = stored(tmp_path)
    (tmp_path / "y").symlink_to(path, target_is_directory=True)
    return path


OUTPUTS = {
    "output is the source": Bad(stored, EXISTS, "source|exists", out("x.zarr")),
    "output is the source, overwritten": Bad(
        stored, EXISTS, "source", out("x.zarr", overwrite=True)
    ),
    "output inside the source": Bad(stored, EXISTS, "inside|source", out("x.zarr", "y")),
    "output inside the source, by a link": Bad(
        link_to_the_source, EXISTS, "inside|source", out("y", "z")
    ),
    "output is an npy source": Bad(saved, EXISTS, "source|exists", out("x.npy", overwrite=True)),
    "output is a file": Bad(beside_a_file, EXISTS, "exists", out("y.zarr")),
    "output is a file, overwritten": Bad(
        beside_a_file, EXISTS, "not a result|result", out("y.zarr", overwrite=True)
    ),
    "output is a folder of other things": Bad(
        stored, EXISTS, "result|source", lambda t: {"out": t, "overwrite": True}
    ),
    "output is a dangling link": Bad(link_to_nothing, EXISTS, "exists", out("y.zarr")),
    "output below a missing folder": Bad(dense, STORE, "no|folder", out("no", "y.zarr")),
    "output below a file": Bad(below_a_file, STORE, "file", out("file", "y.zarr")),
    "output name too long": Bad(dense, STORE, "long", out("y" * 300)),
}


def unfinished(**facts):
    """Make what an interrupted run of another request has left."""

    def make(tmp_path):
        folder = Workplace(tmp_path / "y.zarr").folder
        folder.mkdir()
        known = {"place": [0, 0], "span": 1, "is_complete": False, "kernels": blas_kernels()}
        write_record(folder / "checkpoint-a", known | facts, None, check=lambda: None)
        return dense()

    return make


def being_written(tmp_path):
    folder = Workplace(tmp_path / "y.zarr").folder
    folder.mkdir()
    # Held until this process ends.
    lock_file(folder / "lock")
    return dense()


UNFINISHED = {
    "resume without out": Bad(dense, PARAMETER, "give out", lambda _: {"resume": True}),
    "resume of another request": Bad(
        unfinished(identity={"seed": 1}, seconds=1e6),
        ss.CheckpointMismatchError,
        "is of another run",
        given(resume=True),
    ),
    "much unfinished work": Bad(
        unfinished(identity={}, seconds=1e6), EXISTS, "277 h 46 min of work.*resume=True"
    ),
    "output is being written": Bad(being_written, ss.OutputBusyError, "somebody else"),
}

PARAMETERS = {
    **UNFINISHED,
    **{
        f"{name}={value!r}": Bad(dense, PARAMETER, message, given(**{name: value}))
        for name, (values, message) in WRONG.items()
        for value in values
    },
    **{
        name: Bad(dense, PARAMETER, message, arguments)
        for name, (arguments, message) in AT_ODDS.items()
    },
    **{
        f"budget of 1 MiB, {method}": Bad(
            saved, ss.BudgetTooSmallError, "needs .* but the budget is 1.00 MiB; raise", arguments
        )
        for method, arguments in BUDGETS.items()
    },
    **OUTPUTS,
    **{
        f"start={value!r}": Bad(
            dense, PARAMETER, "start must be", given(method="select", start=value)
        )
        for value in (5, [], 1.0)
    },
    "start is nowhere": Bad(
        dense,
        ss.SourceNotFoundError,
        "none.zarr",
        lambda t: {"method": "select", "start": t / "none.zarr"},
    ),
    "start is not a result": Bad(
        stored,
        ss.UnsupportedInputError,
        "result",
        lambda t: {"method": "select", "start": t / "x.zarr"},
    ),
}

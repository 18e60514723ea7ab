"""Every exception and warning of the library; errors have builtin parents as well."""


class StreamSparseError(Exception):
    """Base of every error raised on purpose: bad input, a refused plan, a store that fails."""

    def __str__(self) -> str:
        """Return the message as one line, however many the error that it quotes had."""
        return " ".join(super().__str__().splitlines())


class UnsupportedInputError(StreamSparseError, TypeError):
    """The object, its number of dimensions, its dtype or its codec is not one we read."""


class ParameterError(StreamSparseError, ValueError):
    """A parameter is outside its range; the message gives the range."""


class SourceNotFoundError(StreamSparseError, FileNotFoundError):
    """There is nothing at the path."""


class MissingChunkError(StreamSparseError, ValueError):
    """Chunks of the source are absent and ``missing="error"``."""


class CorruptChunkError(StreamSparseError, ValueError):
    """A chunk or file is truncated, oversized or cannot be decoded."""


class BadStructureError(StreamSparseError, ValueError):
    """The arrays of a sparse matrix contradict each other."""


class NonFiniteError(StreamSparseError, ValueError):
    """X holds NaN or infinity, at the row and column named, or its squares overflow float64."""


class RoundingError(StreamSparseError, ArithmeticError):
    """Less is left of X than rounding: of columns that were centred, or of columns taken away."""


class BudgetTooSmallError(StreamSparseError, MemoryError):
    """The memory budget cannot hold the computation; raised before the first read."""


class OutputExistsError(StreamSparseError, FileExistsError):
    """The output is already there, or would be written inside the source."""


class SourceChangedError(StreamSparseError, RuntimeError):
    """The source held other values in the second pass than in the first."""


class StoreError(StreamSparseError, OSError):
    """A store failed to read or write."""


class OutputBusyError(StreamSparseError, OSError):
    """Somebody else is writing the same output at this moment."""


class CheckpointMismatchError(StreamSparseError, ValueError):
    """What an interrupted run has left behind is of another source, request or version."""


class PartMismatchError(StreamSparseError, ValueError):
    """Parts do not make one run: something is missing or there twice, or they are of several."""


class RunInterrupted(KeyboardInterrupt):
    """SIGINT or SIGTERM ended a run; the message says how it goes on.

    Not a :class:`StreamSparseError`, so that ``except Exception`` does not swallow a Ctrl-C.

    Attributes
    ----------
    number : of the signal.
    has_checkpoint : whether ``resume=True`` would go on from where it was.
    """

    def __init__(self, number: int, message: str = "", *, has_checkpoint: bool = False) -> None:
        super().__init__(message)
        self.number = number
        self.has_checkpoint = has_checkpoint


class StreamSparseWarning(UserWarning):
    """The answer is valid, but not the one that was hoped for."""


def needs_extra(who: str, package: str, extra: str) -> str:
    """Return what to say where ``who`` needs a package that is not installed."""
    return f"{who} needs {package}: pip install 'streamsparse[{extra}]'"

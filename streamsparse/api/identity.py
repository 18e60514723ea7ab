"""What the bits of a run depend on: two runs, or two parts of one, are compared by it."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import Any

from streamsparse.methods.base import Start
from streamsparse.running.plan import Plan
from streamsparse.sketching.run_hash import HASH_VERSION
from streamsparse.sources.base import Source, refuse_change, state_of
from streamsparse.sources.digests import digest_of
from streamsparse.version import __version__


@dataclass(frozen=True, slots=True)
class Policies:
    """What to do about absent chunks and about NaN, as for ``sparsify``."""

    missing: str
    nonfinite: str


class Identity:
    """Everything that the bits of a run depend on.

    Attributes
    ----------
    fingerprint : of a source that others can write to, taken now; None for others.
    """

    def __init__(
        self, source: Source, plan: Plan, policies: Policies, start: Start | None = None
    ) -> None:
        self._source, self._plan, self._policies, self._start = source, plan, policies, start
        self.fingerprint = state_of(source)

    def facts(self) -> dict[str, Any]:
        """Return it by name, as JSON has it."""
        facts = {
            "streamsparse": __version__,
            "hash_version": HASH_VERSION,
            "source": self.fingerprint or self._source.fingerprint(),
            **self._plan.identity(),
            "row_bands": self._row_bands(),
            "missing": self._policies.missing,
            "nonfinite": self._policies.nonfinite,
            "start": None if self._start is None else self._start.digest(),
        }
        return dict(json.loads(json.dumps(facts)))

    def _row_bands(self) -> str | None:
        """Return a digest of the row bands, which follow from the size of blocks; None for one."""
        stream = self._plan.stream
        if stream.bands == 1:
            return None
        return digest_of(self._source.bands(stream.band_rows, stream.block_bytes))

    def key(self, *, resume: bool) -> str | None:
        """Return a digest of the facts; None where it costs a look at values nobody asked for.

        ``resume``: somebody did, who may ask again.
        """
        if self.fingerprint is None and not resume:
            return None
        return self.digest()

    def digest(self) -> str:
        """Return a digest of the facts."""
        text = json.dumps(self.facts(), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()

    def refuse_change(self) -> None:
        """Refuse a source that was written to since this was made.

        Raises
        ------
        SourceChangedError : if it was.
        """
        refuse_change(self._source, self.fingerprint)

"""Three bugs to be caught: each replaces one part of a server by a broken one, in a process of its own.

- `no-fence`: the commit script does not look at generation and nonce. Raises overtake the commits of the same server,
  as those of another one would: over one connection they come in order, and the fence is not needed.
- `early-answer`: a result goes out as committed before its commit is sent.
- `no-dedupe`: ids are forgotten: the script does not look at them, and a new worker is not told of them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import Any, Final

from orchestrator.core.commits import chain
from orchestrator.core.outcomes import Outcome
from orchestrator.core.session import KnownId
from orchestrator.engine import commits, session
from orchestrator.engine.services import digest
from orchestrator.stores.redis import RedisStore, wire

_FENCE: Final = b"if record[1] ~= 'open' or record[2] ~= ARGV[1] or record[3] ~= ARGV[2] then"
_KNOWN: Final = b"  if rows[index] then"


def _without(line: bytes, instead: bytes) -> None:
    original = wire.script

    def script(name: str) -> wire.Script:
        found = original(name)
        if name != "commit":
            return found
        if found.source.count(line) != 1:
            raise AssertionError("the commit script has changed: this bug can't be planted as it is written here")
        source = found.source.replace(line, instead)
        return wire.Script(source, hashlib.sha1(source, usedforsecurity=False).hexdigest().encode("ascii"))

    vars(wire)["script"] = script


def _no_fence() -> None:
    _without(_FENCE, b"if record[1] ~= 'open' then")
    connect = RedisStore.__init__

    def connect_twice(self: RedisStore, *given: Any, **more: Any) -> None:
        connect(self, *given, **more)
        vars(self._line)["run"] = self._calls.run

    setattr(RedisStore, "__init__", connect_twice)  # noqa: B010 - an assignment is an error to the type checker


class _EarlyCommitter(commits.Committer):
    """Says that an outcome is committed when it has only been received."""

    def add(self, outcome: Outcome) -> bool:
        """See `Committer`."""
        base = self.etag
        is_new = super().add(outcome)
        if is_new:
            etags = chain(base, (outcome,), digest(outcome.state.manifest))
            self._owner.committed((outcome,), etags, "fsync")
        return is_new


def _early_answer() -> None:
    vars(session)["Committer"] = _EarlyCommitter


def _no_dedupe() -> None:
    _without(_KNOWN, b"  if false then")

    async def known_ids(self: RedisStore, session_id: str) -> Sequence[KnownId]:
        return ()

    setattr(RedisStore, "known_ids", known_ids)  # noqa: B010 - an assignment is an error to the type checker


BUGS: Final[dict[str, Callable[[], None]]] = {
    "no-fence": _no_fence,
    "early-answer": _early_answer,
    "no-dedupe": _no_dedupe,
}


def plant(name: str) -> None:
    """Put the bug of that name into this process; a `KeyError` for one that there is not."""
    BUGS[name]()

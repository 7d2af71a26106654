"""A store that went back: whether it still has what this front door knows to be committed.

It may be behind; or it went back, another front door went on from there, and what it has now is another history, as
long as ours or longer. The hash chain tells (durability.md, promise 8).
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from orchestrator.core.seal import SealError
from orchestrator.core.session import Record
from orchestrator.engine.services import Services
from replwire.errors import WireError

if TYPE_CHECKING:
    from orchestrator.engine.session import LiveSession

REWOUND: Final = "rewind"
"""The cause in a record that went back because it was asked to."""


async def seq_left(services: Services, session: LiveSession, record: Record) -> int | None:
    """The last seq that we know of and that the store's history has, when it lacks later ones that we know of; None
    when it lacks nothing. The record is final."""
    if session.policy.durability == "none" or record.cause == REWOUND:
        return None
    known = session.committer
    if not known.knows_more_than(record.seq, record.etag) and await _has(services, session, record, *known.trail[-1]):
        # A generation that it forgot was raised as durably as a commit is made.
        return record.seq if record.generation < session.record.generation else None
    for seq, etag in reversed(known.trail):
        if await _has(services, session, record, seq, etag):
            return seq
    return 0


async def _has(services: Services, session: LiveSession, record: Record, seq: int, etag: str) -> bool:
    """Whether the etag is that of the store's history at this seq; so it is believed where no entry is kept. One that
    does not open is not what was committed."""
    if seq >= record.seq:
        return (seq, etag) == (record.seq, record.etag)
    found = await services.store.journal(session.id, seq, seq)
    try:
        return not found or open_entry(services, session, *found[0]).get("etag") == etag
    except WireError:
        return False


def open_entry(services: Services, session: LiveSession, seq: int, blob: bytes) -> dict[str, Any]:
    """A journal entry with its seq. Raises `outcome_unknown` when it does not open."""
    try:
        plain = services.vault.open_entry(session.policy.tenant, session.id, seq, blob)
    except SealError:
        raise WireError("outcome_unknown", f"the journal entry {seq} is not as it was sealed") from None
    return {**json.loads(plain), "seq": seq}

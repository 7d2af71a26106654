"""A session's first record, and the ids of `open` by which it is found again.

The id's row lies under the principal's own hash tag, and is written first: a crash in between leaves an id whose
session is made when the same `open` comes again.
"""

from __future__ import annotations

import secrets
from typing import Final

from orchestrator.core.session import OpenId, Record, SessionPolicy
from orchestrator.stores.keys import index_key_of, opened_keys, session_keys, tenant_key
from orchestrator.stores.limits import StoreLimits
from orchestrator.stores.redis.calls import Calls
from orchestrator.stores.redis.records import policy_text, record_of
from orchestrator.stores.redis.wire import run
from replwire.errors import WireError

NONCE_BYTES: Final = 16


async def create(
    calls: Calls, limits: StoreLimits, session: str, policy: SessionPolicy, opened: OpenId | None
) -> Record:
    """See `Store.create`."""
    keys = session_keys(session)
    if opened is not None:
        session = await _opened_by(calls, limits, session, opened)
        keys = session_keys(session)
    arguments = (session, secrets.token_hex(NONCE_BYTES), policy_text(policy))
    indexed = run("index", (index_key_of(session),), (session,))
    listed = run("list", (tenant_key(policy.tenant),), (session,))
    created = run("create", (keys.record, keys.members), arguments)
    *_, reply = await calls.ask_all([indexed, listed, created], "index", "list", "create")
    if reply is None and opened is not None:
        reply = await calls.ask(b"HGETALL", keys.record)
    record = record_of(session, reply or ())
    if record is None:
        raise ValueError("the session id is in use")
    return record


async def _opened_by(calls: Calls, limits: StoreLimits, session: str, opened: OpenId) -> str:
    kept_ms = int(limits.opened_kept_s * 1000)
    arguments = (opened.request_id, opened.body_hash, session, kept_ms, limits.opened_kept)
    found = await calls.run("open", opened_keys(opened.tenant, opened.subject), *arguments)
    if found is None:
        raise WireError("conflict", "the id was used with another body")
    return bytes(found).decode("ascii")

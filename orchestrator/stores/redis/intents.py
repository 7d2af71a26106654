"""Intents as commands: they share the connection and the pipelines of the commits."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, Final

from orchestrator.core.intents import FENCED, WRITTEN, Intent, IntentReply
from orchestrator.stores.keys import session_keys
from orchestrator.stores.redis.commits import CommitLine
from orchestrator.stores.redis.errors import damaged, translated
from orchestrator.stores.redis.wire import pack, run

_PLAIN: Final = {b"OK": WRITTEN, b"FENCED": FENCED}


async def intend(line: CommitLine, intents: Sequence[Intent], kept: int) -> list[IntentReply]:
    """See `Store.intend`."""
    asked = [line.submit(_command(intent, kept), is_commit=False) for intent in intents]
    return [_reply(intent, reply) for intent, (reply, _) in zip(intents, await asyncio.gather(*asked), strict=True)]


async def withdraw(line: CommitLine, intents: Sequence[Intent]) -> None:
    """See `Store.withdraw`."""
    asked = []
    for intent in intents:
        arguments = (intent.generation, intent.request_id, intent.body_hash)
        command = run("withdraw", (session_keys(intent.session).intents,), arguments)
        asked.append(line.submit(pack(command), is_commit=False))
    for reply, _ in await asyncio.gather(*asked):
        if isinstance(reply, Exception):
            raise translated(reply)


def _command(intent: Intent, kept: int) -> bytes:
    keys = session_keys(intent.session)
    arguments = (
        intent.generation,
        intent.nonce,
        intent.request_id,
        intent.body_hash,
        intent.principal,
        int(intent.keeps_earlier),
        kept,
    )
    return pack(run("intend", (keys.record, keys.ids, keys.intents), arguments))


def _reply(intent: Intent, reply: Any) -> IntentReply:
    if isinstance(reply, Exception):
        raise translated(reply)
    try:
        if isinstance(reply, bytes):
            return _PLAIN[reply]
        return IntentReply(earlier=int(reply[0]), is_conflict=reply[1] != intent.body_hash)
    except (KeyError, IndexError, TypeError, ValueError):
        raise damaged(f"an intent of {intent.session}") from None

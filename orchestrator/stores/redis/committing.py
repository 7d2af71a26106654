"""A commit as a command, and the script's reply as an answer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from orchestrator.core.commits import Answer, Commit, CommitReply
from orchestrator.ports import Raised
from orchestrator.stores.keys import CONTENT_ID_BYTES, session_keys
from orchestrator.stores.limits import StoreLimits
from orchestrator.stores.redis.errors import damaged, translated
from orchestrator.stores.redis.records import state_row
from orchestrator.stores.redis.wire import Argument, Command, run

_MS: Final = 1000
NO_REWIND: Final[tuple[Argument, ...]] = ("",)


def kept_arguments(limits: StoreLimits, *, has_objects: bool) -> tuple[int, ...]:
    """What every commit of a store is told of what is kept, and where."""
    return (
        CONTENT_ID_BYTES,
        limits.ids_kept,
        int(limits.ids_kept_s),
        limits.journal_kept,
        limits.generations_kept,
        limits.states_kept,
        int(has_objects),
    )


def rewind_arguments(to: int, raised: Raised, owner: str, deadline_s: float) -> tuple[Argument, ...]:
    """What makes a commit a rewind."""
    return (to, raised.nonce, owner, int(deadline_s * _MS))


def command(
    commit: Commit,
    chunks: Sequence[tuple[bytes, bytes]],
    kept: tuple[int, ...],
    rewinding: tuple[Argument, ...] = NO_REWIND,
) -> Command:
    """The command that makes it; `chunks` are those that come along."""
    arguments: list[Argument] = [
        commit.generation,
        commit.nonce,
        commit.base_etag,
        commit.etag,
        commit.entries[0].seq,
        commit.last_event,
        state_row(commit.generation, commit.etag, commit.manifest),
        b"".join(commit.references),
        *kept,
        len(chunks),
        *rewinding,
    ]
    for chunk in chunks:
        arguments += chunk
    for entry in commit.entries:
        arguments += (entry.request_id, entry.body_hash, entry.blob)
    return run("commit", session_keys(commit.session).of_commit, arguments)


def answered(session: str, reply: Any, durable: str) -> CommitReply:
    """What the script said; raises `WireError` for an error of the server's, or nonsense."""
    if reply == b"OK":
        return CommitReply(Answer.OK, durable)
    if isinstance(reply, Exception):
        raise translated(reply)
    try:
        answer = Answer(reply[0].decode("ascii"))
        if answer is Answer.DUP:
            stored = tuple((int(seq), blob) for seq, blob in zip(reply[3::2], reply[4::2], strict=True))
            return CommitReply(answer, durable, stored, int(reply[1]), reply[2].decode("ascii"))
        if answer is Answer.GAP:
            return CommitReply(answer, seq=int(reply[1]), etag=reply[2].decode("ascii"))
        return CommitReply(answer, missing=tuple(reply[1:]))
    except (AttributeError, IndexError, TypeError, ValueError):
        raise damaged(f"the answer to a commit of {session}") from None

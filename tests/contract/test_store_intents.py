"""Every store: what was to run and has no outcome leaves a trace, and what has one leaves none."""

import dataclasses

import pytest

from orchestrator.core.intents import FENCED, WRITTEN, Intent, IntentReply
from support.commits import Writer, entry, fresh_session, opened

HASH = b"\n\0" * 16
"""It may hold any bytes."""


def intent(writer: Writer, request_id: str = "request-1", *, careful: bool = True) -> Intent:
    """Of the writer's generation."""
    return Intent(writer.session, writer.generation, writer.nonce, request_id, HASH, "acme/an n", careful)


async def test_an_intent_without_an_outcome_is_told_to_the_next_generation(store):
    """With the generation that left it, as often as one asks; another body is a conflict."""
    old = await opened(store)
    assert list(await store.intend([intent(old)])) == [WRITTEN]
    assert list(await store.intend([intent(old)])) == [WRITTEN]
    new = await old.replaced()
    left = IntentReply(earlier=old.generation)
    assert list(await store.intend([intent(new), intent(new)])) == [left, left]
    other = dataclasses.replace(intent(new), body_hash=b"o" * 32)
    assert list(await store.intend([other])) == [dataclasses.replace(left, is_conflict=True)]


async def test_a_session_that_acts_inside_only_writes_over_it(store):
    """Its eval runs again, and the trace is the new generation's."""
    old = await opened(store)
    await store.intend([intent(old, careful=False)])
    new = await old.replaced()
    assert list(await store.intend([intent(new, careful=False)])) == [WRITTEN]
    newest = await new.replaced()
    assert list(await store.intend([intent(newest)])) == [IntentReply(earlier=new.generation)]


async def test_a_commit_takes_the_intent_of_its_ids_away(store):
    """And an id that is committed gets none any more."""
    writer = await opened(store)
    await store.intend([intent(writer), intent(writer, "request-2"), intent(writer, "request-3")])
    await writer.commit(entry(1), entry(2))
    assert list(await store.intend([intent(writer)])) == [WRITTEN]
    new = await writer.replaced()
    replies = await store.intend([intent(new, f"request-{number}") for number in (1, 2, 3)])
    assert list(replies) == [WRITTEN, WRITTEN, IntentReply(earlier=writer.generation)]


async def test_a_refused_commit_takes_nothing_away(store):
    """All or nothing."""
    writer = await opened(store)
    await store.intend([intent(writer)])
    await store.commit(writer.next_commit(entry(1), references=[b"c" * 32]))
    new = await writer.replaced()
    assert list(await store.intend([intent(new)])) == [IntentReply(earlier=writer.generation)]


async def test_an_older_generation_can_write_none(store):
    """Nor one of a session that is closed, or never was."""
    old = await opened(store)
    new = await old.replaced()
    stranger = dataclasses.replace(intent(old), session=fresh_session())
    assert list(await store.intend([intent(old), stranger])) == [FENCED, FENCED]
    assert list(await store.intend([intent(new)])) == [WRITTEN]
    await store.end(new.session)
    assert list(await store.intend([intent(new)])) == [FENCED]


async def test_a_withdrawn_intent_is_gone_unless_it_is_anothers(store):
    """The request was refused before it started."""
    old = await opened(store)
    await store.intend([intent(old), intent(old, "request-2")])
    await store.withdraw([intent(old), intent(old, "never")])
    new = await old.replaced()
    assert list(await store.intend([intent(new)])) == [WRITTEN]
    await store.withdraw([intent(new, "request-2"), dataclasses.replace(intent(new), session=fresh_session())])
    assert list(await store.intend([intent(new, "request-2")])) == [IntentReply(earlier=old.generation)]


@pytest.mark.parametrize("count", [4, 5])
async def test_intents_are_bounded_and_the_oldest_go(make_store, count):
    """Half of them at once."""
    store = make_store(intents_kept=4)
    first = await opened(store)
    await store.intend([intent(first, f"old-{number}") for number in range(2)])
    second = await first.replaced()
    await store.intend([intent(second, f"new-{number}") for number in range(count - 2)])
    third = await second.replaced()
    old = await store.intend([intent(third, f"old-{number}") for number in range(2)])
    assert [reply.earlier for reply in old] == [first.generation if count == 4 else None] * 2


async def test_another_body_takes_nothing_from_what_runs(store):
    """Somebody else sent the id with it, and the worker refused that."""
    old = await opened(store)
    other = dataclasses.replace(intent(old), body_hash=b"o" * 32)
    assert list(await store.intend([intent(old), other])) == [WRITTEN, WRITTEN]
    await store.withdraw([other])
    new = await old.replaced()
    assert list(await store.intend([intent(new)])) == [IntentReply(earlier=old.generation)]

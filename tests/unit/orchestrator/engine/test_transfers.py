"""A session leaves an installation as a file and goes on in another one."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from typing import Any

import pytest

from orchestrator.core.export_format import PREFIX_BYTES, SALT_BYTES, ExportReader, ExportWriter, Kind, Record
from orchestrator.core.principal import Principal
from replwire.errors import WireError
from support.engine_stage import Stage, stage

KEY = b"e" * 32
ANN = Principal("acme", "ann")
BIG = "import os; big = [os.urandom(200_000) for _ in range(8)]"


async def exported(made: Stage, session: str, principal: Principal = ANN) -> bytes:
    """The whole file."""
    return b"".join([piece async for piece in await made.engine.transfers.export(principal, session)])


async def imported(made: Stage, data: bytes, principal: Principal = ANN, request_id: str = "i") -> Any:
    """What the file became."""

    async def pieces() -> AsyncIterator[bytes]:
        for start in range(0, len(data), 50_000):
            yield data[start : start + 50_000]

    return await made.engine.transfers.import_(principal, request_id, pieces())


async def refusal(work: Any) -> tuple[str, Any]:
    """Code and cause of the error."""
    with pytest.raises(WireError) as caught:
        await work
    return caught.value.code, caught.value.details.get("cause", caught.value.details.get("scope"))


async def prepared(made: Stage, **payload: Any) -> tuple[Any, str]:
    """A session with a small and a large name, a file, and a rewind in its journal."""
    client, session = await made.opened(**payload)
    await client.ask("eval", {"code": "x = 1"}, id_="first")
    await client.eval(BIG)
    await client.eval("x = 2; open('note.txt', 'w').write('kept'); import random; random.seed(7)")
    return client, session


def rewritten(data: bytes, change: Any, head: dict[str, Any] | None = None) -> bytes:
    """The file with other records, under the right key: what only an operator could make."""
    reader = ExportReader(KEY)
    records = list(reader.feed(data))
    writer = ExportWriter(KEY, {**(reader.head or {}), **(head or {})}, b"s" * SALT_BYTES, b"p" * PREFIX_BYTES)
    return b"".join([writer.begin(), *(writer.add(*record) for record in change(records)), writer.finish()])


async def test_a_session_goes_on_in_another_installation():
    """Names, files, journal and ids come along; the chain goes on; another seal key seals it there."""
    async with stage(export_key=KEY) as here, stage(export_key=KEY, seal_key=b"x" * 32) as there:
        client, session = await prepared(here, name="book", limits={"eval_timeout_s": 7})
        etag = (await client.ask("attach", {"session": session}))["payload"]["etag"]
        said = await imported(there, await exported(here, session))
        other = there.connect(session=said["session"])
        again = (await other.ask("eval", {"code": "x = 1"}, id_="first"))["payload"]
        conflict = (await other.ask("eval", {"code": "x = 9"}, id_="first"))["payload"]
        entries = (await other.ask("history"))["payload"]["entries"]

        assert (said["seq"], said["etag"], said["origin"], said["status"]) == (3, etag, session, "parked")
        assert said["session"] != session
        assert (await other.eval("x, sum(map(len, big)), open('note.txt').read()"))["output"] == "(2, 1600000, 'kept')"
        assert (again["seq"], conflict["code"], [entry["seq"] for entry in entries]) == (1, "conflict", [1, 2, 3])
        record = await there.store.read(said["session"])
        assert record is not None
        assert (record.policy.name, record.policy.limits["eval_timeout_s"]) == ("book", 7)
        assert (await other.eval("random.random()"))["output"] != repr(random.Random(7).random())


async def test_the_same_import_is_the_same_session():
    """Its answer was lost; another file under the same key is a conflict."""
    async with stage(export_key=KEY) as made:
        client, session = await prepared(made)
        file = await exported(made, session)
        first, again = await imported(made, file), await imported(made, file)
        await client.eval("x = 3")
        other = await exported(made, session)

        assert first["session"] == again["session"] != session
        assert await refusal(imported(made, other)) == ("conflict", None)
        assert (await imported(made, other, request_id="j"))["session"] != first["session"]


async def test_the_file_is_read_and_written_in_small_pieces():
    """However large the state is."""
    async with stage(export_key=KEY) as made:
        _, session = await prepared(made)
        pieces = [piece async for piece in await made.engine.transfers.export(ANN, session)]
        assert max(map(len, pieces)) < 512 * 1024 < sum(map(len, pieces))


async def test_limits_are_lowered_to_those_here():
    """A file brings no rights: neither the operator's limits nor the principal's are raised by it."""
    async with stage(export_key=KEY) as here, stage(export_key=KEY, limits={"eval_timeout_s": 5}) as there:
        _, session = await prepared(here)
        bob = Principal("acme", "bob", limits={"files_max": 3})
        said = await imported(there, await exported(here, session), bob)
        record = await there.store.read(said["session"])

        assert record is not None and record.policy.subject == "bob"
        assert (record.policy.limits["eval_timeout_s"], record.policy.limits["files_max"]) == (5, 3)


async def test_another_tenants_file_takes_an_administrator():
    """The tenant is in the head, which is sealed with the rest."""
    async with stage(export_key=KEY) as made:
        _, session = await prepared(made)
        file = await exported(made, session)
        scopes = frozenset({"eval", "observe"})
        assert await refusal(imported(made, file, Principal("other", "eve", scopes))) == ("forbidden", "admin")
        said = await imported(made, file, Principal("other", "root", scopes | {"admin"}))
        record = await made.store.read(said["session"])
        assert record is not None and record.policy.tenant == "other"
        assert await made.connect(session=said["session"], principal=Principal("other", "x")).eval("x")


@pytest.mark.parametrize("scopes", [{"eval"}, {"observe"}, {"files"}])
async def test_an_export_takes_both_scopes(scopes):
    """It holds what an eval could print, and the journal."""
    async with stage(export_key=KEY) as made:
        _, session = await prepared(made)
        code, _ = await refusal(made.engine.transfers.export(Principal("acme", "eve", frozenset(scopes)), session))
        assert code == "forbidden"


async def test_what_cannot_be_exported_says_why():
    """No key, no commits, no states, nobody's."""
    async with stage() as keyless, stage(export_key=KEY) as made:
        assert await refusal(keyless.engine.transfers.export(ANN, "ses")) == ("forbidden", "key")
        assert await refusal(imported(keyless, b"")) == ("forbidden", "key")
        _, empty = await made.opened()
        _, scratch = await made.opened(durability="none")
        _, theirs = await prepared(made)
        export = made.engine.transfers.export
        asked = [export(ANN, empty), export(ANN, scratch), export(Principal("b", "b"), theirs), export(ANN, "ses_x")]
        assert [(await refusal(work))[0] for work in asked] == ["not_found", "forbidden", "not_found", "not_found"]


async def test_another_installations_key_does_not_open_it():
    """And a file that was changed or cut plants nothing."""
    async with stage(export_key=KEY) as made, stage(export_key=b"o" * 32) as other:
        _, session = await prepared(made)
        file = await exported(made, session)
        changed = bytearray(file)
        changed[len(file) // 2] ^= 1

        assert await refusal(imported(other, file)) == ("forbidden", "key")
        assert await refusal(imported(made, bytes(changed))) == ("bad_message", "damaged")
        assert await refusal(imported(made, file[:-1])) == ("bad_message", "truncated")
        assert [record.session async for record in made.store.sessions()] == [session]


def _without(kind: int) -> Any:
    return lambda records: [record for record in records if record.kind != kind]


def _of(kind: int, data: Any) -> Any:
    return lambda records: [Record(kind, data(record.data)) if record.kind == kind else record for record in records]


@pytest.mark.parametrize(
    ("change", "head"),
    [
        (_without(Kind.POLICY), {}),
        (_without(Kind.MANIFEST), {}),
        (_without(Kind.REFERENCES), {}),
        (_without(Kind.CHUNK), {}),
        (lambda records: records[:-1], {}),
        (lambda records: [*records, records[-1]], {}),
        (lambda records: [*records, Record(9, b"")], {}),
        (lambda records: [item for item in records if not (item.kind == Kind.ENTRY and b'"seq":2,' in item.data)], {}),
        (_of(Kind.POLICY, lambda _: b"[]"), {}),
        (_of(Kind.POLICY, lambda _: b"{"), {}),
        (_of(Kind.ENTRY, lambda _: b"{}"), {}),
        (_of(Kind.ENTRY, lambda data: data.replace(b'"cursors"', b'"cursor"')), {}),
        (_of(Kind.ENTRY, lambda data: data.replace(b'"type":"eval"', b'"type":"exec"')), {}),
        (_of(Kind.REFERENCES, lambda data: data[:-1]), {}),
        (_of(Kind.CHUNK, lambda data: data + b"x"), {}),
        (list, {"seq": 0}),
        (list, {"seq": 4}),
        (list, {"seq": "3"}),
        (list, {"etag": ""}),
        (list, {"etag": "other"}),
        (list, {"session": "../x"}),
        (list, {"tenant": None}),
    ],
)
async def test_a_file_of_the_right_key_is_checked_all_the_same(change, head):
    """The operator's key says who wrote it, not that it makes sense."""
    async with stage(export_key=KEY) as made:
        _, session = await prepared(made)
        file = rewritten(await exported(made, session), change, head)
        assert await refusal(imported(made, file)) == ("bad_message", "damaged")


async def test_a_session_that_goes_on_is_exported_as_it_was():
    """Evals in between do not mix into the file."""
    async with stage(export_key=KEY) as made:
        client, session = await prepared(made)
        pieces = await made.engine.transfers.export(ANN, session)
        begun = [await anext(pieces)]
        await client.eval("x = 'later'")
        file = b"".join(begun + [piece async for piece in pieces])
        said = await imported(made, file)
        assert (said["seq"], (await made.connect(session=said["session"]).eval("x"))["output"]) == (3, "2")


async def test_a_front_door_that_drains_imports_nothing():
    """It takes no new work."""
    async with stage(export_key=KEY) as made:
        await asyncio.wait_for(made.engine.drain(0.1), 10)
        assert (await refusal(imported(made, b"")))[0] == "draining"

"""A worker that lies: whatever it says, it is replaced, nothing of it is committed, and the session goes on."""

from __future__ import annotations

import asyncio

import pytest

from orchestrator.core.outcomes import UNSAVED_MAX
from replwire.frames import EVENT_HEAD, Kind
from support.engine_stage import stage_on
from support.hostile_agent import WELCOME, HostileRuntime, honest
from support.runtimes import eventually


def _answered_by_reply(agent, request):
    said = {"output": "1", "state": "committed", "durable": "fsync", "seq": 9, "etag": "x"}
    agent.say_json(Kind.REPLY, said, ref=request.ref)


def _twice(agent, request):
    agent.outcome(request)
    agent.outcome(request)


def _another_body_for_its_hash(agent, request):
    agent.outcome(request, body=b'{"code":"forged"}')


def _not_even_json(agent, request):
    agent.outcome(request, body=b'"}, forged')


def _wrong_chunk(agent, request):
    agent.say(Kind.CHUNK, b"x" * 32, b"data")


def _starts_twice(agent, request):
    for _ in range(2):
        agent.say(Kind.STARTED, b"\0" * 8, ref=request.ref)


def _event(number):
    def script(agent, request):
        agent.say(Kind.EVENT, EVENT_HEAD.pack(number, 1, 1), b"id", b"text")

    return script


LIES = {
    "an eval answered without an outcome": _answered_by_reply,
    "two outcomes of one id": _twice,
    "another body for its hash": _another_body_for_its_hash,
    "a body that is no JSON": _not_even_json,
    "another type": lambda agent, request: agent.outcome(request, type=b"files"),
    "another principal": lambda agent, request: agent.outcome(request, principal=b"acme/eve"),
    "an id nobody sent": lambda agent, request: agent.outcome(request, id=b"unknown"),
    "a number out of turn": lambda agent, request: agent.outcome(request, seq=7),
    "a number before the first": lambda agent, request: agent.outcome(request, seq=-3, id=b"unknown"),
    "an event that was not sent": lambda agent, request: agent.outcome(request, last_event=2**63),
    "references to chunks of others": lambda agent, request: agent.outcome(request, references=b"c" * 32),
    "fields that are ours": lambda agent, request: agent.outcome(request, told={"etag": "x"}),
    "a receipt below zero": lambda agent, request: agent.outcome(
        request, told={"receipt": {"wall_s": -1.0, "cpu_s": 0.0, "peak_memory_bytes": 0}}
    ),
    "a chunk that is not what it says": _wrong_chunk,
    "an event out of turn": _event(5),
    "an eval that fails as a file does": lambda agent, request: agent.outcome(request, told={"error": {"code": "x"}}),
    "a refusal without a code": lambda agent, request: agent.say_json(Kind.REFUSED, {"code": "no"}, ref=request.ref),
    "a kind that is not its own": lambda agent, request: agent.say(Kind.CLAIM),
    "a start that comes twice": _starts_twice,
    "noise": lambda agent, request: agent._writer.write(b"GET / HTTP/1.1\r\n\r\n" * 9),
}


@pytest.mark.parametrize("lie", LIES)
async def test_a_lie_costs_the_worker_and_nothing_else(lie: str):
    """`worker_protocol_error` to the one who asked; the next worker goes on from the last commit."""
    runtime = HostileRuntime(LIES[lie], honest)
    async with stage_on(runtime) as made:
        client, _ = await made.opened()
        if lie == "two outcomes of one id":
            made.store.gate.clear()
        told = client.send("eval", {"code": "1"})
        answer = await client.terminal(told)
        made.store.gate.set()

        assert (answer["type"], answer["payload"]["code"]) == ("error", "worker_protocol_error")
        assert (await client.eval("2"))["state"] == "committed"
        entries = (await client.ask("history"))["payload"]["entries"]
        assert [(entry["seq"], entry["body"], entry["principal"]) for entry in entries] == [
            (1, {"code": "2"}, "acme/ann")
        ]
        assert await eventually(lambda: len(runtime.stopped) == 1)


async def test_a_scratch_pad_takes_no_number_twice_either():
    """With durability `none` there is no commit that would notice."""
    async with stage_on(HostileRuntime(lambda agent, request: agent.outcome(request, seq=0), honest)) as made:
        client, _ = await made.opened(durability="none")

        assert (await client.ask("eval", {"code": "1"}))["payload"]["code"] == "worker_protocol_error"


@pytest.mark.parametrize("welcome", [{}, {"event": -1}, {"event": "many"}, WELCOME | {"event": 2**70}])
async def test_a_worker_that_is_adopted_with_a_strange_welcome_is_not_believed(welcome):
    """The front door that follows asks it where it is; nonsense is no answer, and no link stays behind."""
    runtime = HostileRuntime(honest)
    async with stage_on(runtime) as made:
        client, session = await made.opened()
        await client.eval("1")
        made.abandon()
        runtime.welcome = welcome
        await made.start()
        other = made.connect()
        answer = await other.ask("attach", {"session": session})
        await other.wait_for(lambda e: e["type"] == "status" and e["payload"]["status"] == "parked")
        runtime.welcome = WELCOME

        assert answer["type"] == "reply"
        assert runtime.stopped
        assert (await other.eval("2"))["state"] == "committed"


async def test_more_lost_names_than_a_client_should_read_are_counted():
    """A welcome may name as many as fit into a frame."""
    lost = {f"name{n}": "gone" for n in range(UNSAVED_MAX + 5)}
    async with stage_on(HostileRuntime(honest, welcome=WELCOME | {"unsaved": lost})) as made:
        client = made.connect()
        await client.ask("open")
        said = await client.wait_for(lambda e: e["type"] == "status" and e["payload"].get("cause") == "restored")

        assert said["payload"]["unsaved"]["…"] == "5 more names"


async def test_an_answer_to_a_file_request_does_not_bring_its_own_etag():
    """Only a front door can say what is committed."""

    def script(agent, request):
        agent.outcome(request, told={"etag": "forged", "state": "committed"}, without=("error",))

    async with stage_on(HostileRuntime(script), commit_wait_ms=1) as made:
        client, _ = await made.opened()
        made.store.gate.clear()
        answer = await client.ask("files", {"op": "delete", "path": "a"})
        made.store.gate.set()

        assert (answer["payload"]["state"], "etag" in answer["payload"]) == ("kept", False)


async def test_no_word_of_a_worker_gives_an_eval_more_time():
    """A link that is lost and found, again and again, does not: the deadline is ours."""

    def slow(agent, request):
        asyncio.get_running_loop().call_later(0.15, agent._writer.close)

    limits = {"eval_timeout_s": 1, "interrupt_grace_s": 0}
    async with stage_on(HostileRuntime(slow, honest), limits=limits) as made:
        client, _ = await made.opened()
        answer = await client.ask("eval", {"code": "1"})

        assert answer["payload"]["code"] == "timeout"
        assert (await client.eval("2"))["state"] == "committed"

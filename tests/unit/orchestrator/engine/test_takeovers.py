"""A shadow takes over behind real front doors: what clients are told, and that nothing is lost or doubled."""

from __future__ import annotations

import asyncio
import os
import random
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from orchestrator.core.principal import Principal
from orchestrator.core.sandbox import SandboxSpec
from orchestrator.runtimes.scripted import ScriptedRuntime, real_worker
from replwire.frames import EVENT_HEAD, EventKind, Kind
from support.engine_stage import Client, Stage, stage, stage_on, two_doors
from support.hostile_agent import HostileRuntime, honest
from support.runtimes import eventually
from support.worker_process import ALONE

START = (
    "import numpy as np, os, time; a = np.random.default_rng(1).random(700_000)\n"
    "g = (i for i in range(1_000_000)); next(g); n = 0; ids = []\n"
)
DIE = "os.kill(os.getpid(), 9)"
KILLS = 50


def alone(spec: SandboxSpec, folder: Path) -> Sequence[str]:
    """The real worker, which sees no process but its own."""
    return (*ALONE, *real_worker(spec, folder))


def generation_of(on: Stage, session: str) -> int:
    """Of its worker."""
    return on.live(session).record.generation


async def test_the_session_goes_on_in_its_generation():
    """The request that ran is told why, at which state the session is, and in which generation; what waited runs."""
    async with stage(alone) as on:
        client, session = await on.opened()
        await client.eval(START + "f = open('/dev/null')")
        dies = client.send("eval", {"code": "n = 9\nprint('half')\n" + DIE, "stream": True})
        waits = client.send("eval", {"code": "n += 1; n, next(g)"})
        said = (await client.terminal(dies))["payload"]
        assert (said["code"], said["message"], said["seq"], said["generation"]) == (
            "worker_crashed", "killed by signal 9", 1, 1,
        )  # fmt: skip
        result = (await client.terminal(waits))["payload"]
        assert (result["output"], result["seq"], result["state"]) == ("(1, 1)", 2, "committed")

        (undone,) = client.events("rolled_back")
        assert undone["payload"] == {"to": 1, "cause": "worker_crashed", "generation": 1}
        half = [event["cursor"] for event in client.events("stream")]
        assert half and undone["cursor"] > max(half)
        assert client.events("status")[-1]["payload"] == {
            "status": "ready", "cause": "taken_over", "unsaved": {"f": "an open file '/dev/null'"},
        }  # fmt: skip
        assert generation_of(on, session) == 1


async def test_its_id_may_be_sent_again():
    """It was undone, so it runs; the chain of etags goes on."""
    async with stage(alone) as on:
        client, _ = await on.opened()
        first = await client.eval(START)
        code = "n += 1\nos.path.exists('/nowhere') or n == 1 and 'again' in globals() or " + DIE
        assert (await client.ask("eval", {"code": code}, id_="once"))["type"] == "error"
        await client.eval("again = 1")
        said = (await client.ask("eval", {"code": code}, id_="once", seen=1))["payload"]
        assert (said["seq"], said["state"]) == (3, "committed")
        assert said["etag"] != first["etag"]


async def test_a_client_that_comes_back_hears_of_it():
    """With the cursor of output that did not happen, it gets the word that is behind it."""
    async with stage(alone) as on:
        client, session = await on.opened()
        await client.eval(START)
        witness = on.connect()
        await witness.attach(session)
        client.send("eval", {"code": "print('half'); time.sleep(0.05)\n" + DIE, "stream": True})
        cursor = (await client.wait_for(lambda e: e["type"] == "stream"))["cursor"]
        await client.hang_up()
        await witness.wait_for(lambda e: e["type"] == "rolled_back")
        late = on.connect()
        await late.attach(session, cursor)
        assert (await late.wait_for(lambda e: e["type"] == "rolled_back"))["payload"]["to"] == 1


async def test_a_session_that_acts_outside_gets_a_new_generation():
    """What it did outside is not known: the same id answers so."""
    async with stage(alone) as on:
        client = on.connect(principal=Principal("acme", "ann", frozenset({"eval", "process"})))
        session = (await client.ask("open"))["payload"]["session"]
        await client.eval(START)
        assert (await client.ask("eval", {"code": DIE}, id_="once"))["type"] == "error"
        again = (await client.ask("eval", {"code": DIE}, id_="once", seen=1))["payload"]
        assert again["code"] == "outcome_unknown"
        assert generation_of(on, session) > 1


async def test_a_changed_folder_comes_from_the_store():
    """A new generation, and the file as it was."""
    async with stage(alone) as on:
        client, session = await on.opened()
        await client.eval("open('kept', 'w').write('before')\n" + START)
        assert (await client.ask("eval", {"code": "open('kept', 'w').write('after')\n" + DIE}))["type"] == "error"
        assert (await client.eval("open('kept').read(), n, 'g' in globals()"))["output"] == "('before', 0, False)"
        assert generation_of(on, session) > 1


async def test_trace_9_nothing_acknowledged_is_lost():
    """Eval 3 was acknowledged from a checkpoint in place, after the shadow of eval 1: the store has it."""
    async with stage(alone) as on:
        client, session = await on.opened()
        await client.eval(START)
        await client.eval("del a")
        assert (await client.eval("n = 3"))["state"] == "committed"
        assert (await client.ask("eval", {"code": DIE}))["type"] == "error"
        assert (await client.eval("n"))["output"] == "3"
        assert generation_of(on, session) > 1


async def test_clients_of_another_front_door():
    """Both hear of it, once; who had joined the request is answered too."""
    async with two_doors(alone) as (one, other):
        client, session = await one.opened()
        await client.eval(START)
        guest = other.connect()
        await guest.attach(session)
        assert await eventually(lambda: other.live(session).link is not None)
        code = {"code": "time.sleep(0.3)\n" + DIE}
        ids = client.send("eval", code, id_="both"), guest.send("eval", code, id_="both")
        for who, id_ in zip((client, guest), ids, strict=True):
            assert (await who.terminal(id_))["payload"]["code"] == "worker_crashed"
            assert (await who.wait_for(lambda e: e["type"] == "rolled_back"))["payload"]["to"] == 1
        assert (await guest.eval("n"))["output"] == "0"
        assert (await client.eval("n"))["output"] == "0"


# --- many ---------------------------------------------------------------------------------------------------------


def interpreter_of(on: Stage, session: str, inner: int) -> int:
    """Process id, as we see it, of the process that the worker sees as `inner`."""
    worker = on.live(session).record.worker
    assert worker is not None and isinstance(on.runtime, ScriptedRuntime)
    waiting = [on.runtime._processes[worker.worker].pid]
    while waiting:
        pid = waiting.pop()
        try:
            if f"NSpid:\t{pid}\t{inner}\n" in Path(f"/proc/{pid}/status").read_text():
                return pid
            waiting += map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())
        except (FileNotFoundError, ProcessLookupError):
            continue  # the process of a checkpoint, which has ended
    raise LookupError(inner)


async def one_kill(on: Stage, client: Client, session: str, number: int, dice: random.Random) -> list[str]:
    """Evals in a row, and the interpreter killed from outside at some moment; those that were acknowledged."""
    inner = int((await client.eval("os.getpid()"))["output"])
    pid = interpreter_of(on, session, inner)
    names = [f"{number}-{step}" for step in range(4)]
    code = "ids.append({name!r}); n += 1; a[{at}] = n\nprint(n)"
    ids = [
        client.send("eval", {"code": code.format(name=name, at=dice.randrange(700_000)), "stream": bool(step % 2)})
        for step, name in enumerate(names)
    ]
    await asyncio.sleep(dice.random() * 0.08)
    os.kill(pid, signal.SIGKILL)
    said = [await client.terminal(id_) for id_ in ids]
    return [name for name, item in zip(names, said, strict=True) if item["type"] == "result"]


async def found(client: Client) -> str:
    """The list and the counter; the kill may hit the question, when all evals had been answered by then."""
    while True:
        said = await client.ask("eval", {"code": "ids, n"})
        if said["type"] == "result":
            return str(said["payload"]["output"])
        assert said["payload"]["code"] == "worker_crashed"


async def test_fifty_kills_at_random_moments():
    """What was acknowledged is in the list, in order and once; nothing else is, and the counter agrees."""
    dice, acknowledged = random.Random(7), []
    async with stage(alone, limits={"requests_waiting_max": 16}) as on:
        client, session = await on.opened()
        await client.eval(START)
        generation = generation_of(on, session)
        for number in range(KILLS):
            acknowledged += await one_kill(on, client, session, number, dice)
            assert await found(client) == repr((acknowledged, len(acknowledged)))
            if generation_of(on, session) > generation:
                generation = generation_of(on, session)
                await client.eval("a = a.copy()")  # restored memory is not numpy's own, and has no shadow
        taken_over = [e for e in client.events("status") if e["payload"].get("cause") == "taken_over"]
        assert len(taken_over) > KILLS // 2


# --- a worker that lies -------------------------------------------------------------------------------------------


def _says(kind: int, body: bytes) -> Any:
    def script(agent: Any, request: Any) -> None:
        agent.say(kind, body)

    return script


def _rolled_back(body: bytes) -> Any:
    def script(agent: Any, request: Any) -> None:
        agent.say(Kind.EVENT, EVENT_HEAD.pack(1, -1, EventKind.ROLLED_BACK), b"", body)

    return script


LIES = {
    "a takeover without names": _says(Kind.TAKEN_OVER, b'{"unsaved": 3}'),
    "a takeover with reasons that are none": _says(Kind.TAKEN_OVER, b'{"unsaved": {"f": 3}}'),
    "a takeover that is no JSON": _says(Kind.TAKEN_OVER, b"["),
    "undone up to no number": _rolled_back(b'{"to": "1", "cause": "worker_crashed"}'),
    "undone up to before the first": _rolled_back(b'{"to": -1, "cause": "worker_crashed"}'),
    "undone for no reason of ours": _rolled_back(b'{"to": 0, "cause": "fun"}'),
    "undone with a generation": _rolled_back(b'{"to": 0, "cause": "worker_crashed", "generation": 9}'),
}


@pytest.mark.parametrize("title", LIES)
async def test_a_worker_that_lies_about_a_takeover_is_replaced(title):
    """As for every other lie."""
    async with stage_on(HostileRuntime(LIES[title], honest)) as on:
        client, session = await on.opened()
        said = (await client.ask("eval", {"code": "1"}))["payload"]
        assert said["code"] == "worker_protocol_error"
        assert on.live(session) is not None

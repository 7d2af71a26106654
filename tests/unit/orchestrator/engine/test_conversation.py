"""What one client can make a front door hold: answers that it does not read, controls that wait for its worker."""

from __future__ import annotations

import asyncio

from orchestrator.engine import conversation
from support.engine_stage import Stage, stage_on
from support.hostile_agent import HostileAgent, HostileRuntime, honest
from support.runtimes import eventually


def _of(made: Stage) -> conversation.Conversation:
    (found,) = made.engine._conversations
    return found


async def test_a_client_that_asks_and_does_not_read_is_not_read_either(monkeypatch):
    """Its answers are bounded; when it reads again, all of them are there."""
    monkeypatch.setattr(conversation, "REPLY_BYTES_MAX", 20_000)
    async with stage_on(HostileRuntime(honest)) as made:
        client, _ = await made.opened()
        reads, take = asyncio.Event(), client.channel.offer

        async def send(text: str) -> None:
            await reads.wait()
            take(text)

        client.channel.offer = lambda text: False  # type: ignore[method-assign]
        client.channel.send = send  # type: ignore[method-assign]
        asked = [client.send("describe") for _ in range(200)]
        talk = _of(made)
        assert await eventually(lambda: not talk._has_room.is_set())
        held_bytes = talk._reply_bytes
        reads.set()
        for request_id in asked:
            await client.terminal(request_id)

        assert 20_000 < held_bytes < 40_000


async def test_controls_that_the_worker_does_not_answer_are_bounded(monkeypatch):
    """A flood of interrupts costs its sender its own time."""
    monkeypatch.setattr(conversation, "CONTROLS_MAX", 3)
    monkeypatch.setattr("orchestrator.engine.link.CALL_TIMEOUT_S", 0.2)

    def silent(agent: HostileAgent, request: object) -> None:
        """Answer nothing."""

    async with stage_on(HostileRuntime(silent)) as made:
        client, _ = await made.opened()
        client.send("eval", {"code": "1"})
        for _ in range(10):
            client.send("interrupt")
        talk = _of(made)
        assert await eventually(lambda: len(talk._tasks) == 3)
        await asyncio.sleep(0.05)
        assert len(talk._tasks) == 3

"""Copies of a session, timed: a fork until its answer, and until the first result of what was forked."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import Final, Protocol

from loadtests.client import ReplClient
from loadtests.figures import percentile
from loadtests.measuring import Values, check, timed_ms

SMALL_STATE: Final = "small = list(range(2000)); x = 41"
"""10 KB, as a wake is measured with."""


class Door(Protocol):
    """A server that runs."""

    @property
    def url(self) -> str:
        """Where clients connect."""

    @property
    def token(self) -> str:
        """What they show."""

    def session(self, durability: str = "commit") -> AbstractAsyncContextManager[ReplClient]:
        """A session of its own."""


async def forks(server: Door, count: int, is_warm: Callable[[int], Awaitable[None]]) -> Values:
    """One after another, each ended before the next; `is_warm` waits until there is a warm worker for that one."""
    answers, firsts = [], []
    async with server.session() as client:
        await client.eval(SMALL_STATE)
        for number in range(count):
            await is_warm(number)
            made: list[str] = []

            async def fork(made: list[str] = made) -> None:
                made.append((await client.request("fork"))["session"])

            answers.append(await timed_ms(fork))
            firsts.append(answers[-1] + await _first_result_ms(server, made[0]))
    return {
        "fork.p50": percentile(answers, 0.5),
        "fork.p99": percentile(answers, 0.99),
        "fork.first.p50": percentile(firsts, 0.5),
    }


async def _first_result_ms(server: Door, session: str) -> float:
    """From `attach` on a connection that is there until the result of an eval that uses the state; then it is ended."""
    client = await ReplClient.connect(server.url, server.token)
    try:
        outputs: list[str] = []

        async def first() -> None:
            await client.request("attach", {"session": session})
            outputs.append((await client.eval("x + len(small)"))["output"])

        took_ms = await timed_ms(first)
        check(outputs == ["2041"], f"the fork says {outputs}")
        await client.request("close")
    finally:
        await client.close()
    return took_ms

"""What is done to a contestant and timed: the same for all of them. Results are values by the name of their measure."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

from loadtests.client import ReplClient
from loadtests.figures import percentile
from loadtests.processes import MB, PeakMemory, cpu_s, proportional_bytes
from loadtests.sizes import OUTPUT_BYTES

Values = dict[str, float]
Work = Callable[[], Awaitable[Any]]

WARM_UP: Final = 50
"""Round trips before the first that counts."""

LINE_BYTES: Final = 100
STEP: Final = "x = x + 1; x"
FIRST: Final = "x = 0"
TEN_MB: Final = {
    "output.print": f"print('x' * {OUTPUT_BYTES - 1})",
    "output.lines": f"for _ in range({OUTPUT_BYTES // LINE_BYTES}): print('x' * {LINE_BYTES - 1})",
}
"""Ten megabytes, with the ends of the lines."""


class Wrong(Exception):
    """What was measured did not do what it was asked; its time means nothing."""


def check(condition: bool, words: str) -> None:
    """Raises `Wrong` with these words if it does not hold."""
    if not condition:
        raise Wrong(words)


async def timed_ms(work: Work) -> float:
    """How long it takes."""
    began = time.perf_counter()
    await work()
    return (time.perf_counter() - began) * 1e3


async def samples_ms(work: Work, count: int, *, warm_up: int = 0) -> list[float]:
    """How long each of `count` takes, one after another."""
    for _ in range(warm_up):
        await work()
    return [await timed_ms(work) for _ in range(count)]


def p50_p99(measure: str, samples: Sequence[float]) -> Values:
    """Both percentiles of a measure."""
    return {f"{measure}.p50": percentile(samples, 0.5), f"{measure}.p99": percentile(samples, 0.99)}


async def round_trips(client: ReplClient, measure: str, count: int) -> Values:
    """`x = x + 1; x`, one after another."""
    await client.eval(FIRST)
    payload = json.dumps({"code": STEP})
    samples = await samples_ms(lambda: client.request_text("eval", payload), count, warm_up=WARM_UP)
    counted = (await client.eval("x"))["output"]
    check(counted == str(count + WARM_UP), f"{count + WARM_UP} evals counted to {counted}")
    return p50_p99(measure, samples)


async def ten_megabytes(client: ReplClient, measure: str, pid: int, count: int) -> Values:
    """The median of a few; how the process grows by them."""
    await client.eval("1+1")
    code, memory = TEN_MB[measure], PeakMemory(pid)
    samples = []
    for _ in range(count):
        samples.append(await timed_ms(lambda: client.eval(code, stream=True)))
        arrived = sum(map(len, client.streamed))
        check(arrived == OUTPUT_BYTES, f"{arrived} of {OUTPUT_BYTES} bytes arrived")
    return {measure: percentile(samples, 0.5), f"{measure}.growth": memory.growth_bytes() / MB}


async def throughput(clients: Sequence[ReplClient], measure: str, pid: int, count: int) -> Values:
    """Each session keeps one eval in flight, `count` times; `pid` is the server's."""
    await asyncio.gather(*(client.eval(FIRST) for client in clients))
    payload = json.dumps({"code": STEP})

    async def one_after_another(client: ReplClient) -> None:
        for _ in range(count):
            await client.request_text("eval", payload)

    server_s, client_s, began = cpu_s(pid), time.process_time(), time.perf_counter()
    await asyncio.gather(*map(one_after_another, clients))
    wall_s, evals = time.perf_counter() - began, count * len(clients)
    return {
        measure: evals / wall_s,
        f"{measure}.client": (time.process_time() - client_s) / evals * 1e6,
        f"{measure}.server": (cpu_s(pid) - server_s) / evals * 1e6,
    }


def memory_mb(pids: set[int]) -> float:
    """PSS of all of them together; one that has just ended counts nothing."""
    total = 0
    for pid in pids:
        try:
            total += proportional_bytes(pid)
        except (FileNotFoundError, ProcessLookupError):
            continue
    return total / MB

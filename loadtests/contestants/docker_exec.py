"""One container, and a new Python in it for each eval by `docker exec`: the same isolation, no state between evals."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from loadtests.contestants.contestant import Contestant
from loadtests.contestants.docker_engine import IMAGE, LOCKS, check_docker, removed_at_the_end
from loadtests.goals import DOCKER_EXEC
from loadtests.measuring import Values, check, p50_p99, samples_ms, timed_ms
from loadtests.services import output_of
from loadtests.sizes import OUTPUT_BYTES, Sizes

PYTHON: Final = ("python3", "-I", "-S", "-E", "-c")
SLEEP_S: Final = "600"
AT_ONCE: Final = 4
"""More of them at once end fewer a second."""


@asynccontextmanager
async def _container() -> AsyncIterator[str]:
    name = f"bascule-bench-{secrets.token_hex(6)}"
    async with removed_at_the_end([name]):
        await output_of("docker", "run", "-d", "--rm", "--init", "--name", name, *LOCKS, IMAGE, "sleep", SLEEP_S)
        yield name


async def _eval(container: str) -> None:
    said = await output_of("docker", "exec", container, *PYTHON, "x = 1; x = x + 1; print(x)")
    check(said == "2\n", f"2 is {said!r}")


async def _round_trip(sizes: Sizes) -> Values:
    async with _container() as name:
        return p50_p99("round_trip.none", await samples_ms(lambda: _eval(name), sizes.slow_round_trips, warm_up=1))


async def _output(sizes: Sizes) -> Values:
    async with _container() as name:

        async def ten_megabytes() -> None:
            arrived = len(await output_of("docker", "exec", name, *PYTHON, f"print('x' * {OUTPUT_BYTES - 1})"))
            check(arrived == OUTPUT_BYTES, f"{arrived} of {OUTPUT_BYTES} bytes arrived")

        return {"output.print": await timed_ms(ten_megabytes)}


async def _throughput(sizes: Sizes) -> Values:
    async with _container() as name:

        async def one_after_another() -> None:
            for _ in range(sizes.slow_evals // AT_ONCE):
                await _eval(name)

        began = time.perf_counter()
        await asyncio.gather(*(one_after_another() for _ in range(AT_ONCE)))
        return {"throughput.none": sizes.slow_evals // AT_ONCE * AT_ONCE / (time.perf_counter() - began)}


CONTESTANT: Final = Contestant(
    DOCKER_EXEC,
    check_docker,
    {"round_trip.none": _round_trip, "output.print": _output, "throughput.none": _throughput},
)

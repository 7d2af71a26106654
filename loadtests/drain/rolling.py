"""A rolling restart: both servers in turn, as often as wanted, with the clients at work all the time."""

from __future__ import annotations

import asyncio
import secrets
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from bascule import AsyncClient
from loadtests import services
from loadtests.contestants.docker_engine import containers_below, remove
from loadtests.drain.balancer import balanced
from loadtests.drain.drivers import Driver
from loadtests.drain.replicas import Replica
from loadtests.figures import percentile

REPLICAS: Final = 2
CALM_S: Final = 1.0
"""Between two restarts: the clients are all back at work."""

Tell = Callable[[str], None]


@dataclass(slots=True)
class Report:
    """What a run found."""

    drivers: list[Driver]
    statuses: list[int] = field(default_factory=list)
    drains_s: list[float] = field(default_factory=list)

    def total(self, name: str) -> int:
        """Over all clients, of a number or the length of a list."""
        values = [getattr(driver, name) for driver in self.drivers]
        return sum(value if isinstance(value, int) else len(value) for value in values)

    @property
    def outages_s(self) -> list[float]:
        """Of all clients."""
        return [seconds for driver in self.drivers for seconds in driver.outages_s]

    @property
    def passed(self) -> bool:
        """Nothing lost, nothing done twice, no eval ended by force, every server ended in order."""
        wrong = sum(self.total(name) for name in ("lost", "doubled", "phantoms", "broken"))
        return not wrong and not any(self.statuses) and self.total("acknowledged") > 0

    def as_text(self) -> str:
        """The figures."""
        outages = self.outages_s or [0.0]
        counts = ", ".join(f"{self.total(name)} {name}" for name in ("lost", "doubled", "phantoms", "broken"))
        lines = [
            f"{len(self.statuses)} restarts, {len(self.drivers)} clients, {self.total('acknowledged')} evals: {counts}",
            f"reconnects: {len(self.outages_s)}, p50 {percentile(outages, 0.5):.2f} s,"
            f" p95 {percentile(outages, 0.95):.2f} s",
            f"drains: p50 {percentile(self.drains_s or [0.0], 0.5):.2f} s, longest {max(self.drains_s or [0.0]):.2f} s,"
            f" exit statuses {sorted(set(self.statuses))}",
        ]
        return "\n".join([*lines, *(words for driver in self.drivers for words in driver.broken[:3])])


async def roll(
    runtime: str, *, clients: int, rounds: int, tell: Tell, seed: int = 0, image: str | None = None
) -> Report:
    """Each replica is restarted once a round; raises `Unavailable` when one does not start."""
    report = Report([Driver(seed * clients + number) for number in range(clients)])
    token, stopped = secrets.token_hex(16), asyncio.Event()
    async with AsyncExitStack() as parts:
        replicas = await parts.enter_async_context(_replicas(runtime, image, token, clients))
        balancer = await parts.enter_async_context(balanced(replicas))
        client = await parts.enter_async_context(AsyncClient(token, balancer.url))
        async with asyncio.TaskGroup() as tasks:
            for driver in report.drivers:
                tasks.create_task(driver.run(client, stopped))
            try:
                for number in range(rounds):
                    await _restart_all(replicas, report)
                    tell(f"round {number + 1} of {rounds}")
            finally:
                stopped.set()
    return report


async def _restart_all(replicas: list[Replica], report: Report) -> None:
    for replica in replicas:
        await asyncio.sleep(CALM_S)
        status, took_s = await replica.drain()
        report.statuses.append(status)
        report.drains_s.append(took_s)
        await replica.start()


@asynccontextmanager
async def _replicas(runtime: str, image: str | None, token: str, clients: int) -> AsyncIterator[list[Replica]]:
    async with AsyncExitStack() as parts:
        folder = parts.enter_context(services.throw_away_folder())
        redis_url = await parts.enter_async_context(services.redis_server(folder))
        if runtime == "docker" and shutil.which("docker"):
            parts.push_async_callback(_remove_containers, folder)
        environment = services.own_environment(
            BASCULE_AUTH__DEV_TOKEN=token, BASCULE_LOG__FORMAT="json", BASCULE_ENGINE__POOL_SIZE=str(clients),
            BASCULE_KEYS__STAMP=secrets.token_hex(32), BASCULE_KEYS__SEAL=secrets.token_hex(32),
            BASCULE_ENGINE__REFILL_AT_ONCE="2", **({"BASCULE_SANDBOX__IMAGE": image} if image else {}),
        )  # fmt: skip
        place = ("--host", "127.0.0.1", "--port", "0", "--config", str(_config(folder)))
        words = services.python("-m", "orchestrator", "serve", "--runtime", runtime, "--redis-url", redis_url, *place)
        found = [Replica(folder / f"replica{number}", words, environment) for number in range(REPLICAS)]
        for replica in found:
            parts.push_async_callback(replica.close)
            await replica.start()
        yield found


def _config(folder: Path) -> Path:
    path = folder / "config.toml"
    path.touch()
    return path


async def _remove_containers(folder: Path) -> None:
    await asyncio.shield(remove(await containers_below(folder)))

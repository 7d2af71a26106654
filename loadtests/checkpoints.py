"""`python -m loadtests.checkpoints`: what a checkpoint costs, by the size of the namespace and of the change.

One real worker in a locked container for each namespace, at its own socket, as a server would use it. Three figures for
each change, each as the median of a few and less what the same takes with durability `none`:

pause: how much later the interpreter begins with the next request; wait: how much later the result may go out;
sent: bytes of chunks.
"""

from __future__ import annotations

import argparse
import asyncio
import secrets
import statistics
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from typing import Final

from loadtests import services
from loadtests.checkpoint_cases import GOALS, NAMESPACES, UNITS, Namespace
from loadtests.contestants.contestant import Unavailable
from loadtests.contestants.docker_engine import containers_below, remove
from loadtests.measuring import Values
from loadtests.worker_link import WorkerLink
from orchestrator.core.sandbox import SandboxSpec
from orchestrator.runtimes.docker import DockerRuntime
from orchestrator.runtimes.folders import Folders

IMAGE: Final = "bascule-worker:data"
"""It has numpy and pandas."""

ROUNDS: Final = 15
REST_S: Final = 0.1
"""Between two evals, as a person or a program leaves it: a checkpoint's process has ended then."""


async def measured(names: Sequence[str] = (), *, image: str = IMAGE, rounds: int = ROUNDS) -> Values:
    """All figures, in ms and MB, of these namespaces (of all for none)."""
    values: Values = {}
    async with AsyncExitStack() as parts:
        folder = parts.enter_context(services.throw_away_folder())
        folders = Folders(folder / "workers")
        folders.prepare()
        runtime = DockerRuntime(folders, installation=f"bench-{secrets.token_hex(4)}")
        parts.push_async_callback(runtime.close)
        parts.push_async_callback(_remove, folder)
        await services.output_of("docker", "image", "inspect", "--format", "{{.Id}}", image)
        for namespace in NAMESPACES:
            if not names or namespace.name in names:
                none = await _one(runtime, image, namespace, "none", rounds)
                values |= _difference(await _one(runtime, image, namespace, "commit", rounds), none)
    return values


async def _remove(folder: object) -> None:
    await asyncio.shield(remove(await containers_below(folder)))  # type: ignore[arg-type]


async def _one(runtime: DockerRuntime, image: str, namespace: Namespace, durability: str, rounds: int) -> Values:
    worker = f"wrk_{secrets.token_hex(8)}"
    spec = SandboxSpec(worker, image=image, memory_bytes=namespace.memory_bytes, cpus=2.0)
    address = await runtime.start(spec)
    try:
        link = WorkerLink(await runtime.dial(address))
        try:
            return await asyncio.to_thread(_figures, link, namespace, durability, rounds)
        finally:
            link.close()
    finally:
        await runtime.stop(worker)


def _figures(link: WorkerLink, namespace: Namespace, durability: str, rounds: int) -> Values:
    link.claim(durability, state_bytes_max=namespace.state_bytes_max)
    link.eval(namespace.code + "\nn = 0")
    found: Values = {}
    for change in namespace.changes:
        samples = [_sample(link, change.code.format(i=number)) for number in range(rounds + 1)][1:]
        for figure, values in zip(UNITS, zip(*samples, strict=True), strict=True):
            found[f"checkpoint.{namespace.name}.{change.name}.{figure}"] = statistics.median(values)
    return found


def _sample(link: WorkerLink, code: str) -> tuple[float, float, float]:
    time.sleep(REST_S)
    link.chunk_bytes = 0
    wait, pause = link.eval_and_next(code)
    return pause, wait, link.chunk_bytes / 1e6


def _difference(values: Values, none: Values) -> Values:
    return {name: value - none[name] for name, value in values.items()}


def table(values: Values) -> str:
    """One line a change: pause, wait, sent, each with its goal."""
    lines = []
    for namespace in NAMESPACES:
        for number, change in enumerate(namespace.changes):
            stem = f"checkpoint.{namespace.name}.{change.name}"
            if f"{stem}.wait" in values:
                lines += [namespace.title] if number == 0 else []
                lines.append(f"  {change.name:<10}{_cells(values, stem)}".rstrip())
    return "\n".join(lines)


def _cells(values: Values, stem: str) -> str:
    return "".join(f" {name} {_cell(values, f'{stem}.{name}', unit)}" for name, unit in UNITS.items())


def _cell(values: Values, name: str, unit: str) -> str:
    value, goal = values[name], GOALS.get(name)
    verdict = "" if goal is None else f" (goal <= {goal:g}: {'met' if value <= goal else 'missed'})"
    return f"{value:9.2f} {unit}{verdict:<22}"


def main(words: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m loadtests.checkpoints", description=__doc__)
    parser.add_argument("--rounds", type=int, default=ROUNDS, choices=range(1, 1001), metavar="N")
    parser.add_argument("--image", default=IMAGE, help="a worker image with numpy and pandas [%(default)s]")
    parser.add_argument("--only", nargs="+", default=(), choices=[item.name for item in NAMESPACES])
    given = parser.parse_args(words)
    try:
        print(table(asyncio.run(measured(given.only, image=given.image, rounds=given.rounds))))
    except Unavailable as error:
        parser.exit(1, f"{error}\n")


if __name__ == "__main__":
    main()

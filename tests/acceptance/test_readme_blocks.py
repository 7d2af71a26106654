"""The shell blocks of the README, run as they are printed: install, serve on a laptop, build and serve on a server."""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from support.certificates import free_port
from support.client import connect
from support.pages import ROOT, block_with, blocks, replaced
from support.redis_server import RedisServer

README = "README.md"
INSTALL_PATIENCE_S = 300
PATIENCE_S = 120
SOURCES = ("orchestrator", "worker-image", "clients", "pyproject.toml", "README.md")
BASE = "bascule-base:bookworm"


def environment_of(home: Path) -> dict[str, str]:
    """Of a newcomer: a home and a state folder of his own, no paths of this run, and a Python that is new enough."""
    more = {"HOME": str(home), "BASCULE_STATE_DIR": str(home / "state")}
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("BASCULE_", "PYTHON", "VIRTUAL"))}
    return kept | more | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}


async def printed(block: str, folder: Path, environment: dict[str, str], patience_s: float) -> str:
    """What a block prints on stdout, whose every line must succeed."""
    shell = await asyncio.create_subprocess_exec(
        "bash", "-euc", block, cwd=folder, env=environment, stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, errors = await asyncio.wait_for(shell.communicate(), patience_s)
    assert shell.returncode == 0, out.decode() + errors.decode()
    return out.decode()


@asynccontextmanager
async def served(block: str, folder: Path, environment: dict[str, str]) -> AsyncIterator[tuple[list[str], str]]:
    """A block that ends with a server: the lines before it is ready, and its address."""
    # The last command takes the shell's place, so that it is what we end.
    *before, last = block.splitlines()
    shell = await asyncio.create_subprocess_exec(
        "bash", "-euc", "\n".join((*before, f"exec {last}")), cwd=folder, env=environment,
        stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    assert shell.stdout is not None
    try:
        lines: list[str] = []
        async with asyncio.timeout(PATIENCE_S):
            while not (line := (await shell.stdout.readline()).decode()).startswith("ready "):
                assert line, f"the server ended with {await shell.wait()}"
                lines.append(line.strip())
        yield lines, line.split()[1]
    finally:
        if shell.returncode is None:
            shell.terminate()
        await asyncio.wait_for(shell.wait(), PATIENCE_S)


def test_no_shell_block_of_the_readme_is_left_out() -> None:
    """Those that are `make` are run by whoever runs these tests, and `make demo`'s program by `test_demo`."""
    makes = [block for block in blocks(README) if block.startswith("make ")]
    assert makes == ["make demo\n", "make test\n"]
    assert len(blocks(README)) - len(makes) == 3


@pytest.mark.bubblewrap
@pytest.mark.timeout(600)
async def test_what_is_installed_as_printed_serves_as_printed(state: Path) -> None:
    """A virtual environment of a newcomer's own, from a copy of the sources; `doctor` finds what it needs; then the
    server, with the README's own client."""
    source, environment = state / "bascule", environment_of(state)
    source.mkdir()
    for name in SOURCES:
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, source / name)
    environment |= {"PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_QUIET": "1"}
    said = await printed(block_with(README, "pip install"), source, environment, INSTALL_PATIENCE_S)
    assert said.startswith("bascule ")
    environment["PATH"] = f"{state / '.bascule' / 'bin'}:{environment['PATH']}"
    block = replaced(block_with(README, "serve --embedded"), {"--port 8765": f"--port {free_port()}"})
    async with served(block, state, environment) as (before, url):
        assert before == []
        (client,) = blocks(README, "python")
        client = replaced(client, {"ws://127.0.0.1:8765": url})
        assert await typed(client, "x = 41", "x + 1") == "\n42\n"


async def typed(client: str, *lines: str) -> str:
    """What the README's client prints; its one library is there."""
    program = await asyncio.create_subprocess_exec(
        sys.executable, "-c", client, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    out, _ = await asyncio.wait_for(program.communicate("".join(f"{line}\n" for line in lines).encode()), PATIENCE_S)
    return out.decode()


@pytest.mark.docker
@pytest.mark.redis
@pytest.mark.timeout(600)
async def test_an_image_that_is_built_as_printed_is_served_as_printed(state: Path, redis_server: RedisServer) -> None:
    """Under a name of the test's own, on the base that is here, since other tests use the README's name; and with a
    Redis of the test's own."""
    image, environment = f"bascule-readme-{uuid.uuid4().hex[:12]}", environment_of(state)
    environment |= {"BASCULE_SERVER__PORT": "0", "BASCULE_SANDBOX__IMAGE": image}
    # The classic builder is asked for by name where the newer one is not installed.
    environment |= {} if await _has_buildx() else {"DOCKER_BUILDKIT": "0"}
    shutil.copytree(ROOT / "worker-image", state / "worker-image")
    changes = {
        "docker build -t bascule-worker ": f"docker build --quiet --build-arg BASE={BASE} -t {image} ",
        "redis://localhost:6379": redis_server.url,
    }
    block = replaced(block_with(README, "docker build"), changes)
    try:
        async with served(block, state, environment) as (before, url):
            key = before[-1]
            assert key.startswith("bsk_")
            async with connect(url, key) as client:
                assert (await client.eval("6 * 7"))["output"] == "42"
                await client.ask("close")
    finally:
        await _forget(image)


async def _has_buildx() -> bool:
    asked = await asyncio.create_subprocess_exec(
        "docker", "buildx", "version", stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL
    )
    return await asyncio.wait_for(asked.wait(), PATIENCE_S) == 0


async def _forget(image: str) -> None:
    """The workers that a server leaves on purpose, and the name; layers that others use stay."""
    containers = await asyncio.create_subprocess_exec(
        "docker", "ps", "-aq", "--filter", f"ancestor={image}", stdout=asyncio.subprocess.PIPE
    )
    ids = (await asyncio.wait_for(containers.communicate(), PATIENCE_S))[0].decode().split()
    for words in ([["rm", "--force", "--volumes", *ids]] if ids else []) + [["image", "rm", image]]:
        gone = await asyncio.create_subprocess_exec("docker", *words, stdout=asyncio.subprocess.DEVNULL)
        await asyncio.wait_for(gone.wait(), PATIENCE_S)

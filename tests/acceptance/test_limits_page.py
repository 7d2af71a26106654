"""The page about limits, run as it is printed: settings, a key, a server, and what each of its clients is told."""

from __future__ import annotations

import asyncio
import os
import re
import sys
from pathlib import Path

import pytest

from orchestrator.settings import names
from replwire.limits import LIMITS
from support.certificates import free_port
from support.pages import ROOT, block_with, blocks, replaced

pytestmark = [pytest.mark.bubblewrap, pytest.mark.redis]

PAGE = "docs/how-to/limits.md"
PATIENCE_S = 120


def environment_of() -> dict[str, str]:
    """This environment's programs, and no settings."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("BASCULE_")}
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    python = os.pathsep.join(sys.path)
    return kept | {"PATH": path, "PYTHONPATH": python}


async def printed(folder: Path, *words: str) -> str:
    """What a block prints; it must succeed."""
    program = await asyncio.create_subprocess_exec(
        *words, cwd=folder, env=environment_of(), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    out, errors = await asyncio.wait_for(program.communicate(), PATIENCE_S)
    assert program.returncode == 0, out.decode() + errors.decode()
    return out.decode()


def said(words: str) -> str:
    """What the page says that a block prints."""
    return block_with(PAGE, words, "text")


def in_columns(text: str) -> list[list[str]]:
    """Without the widths of a table."""
    return [line.split() for line in text.splitlines()]


async def test_the_blocks_run_as_they_are_printed(state: Path) -> None:
    """In their order; only the port is another one."""
    (state / "limits.toml").write_text(block_with(PAGE, "[limits]", "toml"))
    show, create, serve, curls = blocks(PAGE, "bash")
    assert in_columns(await printed(state, "bash", "-euc", show)) == in_columns(said("origin"))
    assert await printed(state, "bash", "-euc", create) == ""
    port, exported = free_port(), show.splitlines()[0]
    environment = environment_of() | {"BASCULE_STATE_DIR": str(state / "state")}
    line = replaced(serve, {"--port 8765": f"--port {port}"})
    server = await asyncio.create_subprocess_exec(
        "bash", "-euc", f"{exported}\nexec {line}", cwd=state, env=environment, stdout=asyncio.subprocess.PIPE
    )
    try:
        assert server.stdout is not None
        ready = await asyncio.wait_for(server.stdout.readline(), PATIENCE_S)
        assert ready.decode() == f"ready ws://127.0.0.1:{port}\n"
        client, quota = blocks(PAGE, "python")
        for program, words in ((client, "this key"), (quota, "quota_exceeded {")):
            program = replaced(program, {"127.0.0.1:8765": f"127.0.0.1:{port}"})
            assert await printed(state, sys.executable, "-c", program) == said(words)
        curls = replaced(curls, {"127.0.0.1:8765": f"127.0.0.1:{port}"})
        assert await printed(state, "bash", "-euc", curls) == said("rate_limited")
    finally:
        server.terminate()
        await asyncio.wait_for(server.wait(), PATIENCE_S)


def test_every_limit_that_the_page_names_is_there() -> None:
    """And of the protocol's all that a client can meet."""
    table = (ROOT / PAGE).read_text(encoding="utf-8").partition("## What each one looks like")[2]
    known = {name.rpartition(".")[2] for name in names()}
    named = set(re.findall(r"`(?:[a-z]+\.)?([a-z_]+_(?:max|s|ms|bytes))`", table)) - {"timeout_s", "retry_after_ms"}
    assert named - known == set()
    unseen = {"events_kept_max", "event_bytes_kept_max", "ids_kept_max", "link_window_bytes", "files_max",
              "implicit_session_ttl_s", "state_bytes_max"}  # fmt: skip
    assert set(LIMITS) - named == unseen

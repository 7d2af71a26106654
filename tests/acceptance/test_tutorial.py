"""The tutorials, followed word by word: each block in its turn, and what the page says that it prints."""

from __future__ import annotations

import asyncio
import os
import re
import sys
from pathlib import Path

import pytest

from support.server import TOKEN, Server

pytestmark = [pytest.mark.bubblewrap, pytest.mark.redis]

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "tutorial" / "first-session.md"
TIME_TRAVEL = PAGE.with_name("time-travel.md")
PATIENCE_S = 60
EXPORT_KEY = "0f" * 32
BLOCK = re.compile(r"```(python|sh)\n(.*?)```(?:\n\n```text\n(.*?)```)?", re.DOTALL)
STEPS_MIN = {PAGE: 8, TIME_TRAVEL: 6}


async def printed(server: Server, kind: str, code: str, folder: Path) -> str:
    """What a block prints, as a program of its own in the same folder as those before it."""
    bin_folder = Path(sys.executable).parent
    environment = os.environ | {
        "BASCULE_API_KEY": TOKEN, "BASCULE_API_URL": server.url, "PATH": f"{bin_folder}:{os.environ['PATH']}",
    }  # fmt: skip
    words = (sys.executable, "-c", code) if kind == "python" else ("sh", "-ec", code)
    program = await asyncio.create_subprocess_exec(
        *words, cwd=folder, env=environment, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    out, err = await asyncio.wait_for(program.communicate(), PATIENCE_S)
    assert (program.returncode, err.decode()) == (0, ""), code
    return out.decode()


@pytest.mark.parametrize("page", STEPS_MIN, ids=lambda page: page.stem)
async def test_the_tutorial_prints_what_it_says(state: Path, tmp_path: Path, page: Path) -> None:
    """Every block of Python and of the shell; where nothing is said, nothing is printed."""
    blocks = BLOCK.findall(page.read_text(encoding="utf-8"))
    assert len(blocks) >= STEPS_MIN[page]
    server = Server(state / "state", "--embedded", "--set", f"keys.export={EXPORT_KEY}")
    await server.start()
    try:
        for kind, code, said in blocks:
            assert await printed(server, kind, code, tmp_path) == said, code
    finally:
        await server.stop()


async def test_the_session_of_the_tutorial_outlives_the_server(embedded: Server, tmp_path: Path) -> None:
    """As it asks the reader to try: the server ends and starts again, and the count goes on."""
    blocks = BLOCK.findall(PAGE.read_text(encoding="utf-8"))
    leave, back = (next(code for _, code, _ in blocks if word in code) for word in ("write_text", "visits += 1"))
    await printed(embedded, "python", leave, tmp_path)
    assert await printed(embedded, "python", back, tmp_path) == "2\n"
    await embedded.stop()
    await embedded.start()
    assert await printed(embedded, "python", back, tmp_path) == "3\n"

"""The shell blocks of the page about the terminal, run as they are printed."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import pytest

from bascule import AsyncClient
from support.pages import block_with, blocks, replaced
from support.processes import leftovers
from support.server import TOKEN, Server
from support.tmux import Terminal

pytestmark = [pytest.mark.bubblewrap, pytest.mark.redis, pytest.mark.tmux]

PAGE = "docs/how-to/terminal.md"
PATIENCE_S = 60


def environment_of(server: Server | None = None, **more: str) -> dict[str, str]:
    """With the programs of this environment first. pip asks no index: what the page installs is installed already, and
    it must say so."""
    who = {"BASCULE_API_KEY": TOKEN, "BASCULE_API_URL": server.url} if server is not None else {}
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    return {
        "PATH": path, "PIP_NO_INDEX": "1", "PIP_DISABLE_PIP_VERSION_CHECK": "1", "LANG": "C.UTF-8",
        "PYTHONPATH": os.pathsep.join(sys.path), "BASCULE_HISTORY": "", **who, **more,
    }  # fmt: skip


async def ran(block: str, server: Server, folder: Path) -> tuple[int, str, str]:
    """Exit status, stdout and stderr of a block."""
    shell = await asyncio.create_subprocess_exec(
        "bash", "-ec", block, cwd=folder, env={**os.environ, **environment_of(server)},
        stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, errors = await asyncio.wait_for(shell.communicate(), PATIENCE_S)
    assert shell.returncode is not None
    return shell.returncode, out.decode(), errors.decode()


def test_no_block_of_the_page_is_left_out() -> None:
    """Five, and each is run below."""
    words = ("wss://", "--embedded", "session attach", "report.py", "completion")
    assert [next(word for word in words if word in block) for block in blocks(PAGE)] == list(words)


async def test_a_server_of_somebody_elses(embedded: Server, folder: Path) -> None:
    """Another address and key than the page's; the rest as it stands."""
    changes = {"wss://bascule.example.com": embedded.url, "bsk_…": TOKEN}
    terminal = Terminal(folder)
    await terminal.start(environment_of(), "sh", "-ec", replaced(block_with(PAGE, "wss://"), changes))
    try:
        await terminal.shows("Requirement already satisfied: bascule[cli]", ">>>", all_of_it=True)
        await terminal.enter("6 * 7")
        await terminal.ends_with("42", ">>>")
        await terminal.press("C-d")
        assert await terminal.ended() == 0
    finally:
        await terminal.stop()


async def test_a_laptop_without_a_server(folder: Path, state: Path) -> None:
    """It starts one, and nothing of it is left."""
    terminal = Terminal(folder)
    environment = environment_of(TMPDIR=str(state))
    await terminal.start(environment, "sh", "-ec", block_with(PAGE, "--embedded"))
    try:
        await terminal.shows("Requirement already satisfied: bascule[local]", ">>>", all_of_it=True)
        await terminal.enter("6 * 7")
        await terminal.ends_with("42", ">>>")
        await terminal.press("C-d")
        assert await terminal.ended() == 0
    finally:
        await terminal.stop()
    assert (leftovers(str(state)), list(state.iterdir())) == ([], [])


async def test_coming_back_to_a_session(embedded: Server, folder: Path) -> None:
    """It is listed, attached to, interrupted and killed, one line after the other."""
    async with AsyncClient(TOKEN, embedded.url) as client:
        session = await client.open()
        await session.run("kept = 'still here'")
        await session.detach()
        terminal = Terminal(folder)
        block = replaced(block_with(PAGE, "session attach"), {"ses_…": session.id})
        await terminal.start(environment_of(embedded), "sh", "-ec", block)
        try:
            await terminal.shows(session.id, ">>>")
            await terminal.enter("kept")
            await terminal.ends_with("'still here'", ">>>")
            await terminal.press("C-d")
            assert await terminal.ended() == 0
            assert "idle" in await terminal.screen()
        finally:
            await terminal.stop()
        listed = await ran("bascule session list -o json", embedded, folder)
        assert (listed[0], session.id in listed[1]) == (0, False)


async def test_programs(embedded: Server, tmp_path: Path) -> None:
    """Each line of the block, with programs that say that they ran."""
    (tmp_path / "report.py").write_text("print('reported')\n'the value'")
    (tmp_path / "ask.py").write_text("print(input() + '!', input() + '?')")
    (tmp_path / "answers.txt").write_text("one\ntwo\n")
    (tmp_path / "step.py").write_text("steps = globals().get('steps', 0) + 1\nprint('step', steps)")
    async with AsyncClient(TOKEN, embedded.url) as client, client.open() as session:
        block = replaced(block_with(PAGE, "report.py"), {"ses_…": session.id})
        status, out, errors = await ran(block, embedded, tmp_path)
        assert (status, errors) == (0, "")
        assert (tmp_path / "report.txt").read_text() == "reported\n'the value'\n"
        assert out.startswith("reported\n'the value'\none! two?\nstep 1\n{")
        assert '"reported\\n"' in out
        assert (await session.run("steps")).text == "1"


async def test_completion_in_a_shell(embedded: Server, tmp_path: Path) -> None:
    """After the line, bash knows the commands."""
    asked = "COMP_WORDS=(bascule ses) COMP_CWORD=1; _bascule_completion bascule ses bascule; echo ${COMPREPLY[*]}"
    status, out, errors = await ran(block_with(PAGE, "completion") + asked, embedded, tmp_path)
    assert (status, out.split(), errors) == (0, ["session"], "")

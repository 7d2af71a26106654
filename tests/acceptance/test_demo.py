"""`bascule demo`, as the README promises it: a value survives both kills, and nothing is left behind."""

import asyncio
import os
import signal
import sys
from pathlib import Path

import pytest

from support.processes import leftovers
from support.tmux import Terminal

pytestmark = [pytest.mark.bubblewrap, pytest.mark.redis]

DEMO_TIMEOUT_S = 90
ORCHESTRATOR = (sys.executable, "-m", "orchestrator")


@pytest.mark.parametrize("stdin", ["</dev/null", "<&-"])
async def test_the_demo_shows_both_survivals(stdin: str, state: Path) -> None:
    """Without a terminal, with a stdin or not, it ends by itself, with exit code 0, and cleans up."""
    demo = await asyncio.create_subprocess_exec(
        "sh", "-c", f'exec "$0" "$@" {stdin}', *ORCHESTRATOR, "demo", stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "TMPDIR": str(state)},
    )  # fmt: skip
    said, _ = await asyncio.wait_for(demo.communicate(), DEMO_TIMEOUT_S)
    text = said.decode()
    assert demo.returncode == 0, text
    assert "survived the worker" in text
    assert "survived both" in text
    assert text.count("kill -9") == 2
    assert "worker_" in text
    assert (leftovers(str(state)), list(state.iterdir())) == ([], [])


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_a_signal_ends_it_in_order(number: signal.Signals, state: Path) -> None:
    """Exit code 1, one line, and neither the server nor its folder stays."""
    demo = await asyncio.create_subprocess_exec(
        *ORCHESTRATOR, "demo", stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE, env={**os.environ, "TMPDIR": str(state)},
    )  # fmt: skip
    assert demo.stdout is not None
    async with asyncio.timeout(DEMO_TIMEOUT_S):
        while b"kill -9" not in (line := await demo.stdout.readline()):
            assert line
        demo.send_signal(number)
        _, err = await demo.communicate()
    assert (demo.returncode, err.decode()) == (1, "Error: ended by a signal before it was done\n")
    assert (leftovers(str(state)), list(state.iterdir())) == ([], [])


@pytest.mark.tmux
async def test_on_a_terminal_there_is_a_prompt(state: Path, tmp_path: Path) -> None:
    """It sees the variable, and Ctrl-D ends it and all that was started; the rest of it is in `test_terminal`."""
    terminal = Terminal(tmp_path)
    environment = {"TMPDIR": str(state), "PYTHONPATH": os.pathsep.join(sys.path), "LANG": "C.UTF-8",
                   "BASCULE_HISTORY": ""}  # fmt: skip
    await terminal.start(environment, *ORCHESTRATOR, "demo")
    try:
        await terminal.shows("Ctrl-D ends")
        await terminal.enter("x * 2")
        await terminal.ends_with("20", ">>>")
        await terminal.press("C-d")
        assert await terminal.ended() == 0
    finally:
        await terminal.stop()
    assert (leftovers(str(state)), list(state.iterdir())) == ([], [])

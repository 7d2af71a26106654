"""`bascule demo`, as the README promises it: a value survives both kills, and nothing is left behind."""

import asyncio
import os
import pty
import signal
import sys
from pathlib import Path

import pytest

from support.processes import leftovers

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


async def test_on_a_terminal_there_is_a_prompt(state: Path) -> None:
    """It sees the variable, takes statements over several lines, is interrupted by Ctrl-C and ended by Ctrl-D."""
    terminal, end = pty.openpty()
    demo = await asyncio.create_subprocess_exec(
        *ORCHESTRATOR, "demo", stdin=end, stdout=end, stderr=end, start_new_session=True,
        env={**os.environ, "TMPDIR": str(state)},
    )  # fmt: skip
    os.close(end)
    screen = Screen(terminal)
    try:
        await screen.shows("Ctrl-D ends")
        for typed, shown in (
            ("x * 2\n", "20"),
            ("for n in range(3):\n    print('line', n * 7)\n\n", "line 14"),
            ("1/0\n", "ZeroDivisionError"),
            ("input('name? ')\n", "name? "),
            ("Ada\n", "'Ada'"),
        ):
            screen.type(typed)
            await screen.shows(shown)
        screen.type("while True: pass\n")
        await asyncio.sleep(0.5)
        demo.send_signal(2)
        await screen.shows("KeyboardInterrupt")
        await screen.shows(">>> ")
        screen.type("\x04")
        assert await asyncio.wait_for(demo.wait(), 30) == 0
    finally:
        screen.close()
        if demo.returncode is None:
            demo.kill()
    assert (leftovers(str(state)), list(state.iterdir())) == ([], [])


class Screen:
    """The other end of a terminal."""

    def __init__(self, terminal: int) -> None:
        self._terminal = terminal
        self._text = ""
        self._news = asyncio.Event()
        asyncio.get_running_loop().add_reader(terminal, self._read)

    def _read(self) -> None:
        try:
            self._text += os.read(self._terminal, 65536).decode("utf-8", "replace")
        except OSError:
            asyncio.get_running_loop().remove_reader(self._terminal)
        self._news.set()

    def type(self, text: str) -> None:
        """Press keys."""
        os.write(self._terminal, text.encode())

    async def shows(self, words: str) -> None:
        """Wait for words; what stands before them is not looked at again."""
        async with asyncio.timeout(DEMO_TIMEOUT_S):
            while words not in self._text:
                self._news.clear()
                await self._news.wait()
        self._text = self._text.partition(words)[2]

    def close(self) -> None:
        """Hang up."""
        asyncio.get_running_loop().remove_reader(self._terminal)
        os.close(self._terminal)

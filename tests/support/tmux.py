"""A real terminal, driven by tmux: keys in, and what is on the screen."""

from __future__ import annotations

import asyncio
import os
import shlex
import shutil
from collections.abc import Mapping
from pathlib import Path

WIDTH, HEIGHT = 100, 30
PATIENCE_S = 30.0
POLL_S = 0.05
ECHO_S = 0.5
"""For a key to be seen on the screen."""


class Terminal:
    """One window, 100 by 30, on a tmux server of its own."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._starts = 0
        self._path = os.defpath
        """tmux gives a window the PATH of whoever asked for it, whatever else it is told."""
        self._status = folder / "status"

    async def start(self, environment: Mapping[str, str], *words: str) -> None:
        """Run a program in it. The window stays when the program has ended."""
        self._starts += 1
        config = self._folder / "tmux.conf"
        config.write_text("set -g remain-on-exit on\nset -g history-limit 100000\n")
        given = [word for name, value in environment.items() for word in ("-e", f"{name}={value}")]
        # tmux itself loses the status of one program in two. Ctrl-C is not for the shell.
        new, status = (shlex.quote(str(path)) for path in (self._status.with_suffix(".new"), self._status))
        program = f"trap : INT; {shlex.join(words)}; echo $? > {new}; mv {new} {status}"
        self._status.unlink(missing_ok=True)
        size = ("-x", str(WIDTH), "-y", str(HEIGHT))
        self._path = environment.get("PATH", os.environ.get("PATH", os.defpath))
        await self._tmux("-f", str(config), "new-session", "-d", *size, *given, f"sh -c {shlex.quote(program)}")

    @property
    def _socket(self) -> Path:
        """Another one for each start: the server of the one before may still be on its way out."""
        return self._folder / f"tmux{self._starts}.sock"

    async def type(self, text: str) -> None:
        """Characters, as they are."""
        await self._tmux("send-keys", "-l", "--", text)

    async def press(self, *keys: str) -> None:
        """Keys by name: `Enter`, `C-c`, `Tab`."""
        await self._tmux("send-keys", *keys)

    async def interrupt(self) -> None:
        """Ctrl-C until it is heard: one that comes while the prompt is being put away is a key like any other."""
        while "^C" not in await self.screen():
            await self.press("C-c")
            await asyncio.sleep(ECHO_S)

    async def enter(self, line: str) -> None:
        """A line and Enter."""
        await self.type(line)
        await self.press("Enter")

    async def paste(self, text: str) -> None:
        """Several lines at once, as a terminal passes them on from its clipboard (bracketed)."""
        await self._tmux("set-buffer", "--", text)
        await self._tmux("paste-buffer", "-p", "-d")

    async def screen(self, *, all_of_it: bool = False) -> str:
        """What is to be seen now, and with `all_of_it` what has scrolled away as well."""
        return await self._tmux("capture-pane", "-p", "-J", *(["-S", "-"] if all_of_it else []))

    async def shows(self, *words: str, all_of_it: bool = False) -> str:
        """Wait until all of these are on the screen."""
        return await self._until(lambda text: all(word in text for word in words), words, all_of_it=all_of_it)

    async def ends_with(self, *lines: str) -> str:
        """Wait until these are the last lines that are not empty."""
        return await self._until(lambda text: _lines(text)[-len(lines) :] == list(lines), lines)

    async def _until(self, holds, what: tuple[str, ...], *, all_of_it: bool = False) -> str:
        text = ""
        try:
            async with asyncio.timeout(PATIENCE_S):
                # A screen has no event for what is on it.
                while not holds(text := await self.screen(all_of_it=all_of_it)):
                    await asyncio.sleep(POLL_S)
        except TimeoutError:
            raise AssertionError(f"the screen did not show {what}:\n{text}") from None
        return text

    async def ended(self) -> int:
        """Wait for the end of the program; its exit status."""
        async with asyncio.timeout(PATIENCE_S):
            while not self._status.exists():
                await asyncio.sleep(POLL_S)
        return int(self._status.read_text())

    async def settings(self) -> str:
        """Of the pane: whether it shows its alternate screen, its title, whether its cursor is to be seen."""
        return (await self._tmux("display-message", "-p", "#{alternate_on} #{cursor_flag} #{pane_title}")).strip()

    async def clipboard(self) -> str:
        """What a program put there through the terminal."""
        return await self._tmux("list-buffers")

    async def stop(self) -> None:
        """End the tmux server, and what runs in it."""
        found = (await self._tmux("display-message", "-p", "#{pid}", check=False)).strip()
        await self._tmux("kill-server", check=False)
        async with asyncio.timeout(PATIENCE_S):
            while found and Path(f"/proc/{found}").exists():
                await asyncio.sleep(POLL_S)

    async def _tmux(self, *words: str, check: bool = True) -> str:
        process = await asyncio.create_subprocess_exec(
            _program(), "-S", str(self._socket), *words, env={**os.environ, "PATH": self._path},
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        said, errors = await process.communicate()
        assert not check or process.returncode == 0, errors.decode()
        return said.decode()


def _program() -> str:
    return shutil.which("tmux") or "tmux"


def _lines(text: str) -> list[str]:
    return [line.rstrip() for line in text.splitlines() if line.strip()]

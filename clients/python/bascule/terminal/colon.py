"""The prompt's own commands. They begin with a colon, which no Python does."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bascule.answers import HistoryEntry
from bascule.async_session import AsyncSession
from bascule.terminal.screen import Screen
from bascule.terminal.tables import table

FILE_BYTES_MAX: Final = 1024 * 1024
"""Of a file for `:load`; the session's own limit (`code_bytes_max`) is lower."""


BRIEF_CHARS: Final = 60
"""Of the code that `:states` shows."""


@dataclass(frozen=True, slots=True)
class Help:
    """One line of `:help`."""

    usage: str
    meaning: str


HELP: Final = {
    ":help": Help(":help", "this list"),
    ":vars": Help(":vars [PREFIX]", "names of the session: type, bytes, value, whether the checkpoint has it"),
    ":info": Help(":info [NAME]", "of the session; of what a name stands for"),
    ":load": Help(":load FILE", "run a file of this machine"),
    ":files": Help(":files [FOLDER]", "what is in the session's working folder"),
    ":states": Help(":states", "states that the session can go back to, and what made them"),
    ":rewind": Help(":rewind SEQ", "go back to one of them"),
    ":fork": Help(":fork [NAME]", "a new session with the state of this one"),
    ":pin": Help(":pin NAME", "keep the state of now under a name"),
    ":unpin": Help(":unpin NAME", "let go of it"),
    ":interrupt": Help(":interrupt", "stop whatever runs in the session, by whomever it was sent"),
    ":reconnect": Help(":reconnect", "make the connection anew"),
    ":detach": Help(":detach", "leave, and the session goes on"),
    ":quit": Help(":quit", "leave (Ctrl-D); a session that was opened here ends"),
}
KEYS: Final = (
    ("Tab", "completes"),
    ("Ctrl-C", "interrupts what runs; twice: waits for it no longer"),
    ("Alt-Enter", "begins a new line, where Enter would run the input"),
    ("Ctrl-R", "searches what was typed before"),
)


class Wrong(Exception):
    """A command that cannot be carried out; the message says why."""


class Commands:
    """Carries them out. `leaving` is None while the prompt goes on, then the command that ends it."""

    def __init__(
        self, session: AsyncSession, screen: Screen, server: str, run: Callable[[str], Awaitable[None]]
    ) -> None:
        self._session = session
        self._screen = screen
        self._server = server
        self._run = run
        self.leaving: str | None = None

    async def carry_out(self, text: str) -> None:
        """One of them. Raises `Wrong` and `BasculeError`."""
        name, _, argument = text.strip().partition(" ")
        if name not in HELP:
            raise Wrong(f"there is no command {name}; `:help` lists them")
        argument = argument.strip()
        if argument and "[" not in HELP[name].usage and " " not in HELP[name].usage:
            raise Wrong(f"usage: {HELP[name].usage}")
        await getattr(self, f"_{name[1:]}")(argument)

    async def _help(self, argument: str) -> None:
        rows = [(line.usage, line.meaning) for line in HELP.values()]
        await self._screen.line("\n".join(f"{left:<16} {right}" for left, right in [*rows, *KEYS]))

    async def _vars(self, prefix: str) -> None:
        found = await self._session.variables(prefix or None)
        rows = [(item.name, item.type, item.size, item.repr, "" if item.kept else "not kept") for item in found]
        await self._screen.line(table(("name", "type", "bytes", "value", ""), rows))

    async def _info(self, name: str) -> None:
        if not name:
            rows = [("session", self._session.id), ("server", self._server), ("seq", self._session.seq)]
            await self._screen.line(table(("etag", self._session.etag), rows))
            return
        found = await self._session.inspect(name, len(name), detail=1)
        if not found.found:
            raise Wrong(f"{name} stands for nothing here")
        parts = (f"{found.name}: {found.type}", found.signature, found.docstring, found.source)
        await self._screen.line("\n\n".join(part.rstrip("\n") for part in parts if part))

    async def _load(self, name: str) -> None:
        if not name:
            raise Wrong(f"usage: {HELP[':load'].usage}")
        await self._run(read_source(Path(name).expanduser()))

    async def _files(self, folder: str) -> None:
        found = await self._session.files.list(folder or ".")
        rows = [(item.name + ("/" if item.kind == "folder" else ""), item.size) for item in found]
        await self._screen.line(table(("name", "bytes"), rows))

    async def _states(self, argument: str) -> None:
        states, pins = await self._session.states(), await self._session.pins()
        names = {seq: ", ".join(pin.name for pin in pins if pin.seq == seq) for seq in {pin.seq for pin in pins}}
        kept = sorted({*states, *names})
        made = {entry.seq: _brief(entry) for entry in await self._session.history()}
        rows = [(seq, names.get(seq, ""), made.get(seq, "")) for seq in kept]
        await self._screen.line(table(("seq", "pin", "after"), rows))

    async def _rewind(self, argument: str) -> None:
        if not (argument.isascii() and argument.isdigit()):
            raise Wrong(f"usage: {HELP[':rewind'].usage}; `:states` lists them")
        done = await self._session.rewind(int(argument[:18]))
        lost = f"; could not be brought back: {', '.join(done.unsaved)}" if done.unsaved else ""
        await self._screen.tell(f"as after {done.to}; this is {done.seq}{lost}")

    async def _fork(self, name: str) -> None:
        other = await self._session.fork(name=name or None)
        await other.detach()
        await self._screen.tell(f"forked; go to it with: bascule repl --session {other.id}")

    async def _pin(self, name: str) -> None:
        if not name:
            raise Wrong(f"usage: {HELP[':pin'].usage}")
        pin = await self._session.pin(name)
        await self._screen.tell(f"{pin.name} is the state of {pin.seq}")

    async def _unpin(self, name: str) -> None:
        if not name:
            raise Wrong(f"usage: {HELP[':unpin'].usage}")
        await self._session.unpin(name)

    async def _interrupt(self, argument: str) -> None:
        await self._screen.tell(await self._session.interrupt())

    async def _reconnect(self, argument: str) -> None:
        await self._session.reconnect()

    async def _detach(self, argument: str) -> None:
        self.leaving = "detach"

    async def _quit(self, argument: str) -> None:
        self.leaving = "quit"


def _brief(entry: HistoryEntry) -> str:
    """What made a state, on one line."""
    text = entry.code if entry.code is not None else f"{entry.type} {' '.join(map(str, entry.body.values()))}"
    line = text.strip().partition("\n")[0]
    return line if len(line) <= BRIEF_CHARS else line[: BRIEF_CHARS - 1] + "…"


def read_source(path: Path) -> str:
    """Source text of a file. Raises `Wrong`."""
    try:
        if path.stat().st_size > FILE_BYTES_MAX:
            raise Wrong(f"{path}: longer than {FILE_BYTES_MAX} bytes")
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise Wrong(f"{path}: {getattr(error, 'strerror', None) or error}") from None

"""A program run in a session, its output on ours: what `bascule exec` does."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from dataclasses import asdict, dataclass
from typing import Any, TextIO

from bascule.async_client import AsyncClient
from bascule.async_session import AsyncSession
from bascule.evaluation import EvalOptions
from bascule.execution import Execution
from bascule.terminal.lines import StandardInput
from bascule.terminal.running import Runner
from bascule.terminal.screen import Screen


@dataclass(frozen=True, slots=True)
class ExecOptions:
    """How."""

    session: str | None = None
    """An existing one; None: a new one, which ends with the program."""
    stdin: TextIO | None = None
    """Where `input()` gets its lines; None: it raises `EOFError`."""
    timeout_s: float | None = None
    silent: bool = False
    """The value of the last expression is not shown."""
    raw: bool = False
    """Output passes as it is, terminal escapes too."""
    as_json: bool = False
    """One object on stdout when it has ended, in place of its output."""


@dataclass(frozen=True, slots=True)
class Ended:
    """How it ended."""

    execution: Execution
    was_interrupted: bool


async def execute(client: AsyncClient, code: str, options: ExecOptions) -> Ended:
    """Run it, and show what it says. Raises `BasculeError`, `GivenUp`, and `OSError` when our stdout is closed."""
    opening = client.open() if options.session is None else client.attach(options.session)
    async with opening as session:
        return await (_collected if options.as_json else _shown)(session, code, options)


async def _shown(session: AsyncSession, code: str, options: ExecOptions) -> Ended:
    screen = Screen(sys.stdout, sys.stderr, raw=options.raw)
    execution, was_interrupted = await _run(session, screen, code, options)
    if execution.text is not None:
        await screen.line(execution.text)
    await screen.finish()
    if execution.receipt.truncated:
        await screen.tell(f"{execution.receipt.truncated} bytes of output were cut")
    return Ended(execution, was_interrupted)


async def _collected(session: AsyncSession, code: str, options: ExecOptions) -> Ended:
    """Escapes need no filter here: JSON writes them out."""
    nowhere = Screen(_Nowhere(), _Nowhere())  # type: ignore[arg-type]
    execution, was_interrupted = await _run(session, nowhere, code, options)
    sys.stdout.write(json.dumps(as_object(session.id, execution)) + "\n")
    sys.stdout.flush()
    return Ended(execution, was_interrupted)


async def _run(session: AsyncSession, screen: Screen, code: str, options: ExecOptions) -> tuple[Execution, bool]:
    ask = StandardInput(options.stdin, screen).ask if options.stdin is not None else None
    runner = Runner(session, screen, ask)
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGINT, runner.interrupt)
    try:
        asked = EvalOptions(True, options.timeout_s, ask is not None, options.silent)
        return await runner.run(code, asked), runner.interrupts > 0
    finally:
        loop.remove_signal_handler(signal.SIGINT)


def as_object(session: str, execution: Execution) -> dict[str, Any]:
    """For `-o json`: the fields of an `Execution`, its texts joined."""
    made = {**asdict(execution), "session": session}
    logs = made.pop("logs")
    return {**made, **{name: "".join(pieces) for name, pieces in logs.items()}}


class _Nowhere:
    """A stream that keeps nothing."""

    def write(self, text: str) -> int:
        return len(text)

    def flush(self) -> None:
        return

    def isatty(self) -> bool:
        return False

"""A plain prompt over the WebSocket: Ctrl-C interrupts, Ctrl-D ends."""

from __future__ import annotations

import asyncio
import contextlib
import getpass
import signal
import sys
import threading
from collections.abc import Callable
from typing import Final

from orchestrator.demo.client import DemoClient, Envelope
from replwire.errors import ERROR_CODES
from replwire.frames import END_OF_INPUT

HINT: Final = "Ctrl-C interrupts, Ctrl-D ends.\n"


async def run_prompt(client: DemoClient) -> None:
    """Read, evaluate, print, until the input ends or the session does."""
    with contextlib.suppress(ImportError):
        import readline  # noqa: F401 - gives input() a history and editing
    _write(HINT)
    prompt = _Prompt(client)
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGINT, prompt.interrupt)
    try:
        while (source := await prompt.read()) is not None:
            if source.strip():
                await prompt.evaluate(source)
    finally:
        loop.remove_signal_handler(signal.SIGINT)
        _write("\n")


class _Prompt:
    def __init__(self, client: DemoClient) -> None:
        self._client = client
        self._running: str | None = None
        self._tasks: set[asyncio.Task[object]] = set()

    async def read(self) -> str | None:
        """A whole statement, over several lines if it takes them; None at the end of the input."""
        lines: list[str] = []
        while (line := await _in_thread(lambda: input("... " if lines else ">>> "))) is not None:
            lines.append(line)
            source = "\n".join(lines)
            if not line.strip() or await self._is_whole(source):
                return source
        return None

    async def _is_whole(self, source: str) -> bool:
        reply = await self._client.ask("is_complete", code=source)
        return bool(reply.get("status") != "incomplete")

    async def evaluate(self, source: str) -> None:
        """Run it and show what it writes as it comes, then its value or why there is none."""
        self._running = await self._client.send("eval", code=source, stream=True, allow_stdin=True)
        try:
            terminal = await self._client.answer(self._running, self._show, timeout_s=None)
        finally:
            self._running = None
        payload = terminal["payload"]
        if terminal["type"] == "error":
            state = ERROR_CODES[payload["code"]].state if payload.get("code") in ERROR_CODES else "unknown"
            _write(f"{payload.get('code')}: {payload.get('message')} (session: {state})\n")
            return
        _write(payload["stdout"] + payload["stderr"])
        if payload["output"] is not None:
            _write(payload["output"] + "\n")

    async def _show(self, event: Envelope) -> None:
        payload = event["payload"]
        if event["type"] == "stream":
            _write(payload["text"])
        elif event["type"] == "display":
            _write(payload["data"].get("text/plain", "") + "\n")
        elif event["type"] == "input_request":
            ask = getpass.getpass if payload["password"] else input
            text = await _in_thread(lambda: ask(payload["prompt"]))
            await self._client.ask("input", target=event["id"], text=END_OF_INPUT if text is None else text)

    def interrupt(self) -> None:
        """What Ctrl-C does."""
        if self._running is None:
            _write(f"\n{HINT}")
            return
        task: asyncio.Task[object] = asyncio.ensure_future(self._client.ask("interrupt", target=self._running))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


async def _in_thread(read: Callable[[], str]) -> str | None:
    """A line from the terminal, None at its end. The thread is a daemon: a prompt that nobody answers ends with us."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[str | None] = loop.create_future()

    def run() -> None:
        try:
            line: str | None = read()
        except (EOFError, KeyboardInterrupt):
            line = None
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(_settle, future, line)

    threading.Thread(target=run, daemon=True).start()
    return await future


def _settle(future: asyncio.Future[str | None], line: str | None) -> None:
    if not future.done():
        future.set_result(line)


def _write(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()

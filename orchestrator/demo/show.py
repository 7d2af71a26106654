"""The show: evaluate, kill the worker, see the value, kill the server, see the value."""

from __future__ import annotations

import asyncio
import secrets
import signal
import sys
import time
from typing import Final

from bascule import AsyncClient, AsyncSession, BasculeError, WorkerDiedError
from bascule.execution import Execution
from orchestrator.demo.server import DemoError, DemoServer, kill_worker, throw_away_folder

__all__ = ["DemoError", "run_demo"]

CODE: Final = "x = sum(range(5)); x"
VALUE: Final = "10"
_LONG_EVAL: Final = "import time; print('running'); time.sleep(20)"


def run_demo(*, prompt: bool) -> None:
    """Show it, then a prompt if wanted; cleans up after itself. Raises `DemoError`."""
    with throw_away_folder() as folder:
        try:
            asyncio.run(_demo(DemoServer(folder, token := secrets.token_urlsafe(16)), token, prompt=prompt))
        except (KeyboardInterrupt, asyncio.CancelledError):
            raise DemoError("ended by a signal before it was done") from None


async def _demo(server: DemoServer, token: str, *, prompt: bool) -> None:
    task = asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    try:
        session = await _survive_worker(server, token)
        await _survive_server(server, session)
        async with AsyncClient(token, server.url) as client:
            async with client.attach(session) as attached:
                _say("attached", f"at seq {attached.seq}")
                _expect(await _eval(attached, "x"), "survived both")
            if prompt:
                await _prompt(client, session)
    except (OSError, BasculeError) as error:
        raise DemoError(str(error)) from None
    finally:
        await server.stop()


async def _prompt(client: AsyncClient, session: str) -> None:
    try:
        from bascule.terminal.repl import run_repl
    except ImportError:
        raise DemoError("the prompt needs more than is installed: pip install 'bascule[cli]'") from None
    await run_repl(client, session=session, is_last=True)


async def _survive_worker(server: DemoServer, token: str) -> str:
    _say("server", f"bascule serve --embedded: ready in {await _started(server):.2f} s at {server.url}")
    async with AsyncClient(token, server.url) as client:
        session = await client.open()
        _expect(await _eval(session, CODE), "as it should be")
        await _kill_worker(server, session)
        _expect(await _eval(session, "x"), "survived the worker")
    return session.id


async def _kill_worker(server: DemoServer, session: AsyncSession) -> None:
    running = asyncio.Event()
    long_eval = asyncio.create_task(session.run(_LONG_EVAL, on_stdout=lambda text: running.set()))
    waiting = asyncio.create_task(running.wait())
    await asyncio.wait((long_eval, waiting), return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
    worker = await server.worker_of(session.id)
    began = time.monotonic()
    _say("kill -9", f"worker {worker}, in the middle of an eval (processes {_list(kill_worker(worker))})")
    try:
        await long_eval
    except WorkerDiedError as told:
        _say("told", f"{told.code}: {told.message} (after {(time.monotonic() - began) * 1000:.0f} ms)")
    else:
        raise DemoError("the eval ended well although its worker was killed")
    finally:
        # A signal may come with its end: nobody would hear of that then, and Python says so on stderr.
        await asyncio.gather(long_eval, return_exceptions=True)


async def _survive_server(server: DemoServer, session: str) -> None:
    _say("kill -9", f"server (process {await server.kill()})")
    _say("server", f"ready again in {await _started(server):.2f} s; attaching to {session}")


async def _started(server: DemoServer) -> float:
    began = time.monotonic()
    await server.start()
    return time.monotonic() - began


async def _eval(session: AsyncSession, code: str) -> Execution:
    _say(">>>", code)
    return await session.run(code)


def _expect(done: Execution, words: str) -> None:
    if done.text != VALUE:
        raise DemoError(f"expected {VALUE}, got {done.text}: {done.error}")
    _say(done.text, f"{words} (seq {done.seq}, {done.state}, durable: {done.durable})")


def _say(left: str, right: str) -> None:
    sys.stdout.write(f"{left:>9}  {right}\n")
    sys.stdout.flush()


def _list(numbers: list[int]) -> str:
    return ", ".join(map(str, numbers))

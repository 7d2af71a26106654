"""The show: evaluate, kill the worker, see the value, kill the server, see the value."""

from __future__ import annotations

import asyncio
import secrets
import signal
import sys
import time
from typing import Any, Final

from orchestrator.demo.client import DemoClient, Envelope, connected
from orchestrator.demo.prompt import run_prompt
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
        async with connected(server.url, token) as client:
            await _attach(client, session)
            _expect(await _eval(client, "x"), "survived both")
            if prompt:
                await run_prompt(client)
    except OSError as error:
        raise DemoError(str(error)) from None
    finally:
        await server.stop()


async def _survive_worker(server: DemoServer, token: str) -> str:
    _say("server", f"bascule serve --embedded: ready in {await _started(server):.2f} s at {server.url}")
    async with connected(server.url, token) as client:
        session: str = (await client.ask("open"))["session"]
        _expect(await _eval(client, CODE), "as it should be")
        await _kill_worker(server, client, session)
        _expect(await _eval(client, "x"), "survived the worker")
    return session


async def _kill_worker(server: DemoServer, client: DemoClient, session: str) -> None:
    running = asyncio.Event()

    async def started(event: Envelope) -> None:
        if event["type"] == "stream":
            running.set()

    long_eval = asyncio.create_task(client.answer(await client.send("eval", code=_LONG_EVAL, stream=True), started))
    waiting = asyncio.create_task(running.wait())
    await asyncio.wait((long_eval, waiting), return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
    worker = await server.worker_of(session)
    began = time.monotonic()
    _say("kill -9", f"worker {worker}, in the middle of an eval (processes {_list(kill_worker(worker))})")
    told = (await long_eval)["payload"]
    milliseconds = (time.monotonic() - began) * 1000
    _say("told", f"{told.get('code')}: {told.get('message')} (after {milliseconds:.0f} ms)")


async def _survive_server(server: DemoServer, session: str) -> None:
    _say("kill -9", f"server (process {await server.kill()})")
    _say("server", f"ready again in {await _started(server):.2f} s; attaching to {session}")


async def _started(server: DemoServer) -> float:
    began = time.monotonic()
    await server.start()
    return time.monotonic() - began


async def _attach(client: DemoClient, session: str) -> None:
    reply = await client.ask("attach", session=session)
    _say("attached", f"at seq {reply.get('seq')}")


async def _eval(client: DemoClient, code: str) -> dict[str, Any]:
    _say(">>>", code)
    return await client.ask("eval", code=code)


def _expect(result: dict[str, Any], words: str) -> None:
    if result["output"] != VALUE:
        raise DemoError(f"expected {VALUE}, got {result['output']}: {result.get('stderr')}")
    _say(result["output"], f"{words} (seq {result['seq']}, {result['state']}, durable: {result['durable']})")


def _say(left: str, right: str) -> None:
    sys.stdout.write(f"{left:>9}  {right}\n")
    sys.stdout.flush()


def _list(numbers: list[int]) -> str:
    return ", ".join(map(str, numbers))

"""An eval on a terminal: output while it runs, questions asked, Ctrl-C."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Final

from bascule.async_session import AsyncSession
from bascule.errors import BasculeError
from bascule.evaluation import EvalOptions, Evaluation
from bascule.events import ClearOutput, Display, Event, Gap, InputRequest, Stderr, Stdout
from bascule.execution import AsyncExecution, Execution
from bascule.results import Result
from bascule.terminal.pictures import Pictures
from bascule.terminal.screen import Screen
from replwire.frames import END_OF_INPUT

Ask = Callable[[InputRequest], Awaitable[str]]
"""A line for `input()`; raises `EOFError` when there is none, `KeyboardInterrupt` when Ctrl-C was pressed instead."""

STILL_RUNS: Final = "not waiting any longer; what does not obey the interrupt loses its worker soon"


class GivenUp(Exception):
    """Ctrl-C twice: nobody waits for the eval any longer."""


class Runner:
    """Runs one eval after another in a session."""

    def __init__(self, session: AsyncSession, screen: Screen, ask: Ask | None) -> None:
        self._session = session
        self._screen = screen
        self._ask = ask
        self._pictures = Pictures()
        self._following: asyncio.Task[AsyncExecution] | None = None
        self._evaluation: Evaluation[AsyncExecution] | None = None
        self._asking: asyncio.Task[None] | None = None
        self._side_tasks: set[asyncio.Task[None]] = set()
        self.listen: Callable[[], None] = lambda: None
        """Called when a question was asked on the terminal, which takes the handler of Ctrl-C away."""
        self.interrupts = 0
        """Ctrl-C during the last eval."""

    async def run(self, code: str, options: EvalOptions | None = None) -> Execution:
        """Until it has ended and all it said is shown. Raises `BasculeError`, `GivenUp`, `OSError` of the terminal."""
        self.interrupts = 0
        options = options or EvalOptions(stream=True, allow_stdin=self._ask is not None)
        self._following = asyncio.create_task(self._run(code, options))
        try:
            execution = await self._following
        except asyncio.CancelledError:
            if self.interrupts < 2:
                raise
            raise GivenUp(STILL_RUNS) from None
        finally:
            self._following = self._evaluation = None
            await self._screen.finish()
        return execution

    async def _run(self, code: str, options: EvalOptions) -> AsyncExecution:
        self._evaluation = await self._session.begin(code, options)
        try:
            while events := await self._evaluation.take():
                for event in events:
                    await self._show(event, self._evaluation)
                    await asyncio.sleep(0)  # Ctrl-C is heard between two events, however many there are
            return await self._evaluation.finish()
        except BaseException:
            await self._evaluation.abandon()
            raise
        finally:
            await self._ask_no_more()

    async def _show(self, event: Event, evaluation: Evaluation[AsyncExecution]) -> None:
        match event:
            case Stdout():
                await self._screen.write(event.text)
            case Stderr():
                await self._screen.write(event.text, "stderr")
            case Display():
                await self.show(event.result)
            case ClearOutput():
                await self._screen.clear_line()
            case Gap():
                await self._screen.tell("output is missing here: it came while the connection was lost")
            case InputRequest():
                self._asking = asyncio.create_task(self._answer(event, evaluation))
            case _:
                pass

    async def show(self, result: Result) -> None:
        """What was displayed: its text, and where its pictures are."""
        if result.text is not None:
            await self._screen.line(str(result.text))
        for words in self._pictures.words(result):
            await self._screen.tell(words)

    async def show_pictures(self, result: Result | None) -> None:
        """Of a value whose text is shown elsewhere."""
        for words in self._pictures.words(result) if result is not None else ():
            await self._screen.tell(words)

    # --- questions ----------------------------------------------------------------------------------------------

    async def _answer(self, event: InputRequest, evaluation: Evaluation[AsyncExecution]) -> None:
        """In a task of its own: the eval may end, or say more, while nobody answers."""
        assert self._ask is not None
        try:
            await evaluation.send_input(event, await self._line(self._ask, event))
        except KeyboardInterrupt:
            self.interrupt()
        except BasculeError:
            pass  # the eval ended meanwhile, which its result says

    async def _line(self, ask: Ask, event: InputRequest) -> str:
        try:
            return await ask(event)
        except EOFError:
            return END_OF_INPUT
        finally:
            self.listen()

    async def _ask_no_more(self) -> None:
        asking, self._asking = self._asking, None
        if asking is not None:
            asking.cancel()
            await asyncio.gather(asking, return_exceptions=True)

    # --- Ctrl-C -------------------------------------------------------------------------------------------------

    def interrupt(self) -> bool:
        """What Ctrl-C does: stop the eval; the second time, wait for it no longer. False when none runs."""
        if self._following is None:
            return False
        self.interrupts += 1
        if self.interrupts > 1:
            self._following.cancel()
        else:
            task = asyncio.create_task(self._interrupt())
            self._side_tasks.add(task)
            task.add_done_callback(self._side_tasks.discard)
        return True

    async def _interrupt(self) -> None:
        if self._evaluation is not None:
            with contextlib.suppress(BasculeError):
                await self._session.interrupt(self._evaluation.id)

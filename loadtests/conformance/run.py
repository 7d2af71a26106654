"""Runs the doctests of the worker's own standard library through sessions of a server that is already there."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

from loadtests.client import Payload, ReplClient, RequestFailed
from loadtests.conformance.compare import Example, examples_of, is_equal, shown
from loadtests.conformance.fire import Fire, Gunner
from loadtests.conformance.reasons import OWN_RUNNER, UNSAVED, Table

EXTRACT: Final = Path(__file__).with_name("extract.py")
MODULE_TIMEOUT_S: Final = 180.0
MODULE_TIMEOUT_UNDER_FIRE_S: Final = 900.0
OPEN_TRIES_MAX: Final = 10
OPEN_WAIT_S: Final = 0.5
NOT_HERE: Final = frozenset({"ImportError", "ModuleNotFoundError", "SkipTest"})
"""Exceptions by which a module says that it is not for this machine."""

ANSWER: Final = "conformance answer: "
TEST_PACKAGE: Final = ("test.", "test/")

Kind = Literal["equal", "differs", "failed"]

# A doctest begins with nothing but its module's globals, `__name__` among them. The `;` hides the value.
RESET: Final = (
    "(lambda own, fresh: (own.clear(), own.update(fresh)))"
    "(globals(), dict(vars(__import__('importlib').import_module({name!r}))));"
)
RESET_TEXT_FILE: Final = "(lambda own: (own.clear(), own.update(__name__='__main__')))(globals());"


@dataclass(frozen=True, slots=True)
class Judged:
    """One example and how it ended."""

    example: Example
    kind: Kind
    seen: str
    reason: str = ""
    lost: tuple[str, ...] = ()
    """Names that it reaches and that went with a worker, told as `unsaved` before."""


@dataclass(slots=True)
class Report:
    """What a whole run found."""

    judged: list[Judged] = field(default_factory=list)
    left_out: dict[str, str] = field(default_factory=dict)
    """Modules that were not run, with the reason of the table."""
    absent: dict[str, str] = field(default_factory=dict)
    """Modules that cannot be imported where the worker runs, with what Python says."""
    broken: dict[str, str] = field(default_factory=dict)
    """Modules that could not be run to their end for any other reason: failures."""
    unneeded: list[str] = field(default_factory=list)
    """Entries of the table that nothing needed."""
    python: str = ""
    wall_s: float = 0.0
    kills: int = 0
    """Workers that were killed before an example."""

    def of(self, kind: Kind) -> list[Judged]:
        """The examples that ended so."""
        return [item for item in self.judged if item.kind == kind]

    @property
    def passed(self) -> bool:
        """Whether everything is equal or has its reason."""
        return bool(self.judged) and not self.broken and not self.of("failed")


@dataclass(slots=True)
class _Run:
    url: str
    token: str
    table: Table
    report: Report
    names: asyncio.Queue[str]
    tell: Callable[[str], None]
    fire: Fire | None

    @asynccontextmanager
    async def session(self) -> AsyncIterator[ReplClient]:
        """A session of its own, closed at the end so that its worker makes room."""
        client = await ReplClient.connect(self.url, self.token)
        try:
            await _open(client)
            try:
                yield client
            finally:
                with contextlib.suppress(RequestFailed, ConnectionError):
                    await client.request("close")
        finally:
            await client.close()


async def run(
    url: str, token: str, table: Table, *, sessions: int, modules: Sequence[str] = (), tell: Callable[[str], None],
    fire: Fire | None = None,
) -> Report:  # fmt: skip
    """Every candidate module, or those named, with a few sessions at once; raises `ConnectionError` when it can't.

    `fire`: kill the workers meanwhile.
    """
    started, table = time.monotonic(), table.for_fire() if fire else table
    state = _Run(url, token, table, Report(), asyncio.Queue(), tell, fire)
    for name in modules or await _candidates(state):
        state.names.put_nowait(name)
    async with asyncio.TaskGroup() as tasks:
        for _ in range(sessions):
            tasks.create_task(_work(state))
    report = state.report
    differing = [item.example.name for item in report.judged if item.kind != "equal"]
    report.unneeded = table.unneeded(differing, [item.example.name for item in report.judged])
    report.judged.sort(key=lambda item: (item.example.doctest, item.example.index))
    report.wall_s = time.monotonic() - started
    return report


async def _open(client: ReplClient) -> None:
    """A session with a worker; waits while the server says that it has no room."""
    client.session = (await client.request("open")).get("session", "")
    for _ in range(OPEN_TRIES_MAX - 1):
        try:
            await client.eval("None")
            return
        except RequestFailed as error:
            if error.code != "capacity":
                raise
        await asyncio.sleep(OPEN_WAIT_S)
    await client.eval("None")


async def _candidates(state: _Run) -> list[str]:
    async with state.session() as client:
        state.report.python = (await client.eval("import sys; sys.version.split()[0]"))["output"].strip("'")
        names: list[str] = await _call(client, "candidates()")
    for name in names:
        if (why := state.table.why_left_out(name)) is not None:
            state.report.left_out[name] = why
    return [name for name in names if name not in state.report.left_out]


class CallFailed(Exception):
    """A function of `extract` raised; the text is what Python said."""

    def __init__(self, error: dict[str, Any]) -> None:
        super().__init__(f"{error['name']}: {error['message']}")
        self.name = str(error["name"]).rpartition(".")[2]


async def _call(client: ReplClient, expression: str) -> Any:
    """The value of one of `extract`'s functions; its source goes along, because a reset forgets it."""
    for code in (EXTRACT.read_text(encoding="utf-8"), f"print({ANSWER!r} + {expression})"):
        answer = await client.eval(code, stream=True)
        if answer["error"] is not None:
            raise CallFailed(answer["error"])
    return answer_in("".join(client.streamed))


def answer_in(text: str) -> Any:
    """The value in what was printed: a module may print something of its own when it is imported."""
    return json.loads(text.rpartition(ANSWER)[2].partition("\n")[0])


async def _work(state: _Run) -> None:
    while not state.names.empty():
        name = state.names.get_nowait()
        try:
            async with asyncio.timeout(MODULE_TIMEOUT_UNDER_FIRE_S if state.fire else MODULE_TIMEOUT_S):
                await _run_module(state, name)
        except CallFailed as error:
            (state.report.absent if error.name in NOT_HERE else state.report.broken)[name] = str(error)
        except (RequestFailed, ConnectionError, TimeoutError) as error:
            state.report.broken[name] = f"{type(error).__name__}: {error}"


async def _run_module(state: _Run, name: str) -> None:
    flags = state.table.flags.get(name, ())
    judged: list[Judged] = []
    async with state.session() as client:
        gunner = Gunner(client, state.fire)
        for described in await _call(client, f"examine({name!r})"):
            await gunner.prepare(RESET_TEXT_FILE if name.endswith(".txt") else RESET.format(name=name))
            for example in examples_of(described, flags):
                if not example.skipped:
                    judged.append(await _judge(gunner, example))
        state.report.kills += gunner.kills
    if any(item.kind != "equal" for item in judged):
        judged = _with_reasons(judged, await _control(state, name, flags), state.table)
    state.report.judged += judged
    if judged:
        state.tell(f"{name}: {sum(item.kind == 'equal' for item in judged)} of {len(judged)} equal")


async def _judge(gunner: Gunner, example: Example) -> Judged:
    try:
        payload: Payload = await gunner.example(example.source)
    except RequestFailed as error:
        return Judged(example, "failed", str(error))
    seen = shown(payload)
    equal, lost = is_equal(example, seen), tuple(gunner.losses.reached(example.source))
    gunner.losses.ran(example.source, equal=equal)
    return Judged(example, "equal" if equal else "failed", seen.words, lost=lost)


async def _control(state: _Run, name: str, flags: Sequence[str]) -> dict[str, list[Any]]:
    """What Python's own runner gets in a fresh session; nothing if it does not come to an end there."""
    try:
        async with state.session() as client:
            found: dict[str, list[Any]] = await _call(client, f"control({name!r}, {list(flags)!r})")
            return found
    except (CallFailed, RequestFailed):
        return {}


def _with_reasons(judged: list[Judged], control: dict[str, list[Any]], table: Table) -> list[Judged]:
    return [item if item.kind == "equal" else _with_reason(item, control, table) for item in judged]


def _with_reason(item: Judged, control: dict[str, list[Any]], table: Table) -> Judged:
    equal_there, _ = control.get(item.example.name, [True, ""])
    if not equal_there:
        return Judged(item.example, "differs", item.seen, OWN_RUNNER)
    reason = table.reason_of(item.example.name)
    if reason is not None:
        return Judged(item.example, "differs", item.seen, reason.name)
    return Judged(item.example, "differs", item.seen, UNSAVED, item.lost) if item.lost else item


def is_of_test_package(example: Example) -> bool:
    """Whether it comes from the `test` package rather than from a module's docstring."""
    return example.doctest.startswith(TEST_PACKAGE)

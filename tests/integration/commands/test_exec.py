"""`bascule exec` and `bascule session` as programs: what goes where, and how they end."""

from __future__ import annotations

import asyncio
import json
import signal
from pathlib import Path

import pytest

from bascule import AsyncClient, NotFoundError, SessionGoneError
from support.programs import Ended, run, start
from support.server import TOKEN, Server

pytestmark = [pytest.mark.bubblewrap, pytest.mark.redis]


async def test_a_program_from_stdin(embedded: Server):
    """stdout and stderr are apart; the value is shown as a prompt would, or not with --silent."""
    source = "import sys\nprint('out')\nprint('err', file=sys.stderr)\n6 * 7\n"
    assert await run(embedded.url, "exec", "-", stdin=source) == Ended(0, "out\n42\n", "err\n")
    assert (await run(embedded.url, "exec", "-", "--silent", stdin=source)).out == "out\n"


async def test_an_exception_of_the_code_is_exit_code_1(embedded: Server):
    """Its traceback is on stderr, once."""
    done = await run(embedded.url, "exec", "-", stdin="print('before')\n1 / 0\n")
    assert (done.status, done.out) == (1, "before\n")
    assert done.err.startswith("Traceback") and done.err.count("ZeroDivisionError") == 1


async def test_as_json(embedded: Server):
    """One object, whatever happened; every control character in it is written out."""
    done = await run(embedded.url, "exec", "-", "-o", "json", stdin="print('\\x1b]0;t\\x07')\n1 / 0\n")
    said = json.loads(done.out)
    assert (done.status, said["stdout"], said["error"]["name"]) == (1, "\x1b]0;t\x07\n", "ZeroDivisionError")
    assert said["session"].startswith("ses_") and said["state"] == "committed"
    assert done.out.isprintable() or "\x1b" not in done.out


async def test_stdin_is_passed_on_to_input(embedded: Server, tmp_path: Path):
    """Line by line, to its end; without --stdin there is none."""
    program = tmp_path / "program.py"
    program.write_text("print('hello', input('name? '))\n")
    assert await run(embedded.url, "exec", str(program), "--stdin", stdin="Ada\n") == Ended(0, "name? hello Ada\n", "")
    dry = await run(embedded.url, "exec", str(program), "--stdin")
    assert dry.status == 1 and "EOFError: " in dry.err
    adding = "import sys; sum(int(line) for line in sys.stdin)"
    program.write_text(adding)
    assert await run(embedded.url, "exec", str(program), "--stdin", stdin="1\n2\n39") == Ended(0, "42\n", "")
    program.write_text("input()")
    without = await run(embedded.url, "exec", str(program), stdin="Ada\n")
    assert without.status == 1 and "EOFError" in without.err


async def test_output_comes_while_it_runs_and_ctrl_c_interrupts(embedded: Server, tmp_path: Path):
    """The first line is there before the end; SIGINT ends it in order with exit code 130."""
    program = tmp_path / "program.py"
    program.write_text("import time\nprint('begun', flush=True)\ntime.sleep(60)\n")
    process = await start(embedded.url, "exec", str(program))
    assert process.stdout is not None
    assert await process.stdout.readline() == b"begun\n"
    process.send_signal(signal.SIGINT)
    _, err = await process.communicate()
    assert (process.returncode, b"KeyboardInterrupt" in err) == (130, True)


async def test_b08_escapes_are_made_visible_unless_raw(embedded: Server):
    """In output and in the value; colours pass."""
    source = "print('\\x1b[31mred\\x1b[0m \\x1b]52;c;eA==\\x07')\ntype('E', (), {'__repr__': lambda s: '\\x1b[2J'})()\n"
    assert (await run(embedded.url, "exec", "-", stdin=source)).out == "\x1b[31mred\x1b[0m ␛]52;c;eA==␇\n␛[2J\n"
    assert "\x1b]52;c;eA==\x07" in (await run(embedded.url, "exec", "-", "--raw", stdin=source)).out


@pytest.mark.parametrize(
    ("words", "source", "status", "why"),
    [
        (("-", "--timeout", "0.5"), "while True: pass", 124, "KeyboardInterrupt"),
        (("-",), "import os; os._exit(3)", 6, "worker_crashed"),
        (("-",), "'" + "x" * 200_000 + "'", 2, "too_large"),
        (("-", "--token", "wrong"), "1", 3, "unauthenticated"),
        (("-", "--session", "ses_none"), "1", 4, "not_found"),
        (("-", "--url", "ws://127.0.0.1:1"), "1", 5, "no connection to the server"),
        (("-", "--url", "ftp://x"), "1", 2, "not like ws://"),
        (("-", "--stdin"), "1", 2, "--stdin needs a FILE"),
        (("/none.py",), "", 2, "No such file"),
    ],
)
async def test_exit_codes(embedded: Server, words: tuple[str, ...], source: str, status: int, why: str):
    """As documented, each with words on stderr."""
    done = await run(embedded.url, "exec", *words, stdin=source)
    assert (done.status, why in done.err, done.out) == (status, True, ""), done.err


async def test_nobody_reads_stdout_any_longer(embedded: Server):
    """`bascule exec … | head`: it ends, and does not run on until its output is done."""
    process = await start(embedded.url, "exec", "-")
    assert process.stdin is not None and process.stdout is not None and process.stderr is not None
    process.stdin.write(b"while True: print('x' * 1000)\n")
    process.stdin.close()
    await process.stdout.readline()
    process.stdout._transport.close()  # type: ignore[attr-defined]
    err = await process.stderr.read()
    assert (await process.wait(), b"Traceback" in err) == (1, False)


async def test_a_session_is_used_interrupted_and_killed(embedded: Server):
    """`--session` leaves it there; `interrupt` says what it found; after `kill` it is gone."""
    async with AsyncClient(TOKEN, embedded.url) as client:
        session = await client.open()
        assert (await run(embedded.url, "exec", "-", "--session", session.id, stdin="x = 42")).status == 0
        assert (await session.run("x")).text == "42"
        assert (await run(embedded.url, "session", "interrupt", session.id)).out == "idle\n"
        running = asyncio.create_task(session.run("print('on')\nwhile True: pass", on_stdout=(began := Begun()).heard))
        await began.wait()
        assert (await run(embedded.url, "session", "interrupt", session.id)).out == "interrupted\n"
        assert (await running).error.code == "interrupted"
        killed = await run(embedded.url, "session", "kill", session.id)
        assert (killed.status, killed.out) == (0, f"{session.id} ended\n")
        with pytest.raises((NotFoundError, SessionGoneError)):
            await client.attach(session.id)
    assert (await run(embedded.url, "session", "kill", session.id)).status == 4


async def test_sessions_are_listed_and_looked_at(embedded: Server):
    """As a table and as JSON; the newest first; one that is not there is exit code 4."""
    assert (await run(embedded.url, "session", "list")).out.split() == [
        "session", "name", "status", "seq", "subject", "created_at", "seen_at",
    ]  # fmt: skip
    async with AsyncClient(TOKEN, embedded.url) as client:
        first, second = await client.open(name="one"), await client.open(name="two")
        await first.run("x = 1")
        listed = (await run(embedded.url, "session", "list")).out.splitlines()
        assert [line.split()[:2] for line in listed[1:]] == [[second.id, "two"], [first.id, "one"]]
        assert len((await run(embedded.url, "session", "list", "--limit", "1")).out.splitlines()) == 2
        (newest, oldest) = json.loads((await run(embedded.url, "session", "list", "-o", "json")).out)
        assert (newest["name"], oldest["seq"]) == ("two", 1)
        got = await run(embedded.url, "session", "get", first.id)
        assert f"session         {first.id}" in got.out
        assert json.loads((await run(embedded.url, "session", "get", first.id, "-o", "json")).out)["seq"] == 1
    gone = await run(embedded.url, "session", "get", "ses_none")
    assert (gone.status, gone.out) == (4, "")


class Begun(asyncio.Event):
    """Set by the first output."""

    def heard(self, text: str) -> None:
        self.set()

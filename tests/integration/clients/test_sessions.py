"""The Python client on real sandboxes: what a caller does with a session, and what it is told when it can't."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Iterator

import pytest

from bascule import (
    AsyncClient,
    AsyncSession,
    AuthenticationError,
    BasculeError,
    Client,
    ConflictError,
    ConnectionError,
    Display,
    Event,
    ExecutionTimeoutError,
    Finished,
    ForbiddenError,
    InputRequest,
    InvalidRequestError,
    NotFoundError,
    OutcomeUnknownError,
    Prompt,
    RolledBackError,
    Session,
    SessionError,
    SessionGoneError,
    Stderr,
    Stdout,
    TimeoutError,
    WorkerDiedError,
)
from support.server import TOKEN, Server
from support.workers import kill_sandbox, worker_of

pytestmark = pytest.mark.bubblewrap

ENDLESS = "print('on', flush=True)\nwhile True: pass"


@pytest.fixture
async def client(embedded: Server) -> AsyncIterator[AsyncClient]:
    """Of the embedded server."""
    async with AsyncClient(TOKEN, embedded.url) as made:
        yield made


@pytest.fixture
async def session(client: AsyncClient) -> AsyncIterator[AsyncSession]:
    """One of its sessions."""
    async with client.open() as made:
        yield made


@pytest.fixture
def plain(embedded: Server) -> Iterator[Session]:
    """A session without asyncio."""
    with Client(TOKEN, embedded.url) as client, client.open() as made:
        yield made


# --- evals -----------------------------------------------------------------------------------------------------------


async def test_an_eval_tells_all_of_it(session: AsyncSession):
    """Value, text, displays, cost, and that it is on disk."""
    done = await session.run("import sys\nprint('out'); print('err', file=sys.stderr)\ndisplay([1])\n6 * 7")

    assert (done.text, done.logs.stdout, done.logs.stderr) == ("42", ["out\n"], ["err\n"])
    assert [(str(shown), shown.is_main_result) for shown in done.results] == [("[1]", False), ("42", True)]
    assert (done.seq, done.state, done.durable, done.error) == (1, "committed", "fsync", None)
    assert done.receipt.output_bytes >= 8 and done.receipt.wall_s > 0
    assert (session.seq, session.etag) == (1, done.etag)


async def test_an_exception_is_a_fact_and_not_raised(session: AsyncSession):
    """With its frames, and the session goes on."""
    heard: list[str] = []
    done = await session.run("def f():\n    return 1 / 0\n\nf()", on_error=lambda error: heard.append(error.name))

    assert (done.error.name, [frame.source for frame in done.error.frames]) == (
        "ZeroDivisionError",
        ["f()", "return 1 / 0"],
    )
    assert done.error.traceback in "".join(done.logs.stderr)
    assert heard == ["ZeroDivisionError"]


async def test_callbacks_hear_of_output_while_it_runs(session: AsyncSession):
    """The one that hears of it stops the eval, which would go on for ever."""

    async def stop(text: str) -> None:
        assert await session.interrupt() == "interrupted"

    done = await session.run(ENDLESS, on_stdout=stop)
    assert (done.error.name, done.error.code) == ("KeyboardInterrupt", "interrupted")
    assert "".join(done.logs.stdout) == "on\n"


async def test_results_come_to_their_callback_in_order(session: AsyncSession):
    """Displays first, the value last."""
    heard: list[str] = []
    await session.run("display(1); display(2)\n3", on_result=lambda result: heard.append(str(result)))
    assert heard == ["1", "2", "3"]


async def test_input_is_answered_by_a_handler(session: AsyncSession):
    """A plain one or a coroutine; it learns whether what is typed may be shown."""
    asked: list[tuple[str, bool]] = []

    async def answer(prompt: Prompt) -> str:
        asked.append((str(prompt), prompt.password))
        return f"line {len(asked)}"

    code = "import getpass\n[input('name? '), getpass.getpass('secret? ')]"
    assert (await session.run(code, input=answer)).text == "['line 1', 'line 2']"
    assert asked == [("name? ", False), ("secret? ", True)]
    assert (await session.run("input('n? ')", input=lambda prompt: "7")).text == "'7'"
    assert "stdin" in (await session.run("input()")).error.value


async def test_a_handler_ends_the_input_as_python_does(session: AsyncSession):
    """EOFError there is EOFError here, and nobody else's answer."""

    def nothing_more(prompt: Prompt) -> str:
        raise EOFError

    ended = await session.run("input('? ')", input=nothing_more)
    assert ended.error.name == "EOFError"
    assert (await session.run("6 * 7")).text == "42"


async def test_a_stream_yields_typed_events_and_the_execution_last(session: AsyncSession):
    """In the order in which they happened; the questions among them are answered in between."""
    code = "import sys\nprint('a', flush=True); print('b', file=sys.stderr)\ndisplay('c')\nx = input('d? ')\nx"
    kinds: list[type[Event]] = []
    async for event in session.stream(code, allow_stdin=True):
        kinds.append(type(event))
        if isinstance(event, InputRequest):
            await session.send_input(event, "e")
        if isinstance(event, Finished):
            assert event.execution.text == "'e'"
    order = list(dict.fromkeys(kinds))
    assert order == [Stdout, Stderr, Display, InputRequest, Finished]


async def test_leaving_a_stream_early_stops_the_eval(session: AsyncSession):
    """The next one does not wait behind it."""
    stream = session.stream(ENDLESS)
    async for event in stream:
        assert isinstance(event, Stdout)
        break
    await stream.aclose()
    assert (await session.run("1 + 1")).text == "2"


async def test_a_wait_that_is_given_up_stops_the_eval(session: AsyncSession):
    """A cancelled task, a callback that raises, a time limit of ours."""
    running = asyncio.create_task(session.run(ENDLESS, on_stdout=lambda text: running.cancel()))
    with pytest.raises(asyncio.CancelledError):
        await running
    with pytest.raises(ZeroDivisionError):
        await session.run(ENDLESS, on_stdout=lambda text: 1 / 0)
    with pytest.raises(TimeoutError) as caught:
        await session.run("while True: pass", request_timeout=0.3)
    assert caught.value.code == "no_answer"
    assert (await session.run("1 + 1")).text == "2"


async def test_an_eval_has_its_own_time_limit(session: AsyncSession):
    """One that obeys is a result, and its work so far is kept; one that does not is undone."""
    done = await session.run("n = 1\nwhile True: pass", timeout=0.3)
    assert (done.error.code, (await session.run("n")).text) == ("timeout", "1")
    with pytest.raises(ExecutionTimeoutError) as caught:
        await session.run("n = 2; sum(range(10**13))", timeout=0.3)
    assert (caught.value.code, (await session.run("n")).text) == ("timeout", "1")


async def test_an_id_of_ones_own_runs_once(session: AsyncSession):
    """Again it is the same outcome, with another body a conflict; `if_seq` guards likewise."""
    await session.run("n = 0")
    for _ in range(2):
        assert (await session.run("n += 1\nn", request_id="mine")).text == "1"
    with pytest.raises(ConflictError):
        await session.run("n", request_id="mine")
    with pytest.raises(ConflictError):
        await session.run("n", if_seq=99)
    assert (await session.run("n", if_seq=session.seq)).text == "1"


async def test_a_waiting_eval_is_cancelled(session: AsyncSession):
    """It never starts."""
    running = asyncio.create_task(session.run(ENDLESS, request_id="first"))
    waiting = asyncio.create_task(session.run("1", request_id="second"))
    await session.is_complete("1")  # both have been sent
    assert await session.cancel("second") == "cancelled"
    with pytest.raises(BasculeError) as caught:
        await waiting
    assert caught.value.code == "cancelled"
    assert await session.interrupt("second") == "mismatch"
    assert await session.interrupt("first") == "interrupted"
    assert (await running).error.code == "interrupted"


# --- commits ---------------------------------------------------------------------------------------------------------


async def test_a_result_that_was_not_committed_yet_is_waited_for(client: AsyncClient):
    """`async`: the result first, the commit behind it."""
    async with client.open(durability="async") as session:
        done = await session.run("x = 1\nx")
        assert done.text == "1"
        await done.wait_committed()
        assert (done.state, done.durable, bool(done.etag)) == ("committed", "fsync", True)


async def test_a_scratch_pad_commits_nothing_and_says_so(client: AsyncClient):
    """`none`."""
    async with client.open(durability="none") as session:
        done = await session.run("1")
        assert (done.state, done.durable) == ("kept", "none")
        with pytest.raises(OutcomeUnknownError):
            await done.wait_committed()


async def test_a_worker_that_dies_is_told_and_its_eval_undone(client: AsyncClient, embedded: Server):
    """The cause as an exception; the session goes on from the last commit."""
    async with client.open() as session:
        await session.run("n = 1")
        with pytest.raises(WorkerDiedError) as caught:
            await session.run("n = 2\n" + ENDLESS, on_stdout=lambda text: kill_sandbox(worker_of(embedded, session.id)))
        assert isinstance(caught.value, RolledBackError) and caught.value.incident
        assert (await session.run("n")).text == "1"


# --- questions and files ---------------------------------------------------------------------------------------------


async def test_questions_have_typed_answers(session: AsyncSession, client: AsyncClient):
    """complete, inspect, is_complete, variables, history, describe, ping."""
    await session.run("def greet(name):\n    'Say hello.'\nbig = {'alpha': 1}")
    assert "greet" in [match.text for match in await session.complete("gre")]
    found = await session.inspect("greet", detail=1)
    assert (found.found, found.docstring, found.signature) == (True, "Say hello.", "greet(name)")
    assert "def greet" in (found.source or "")
    assert not (await session.inspect("nothing_of_that_name")).found
    assert (await session.is_complete("def f():")).status == "incomplete"
    assert {"greet", "big"} <= {variable.name for variable in await session.variables()}
    assert [variable.name for variable in await session.variables("bi")] == ["big"]
    entries = await session.history(1, 1)
    assert [entry.seq for entry in entries] == [1] and (entries[0].code or "").startswith("def greet")
    assert (await client.describe())["languages"] == ["python"]
    await session.ping()


async def test_files_go_both_ways(session: AsyncSession):
    """Bytes and text; folders; what is missing is `NotFoundError`."""
    await session.files.write("data/a.bin", bytes(range(256)))
    await session.files.write("note.txt", "grüße")
    assert await session.files.read("data/a.bin") == bytes(range(256))
    assert (await session.run("open('note.txt').read()")).text == "'grüße'"
    assert await session.files.read_text("note.txt") == "grüße"
    assert {(entry.name, entry.kind) for entry in await session.files.list()} == {
        ("data", "folder"),
        ("note.txt", "file"),
    }
    assert (await session.files.stat("data/a.bin")).size == 256
    await session.files.delete("data")
    assert not await session.files.exists("data/a.bin")
    with pytest.raises(NotFoundError):
        await session.files.read("data/a.bin")
    with pytest.raises(ForbiddenError):
        await session.files.read("../x")


# --- coming and going ------------------------------------------------------------------------------------------------


async def test_a_session_is_found_again_by_its_id(embedded: Server):
    """`detach` leaves it, `attach` joins it, leaving the one that opened it ends it."""
    async with AsyncClient(TOKEN, embedded.url) as client, AsyncClient(TOKEN, embedded.url) as other:
        opened = await client.open(name="mine")
        await opened.run("x = 1")
        async with other.attach(opened.id) as joined:
            assert (await joined.run("x + 1")).text == "2"
        assert (await opened.run("x")).text == "1"
        await opened.detach()
        with pytest.raises(SessionError):
            await opened.run("x")
        again = await other.attach(opened.id)
        await again.close()
        await again.close()
        with pytest.raises(SessionGoneError):
            await client.attach(opened.id)


async def test_a_block_closes_what_it_opened(client: AsyncClient):
    """Nothing is left behind."""
    async with client.open() as session:
        pass
    with pytest.raises(SessionGoneError):
        await client.attach(session.id)


async def test_an_observer_watches_and_nothing_else(session: AsyncSession, client: AsyncClient):
    """Every event of the session's, and no eval of its own."""
    heard: list[Event] = []
    async with client.attach(session.id, role="observer", on_event=heard.append) as watching:
        with pytest.raises(ForbiddenError):
            await watching.run("1")
        await session.run("print('seen')", on_stdout=lambda text: None)
        await watching.ping()  # events before it have arrived
        assert "".join(event.text for event in heard if isinstance(event, Stdout)) == "seen\n"


async def test_a_cursor_brings_what_was_missed(session: AsyncSession, client: AsyncClient):
    """From where it was left, each event once."""
    await session.run("print('one')", on_stdout=lambda text: None)
    cursor = session.cursor
    await session.run("print('two')", on_stdout=lambda text: None)
    heard: list[Event] = []
    async with client.attach(session.id, cursor=cursor, on_event=heard.append):
        assert "".join(event.text for event in heard if isinstance(event, Stdout)) == "two\n"


# --- what can't be done ----------------------------------------------------------------------------------------------


async def test_who_may_not_come_in_is_told_at_once(embedded: Server):
    """A wrong key, no such session, nobody there."""
    async with AsyncClient("wrong", embedded.url) as client:
        with pytest.raises(AuthenticationError):
            await client.open()
    async with AsyncClient(TOKEN, embedded.url) as client:
        with pytest.raises(NotFoundError):
            await client.attach("ses_aaaaaaaaaaaaaaaa_aaaaaaaaaaaaaaaaaaaaaaaa")
        with pytest.raises(InvalidRequestError) as caught:
            await client.open(limits={"moons_max": 1})
        assert caught.value.details["field"] == "payload.limits"
    async with AsyncClient(TOKEN, "ws://127.0.0.1:9") as client:
        with pytest.raises(ConnectionError, match=r"127\.0\.0\.1:9"):
            await client.open()


async def test_a_request_that_is_too_large_costs_itself_only(session: AsyncSession):
    """Over the limit for code it is answered; over that for messages it costs the connection, which comes back."""
    for size in (200_000, 2_000_000):
        with pytest.raises(InvalidRequestError) as caught:
            await session.run("#" * size)
        assert caught.value.code == "too_large"
    assert (await session.run("1 + 1")).text == "2"


async def test_a_client_that_gave_up_tries_again_when_it_is_asked(embedded: Server):
    """The open eval is told; the session object is good for more when the server is back."""
    async with AsyncClient(TOKEN, embedded.url, reconnect_timeout_s=0.3) as client, client.open() as session:
        await session.run("n = 1")
        running = asyncio.create_task(session.run("n += 1\nn", request_id="later"))
        await embedded.kill()
        outcome = (await asyncio.gather(running, return_exceptions=True))[0]
        if isinstance(outcome, BaseException):
            assert isinstance(outcome, ConnectionError) and outcome.retryable
        with pytest.raises(ConnectionError):
            await session.run("n")
        await embedded.start()
        assert (await session.run("n += 1\nn", request_id="later")).text == "2"


async def test_a_reader_that_stops_reading_stops_the_writer_and_can_still_interrupt(embedded: Server):
    """Output that nobody takes is held up to the limit, and an interrupt goes past it."""
    async with AsyncClient(TOKEN, embedded.url, buffer_bytes_max=10_000) as client, client.open() as session:
        stream = session.stream("while True: print('x' * 1000)")
        async for event in stream:
            assert isinstance(event, Stdout)
            break
        assert await session.interrupt() == "interrupted"
        async for event in stream:
            if isinstance(event, Finished):
                assert event.execution.error.code == "interrupted"
                assert event.execution.gaps == []
        assert (await session.run("1 + 1")).text == "2"


# --- without asyncio -------------------------------------------------------------------------------------------------


def test_the_same_without_asyncio(plain: Session):
    """run, callbacks, input, stream, questions, files, commits."""
    heard: list[str] = []
    done = plain.run("print('a')\ninput('? ')", on_stdout=heard.append, input=lambda prompt: "b")
    assert (done.text, "".join(heard).splitlines()[0], done.state) == ("'b'", "a", "committed")
    done.wait_committed(1)
    kinds = [type(event) for event in plain.stream("print('x')\n1")]
    assert kinds[0] is Stdout and kinds[-1] is Finished
    plain.files.write("a.txt", "text")
    assert (plain.files.read_text("a.txt"), plain.files.exists("b.txt")) == ("text", False)
    assert plain.is_complete("1").status == "complete"
    assert plain.interrupt() == "idle"


def test_callbacks_run_on_the_thread_that_waits(plain: Session):
    """In a notebook that is where output belongs to its cell."""
    threads: set[threading.Thread] = set()
    plain.run("print('a')\n1", on_stdout=lambda text: threads.add(threading.current_thread()),
              on_result=lambda result: threads.add(threading.current_thread()))  # fmt: skip
    assert threads == {threading.current_thread()}


def test_several_threads_share_a_session(plain: Session):
    """Every one gets its own answers, and each eval counts once."""
    plain.run("n = 0")
    answers: list[str | None] = []

    def work() -> None:
        for _ in range(5):
            answers.append(plain.run("n += 1\nn").text)

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(map(int, filter(None, answers))) == list(range(1, 16))


async def test_a_thread_that_runs_a_loop_may_use_it(embedded: Server):
    """As a notebook's does."""
    with Client(TOKEN, embedded.url) as client, client.open() as session:
        assert session.run("1 + 1").text == "2"


def test_ctrl_c_stops_the_eval_and_is_raised(plain: Session):
    """The next eval does not wait behind it."""
    with pytest.raises(KeyboardInterrupt):
        plain.run(ENDLESS, on_stdout=lambda text: signal.raise_signal(signal.SIGINT))
    assert plain.run("1 + 1").text == "2"


def test_leaving_a_plain_stream_early_stops_the_eval(plain: Session):
    """As with asyncio."""
    for event in plain.stream(ENDLESS):
        assert isinstance(event, Stdout)
        break
    assert plain.run("1 + 1").text == "2"


def test_a_callback_on_the_clients_own_thread_cannot_wait_for_itself(embedded: Server):
    """It is told so, instead of hanging."""
    faults: list[Exception] = []
    opened: list[Session] = []

    def ask(event: Event) -> None:
        try:
            opened[0].ping()
        except RuntimeError as error:
            faults.append(error)

    with Client(TOKEN, embedded.url) as client, client.open() as session:
        opened.append(session)
        watching = client.attach(session.id, on_event=ask)
        session.run("print(1)", on_stdout=lambda text: None)
        watching.ping()
        assert faults


def test_a_program_that_forgets_to_close_ends_quietly(embedded: Server):
    """Neither a hang nor a word on stderr; the session is left to its idle time."""
    code = f"from bascule import Client\ns = Client({TOKEN!r}, {embedded.url!r}).open()\nprint(s.run('6 * 7').text)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30,
                          env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)})  # fmt: skip
    assert (done.stdout, done.stderr, done.returncode) == ("42\n", "", 0)

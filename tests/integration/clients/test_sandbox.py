"""Programs written for E2B, with another import."""

from __future__ import annotations

import pytest

from bascule import AsyncSandbox, InvalidRequestError, Sandbox, SessionGoneError
from bascule.sandbox import OutputMessage
from support.server import TOKEN, Server

pytestmark = pytest.mark.bubblewrap


@pytest.fixture
def environment(embedded: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a program finds it."""
    monkeypatch.setenv("BASCULE_API_KEY", TOKEN)
    monkeypatch.setenv("BASCULE_API_URL", embedded.url)


def test_a_program_of_e2bs_runs(environment: None):
    """create, run_code with its callbacks, what an execution has, files, connect, kill."""
    heard: list[OutputMessage] = []
    with Sandbox.create(envs={"CITY": "Oslo"}) as sandbox:
        execution = sandbox.run_code("import os\nprint(os.environ['CITY'])\nx = 1\nx", on_stdout=heard.append)
        assert (execution.text, "".join(execution.logs.stdout)) == ("1", "Oslo\n")
        assert "".join(map(str, heard)) == "Oslo\n" and not heard[0].error and heard[0].timestamp > 0
        assert [result.is_main_result for result in execution.results] == [True]

        failed = sandbox.run_code("1 / 0")
        assert (failed.error.name, failed.error.value) == ("ZeroDivisionError", "division by zero")
        assert failed.error.traceback.startswith("Traceback")

        sandbox.files.write("a.txt", "text")
        assert sandbox.files.read("a.txt") == "text"
        assert sandbox.files.read("a.txt", format="bytes") == bytearray(b"text")
        assert [entry.name for entry in sandbox.files.list()] == ["a.txt"]
        sandbox.files.remove("a.txt")
        assert not sandbox.files.exists("a.txt")

        same = Sandbox.connect(sandbox.sandbox_id)
        assert same.run_code("x + 1").text == "2"
        same.client.close()
        assert sandbox.is_running()
        with pytest.raises(InvalidRequestError):
            sandbox.run_code("1", language="javascript")  # type: ignore[arg-type]
    with pytest.raises(SessionGoneError):
        Sandbox.connect(sandbox.sandbox_id)


async def test_a_program_of_e2bs_runs_on_asyncio(environment: None):
    """The same with `AsyncSandbox`."""
    async with await AsyncSandbox.create() as sandbox:
        execution = await sandbox.run_code("print('hi')\n2")
        assert (execution.text, execution.logs.stdout) == ("2", ["hi\n"])
        await sandbox.files.write("b.txt", b"bytes")
        assert await sandbox.files.read("b.txt") == "bytes"
        assert await sandbox.is_running()
        assert await sandbox.kill()

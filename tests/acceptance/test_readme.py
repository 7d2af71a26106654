"""What the README prints for a newcomer, run as it is printed."""

import asyncio
import re
import sys
from pathlib import Path

import pytest

from support.server import TOKEN, Server

pytestmark = [pytest.mark.bubblewrap, pytest.mark.redis]

README = Path(__file__).parents[2] / "README.md"
PATIENCE_S = 60


def client_of(server: Server) -> str:
    """The client of the README, for another server and token than the README's."""
    (code,) = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
    assert "ws://127.0.0.1:8765/" in code and "SECRET" in code
    return code.replace("ws://127.0.0.1:8765", server.url).replace("SECRET", TOKEN)


async def said(server: Server, *lines: str) -> str:
    """What the client prints when these lines are typed."""
    client = await asyncio.create_subprocess_exec(
        sys.executable, "-c", client_of(server), stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    out, _ = await asyncio.wait_for(client.communicate("".join(f"{line}\n" for line in lines).encode()), PATIENCE_S)
    assert client.returncode == 0
    return out.decode()


async def test_the_readmes_client_holds_a_conversation(embedded: Server) -> None:
    """State is kept between lines, a syntax error is text, and the server is unharmed."""
    text = await said(embedded, "x = 41", "print('hi')", "def f(:", "1 / 0", "x + 1")
    assert text.startswith("\nhi\n")
    assert "SyntaxError: invalid syntax" in text and "ZeroDivisionError" in text
    assert text.endswith("\n42\n")


LARGE = (
    "'x' * 10**7",
    "print('x\\n' * 10**6)",
    "print('x\\n' * 10**6); 'y' * 10**7",
    "print('\\0' * 10**7); '\\0' * 10**7",
    "print('\\1' * 10**7); '\"' * 10**7",
)


@pytest.mark.parametrize("code", LARGE)
async def test_a_large_answer_does_not_end_it(embedded: Server, code: str) -> None:
    """Clients of `websockets` take 1 MiB in a message unless told otherwise: results stay below it, cut with a mark."""
    text = await said(embedded, code, "6 * 7")
    assert "cut]" in text
    assert text.endswith("\n42\n")

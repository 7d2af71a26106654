"""The lines of the page about HTTP, run as they are printed."""

import asyncio
import re
from pathlib import Path

import pytest

from support.server import TOKEN, Server

pytestmark = [pytest.mark.bubblewrap, pytest.mark.redis]

PAGE = Path(__file__).parents[2] / "docs/how-to/http.md"
PATIENCE_S = 60
SAID = [
    "42", "42", "",
    "event: stream", "event: result",
    "event: stream",
    "43", "43", "done",
    "8", "a,bin.csv",
    "ready", "seq-3", "43",
    "44", "committed", "committed", "43", "before",
    "400 bad_message code",
]  # fmt: skip


def script_for(server: Server) -> str:
    """All blocks one after another, for another server and token than the page's."""
    blocks = re.findall(r"```bash\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert len(blocks) == 9
    script = "set -eu\n" + "\n".join(blocks)
    assert "http://127.0.0.1:8765" in script and "SECRET" in script
    return script.replace("http://127.0.0.1:8765", server.url.replace("ws://", "http://")).replace("SECRET", TOKEN)


async def test_the_lines_run_as_they_are_printed(embedded: Server, tmp_path: Path) -> None:
    """Each prints what the page says."""
    shell = await asyncio.create_subprocess_exec(
        "bash", "-c", script_for(embedded), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE, cwd=tmp_path
    )
    out, errors = await asyncio.wait_for(shell.communicate(), PATIENCE_S)
    assert shell.returncode == 0, out.decode() + errors.decode()
    lines = out.decode().splitlines()
    # Output may come in any number of pieces.
    pairs = zip(lines, ["", *lines], strict=False)
    heard = [line for line, before in pairs if line != before or not line.startswith("event: ")]
    assert heard == SAID

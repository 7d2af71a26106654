"""What the pages about the Python client print, run as it is printed."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from support.server import TOKEN, Server

pytestmark = pytest.mark.bubblewrap

ROOT = Path(__file__).parents[2]
HOW_TO = ROOT / "docs" / "how-to"
RUN_LIMIT_S = 60.0

EXPECTED = {
    "python-client.md": [
        "adding\n16\ncommitted fsync\nIndexError\n'x,y\\n1,2\\n'\n",
        "42\n",
        "0\n1\n2\nReceipt(",
        "42\n",
        "[1, 2] 3 1\n11 12\n",
    ],
    "move-from-e2b.md": ["hi\n", "21 ['hi"],
}
"""Of each page what its blocks print, or how it begins."""


def run(code: str, server: Server) -> str:
    """As a program of its own, that finds key and URL in its environment."""
    folders = (ROOT / "clients" / "python", ROOT / "worker-image")
    environment = os.environ | {
        "BASCULE_API_KEY": TOKEN,
        "BASCULE_API_URL": server.url,
        "PYTHONPATH": os.pathsep.join(map(str, folders)),
    }
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=RUN_LIMIT_S
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout


def blocks(page: str) -> list[str]:
    """The Python blocks of a page."""
    return re.findall(r"```python\n(.*?)```", (HOW_TO / page).read_text(), re.DOTALL)


async def test_the_page_about_the_client_runs_as_printed(embedded: Server):
    """Each block by itself, with what it says it prints."""
    printed = [run(code, embedded) for code in blocks("python-client.md")]
    assert [text[: len(begin)] for text, begin in zip(printed, EXPECTED["python-client.md"], strict=True)] == EXPECTED[
        "python-client.md"
    ]


async def test_the_page_about_moving_runs_as_printed(embedded: Server):
    """A program of E2B's with another import."""
    (code,) = blocks("move-from-e2b.md")
    printed = run(code, embedded)
    assert all(piece in printed for piece in (*EXPECTED["move-from-e2b.md"], "ZeroDivisionError", "text"))


def test_the_table_of_exceptions_names_them_all():
    """Each class, and each code of the wire."""
    import bascule
    from replwire.errors import ERROR_CODES

    page = (HOW_TO / "python-client.md").read_text()
    classes = [name for name in bascule.__all__ if name.endswith("Error") and name != "ExecutionError"]
    codes = set(ERROR_CODES) - {"internal", "rolled_back"}  # those of the bases
    assert [name for name in (*classes, *codes) if f"`{name}`" not in page] == []

"""A shadow takes over inside the real sandbox, with its filter of system calls and a user of its own."""

from __future__ import annotations

import shutil
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest

from orchestrator.runtimes.bubblewrap import BubblewrapRuntime
from orchestrator.runtimes.python_choice import SYSTEM, open_to_all
from support.engine_stage import Stage, stage_on
from support.runtimes import bench_of

pytestmark = pytest.mark.bubblewrap

VERSION = f"python{sys.version_info[0]}.{sys.version_info[1]}"
START = (
    "import numpy as np, os, ctypes; a = np.random.default_rng(1).random(700_000); n = 0\n"
    "g = (i for i in range(1000)); next(g); f = open('/dev/null')\n"
    "score = open('/proc/self/oom_score_adj').read()\n"
)


def with_numpy(folder: Path) -> Path | None:
    """A Python that every user can run, with numpy; None where the system's is of another version."""
    program, library = SYSTEM.with_name(VERSION), Path("/usr/lib") / VERSION
    if not program.exists() or not library.exists():
        return None
    (folder / "bin").mkdir(parents=True)
    shutil.copy2(program, folder / "bin" / VERSION)
    shutil.copytree(
        library, folder / "lib" / VERSION, ignore=shutil.ignore_patterns("test"), ignore_dangling_symlinks=True
    )
    for name in ("numpy", "numpy.libs"):
        found = Path(np.__path__[0]).with_name(name)
        if found.exists():
            shutil.copytree(found, folder / "lib" / "python3" / "dist-packages" / name)
    open_to_all(folder.parent, folder)
    return folder / "bin" / VERSION


@pytest.fixture
async def on(require) -> AsyncIterator[Stage]:
    """A front door over real sandboxes."""
    async with bench_of("bubblewrap") as bench:
        python = with_numpy(bench.folders.root.parent / "python-with-numpy")
        require(python is not None, f"no {SYSTEM} of this version to copy")
        runtime = BubblewrapRuntime(bench.folders, python=python)
        async with stage_on(runtime) as made:
            yield made
        await runtime.close()


DEATHS = ("os.kill(os.getpid(), 9)", "ctypes.string_at(0)", "os._exit(3)")


async def test_it_takes_over_in_the_sandbox(on):
    """However the interpreter dies: arrays and a generator are there, its standing with the kernel is the old one."""
    client, session = await on.opened()
    await client.eval(START)
    for number, death in enumerate(DEATHS, 1):
        dies = client.send("eval", {"code": "n = 9; " + death})
        waits = client.send("eval", {"code": "n, next(g), len(a), score == open('/proc/self/oom_score_adj').read()"})
        assert (await client.terminal(dies))["payload"]["code"] == "worker_crashed"
        result = (await client.terminal(waits))["payload"]
        assert (result["output"], result["seq"]) == (f"(0, {number}, 700000, True)", number + 1)
    assert on.live(session).record.generation == 1
    assert [event["payload"]["unsaved"] for event in client.events("status") if "unsaved" in event["payload"]] == [
        {"f": "an open file '/dev/null'"}
    ] * len(DEATHS)


async def test_its_folder_comes_from_the_store_if_it_changed(on):
    """There is a new worker then, and the file as it was."""
    client, session = await on.opened()
    await client.eval("open('kept', 'w').write('before')\n" + START)
    assert (await client.ask("eval", {"code": f"open('kept', 'w').write('after')\n{DEATHS[0]}"}))["type"] == "error"
    assert (await client.eval("open('kept').read(), n, 'g' in globals()"))["output"] == "('before', 0, False)"
    assert on.live(session).record.generation > 1

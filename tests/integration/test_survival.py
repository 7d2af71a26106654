"""What of a namespace survives a killed worker: everything that can, and what cannot is named with its reason."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from support.client import ReplClient, connect
from support.server import TOKEN, Server
from support.workers import kill_container, kill_sandbox, worker_of

SETUP = """
import math, random, collections, dataclasses, functools, decimal, os
K = 2
def scaled(a): return a * K
def make():
    n = 0
    def up():
        nonlocal n
        n += 1
        return n
    def read(): return n
    return up, read
up, read = make()
up()
class Shape:
    sides = 0
    def __init__(self, name): self.name = name
    def __repr__(self): return f"{type(self).__name__}({self.name})"
class Square(Shape):
    sides = 4
    def describe(self): return super().__repr__() + str(scaled(self.sides))
@dataclasses.dataclass
class Point:
    x: int
    y: int = 0
Pair = collections.namedtuple("Pair", "a b")
square, point, pair = Square("s"), Point(1), Pair(1, 2)
shared = [1]
left, right = {"it": shared}, {"it": shared}
cycle = []; cycle.append(cycle)
double = lambda x: 2 * x
part = functools.partial(scaled, 21)
random.seed(7); before = random.getstate()
decimal.getcontext().prec = 7
os.environ["MARK"] = "set"
open("note.txt", "w").write("kept")
stream = (i for i in range(9)); holder = {"gen": stream, "other": shared}
"""

CHECKS = {
    "K = 21; scaled(2)": "42",
    "up(), up(), read()": "(2, 3, 3)",
    "square.describe(), isinstance(square, Shape)": "('Square(s)84', True)",
    "point, pair, pair._fields": "(Point(x=1, y=0), Pair(a=1, b=2), ('a', 'b'))",
    "left['it'] is right['it'] is shared": "True",
    "cycle[0] is cycle": "True",
    "double(4), part(), math.floor(2.5)": "(8, 441, 2)",
    "random.getstate() == before, decimal.getcontext().prec": "(True, 7)",
    "os.environ['MARK'], open('note.txt').read()": "('set', 'kept')",
    "'stream' in globals(), 'holder' in globals()": "(False, False)",
}

RUNTIMES = [
    pytest.param("embedded", kill_sandbox, marks=pytest.mark.bubblewrap),
    pytest.param("on_docker", kill_container, marks=[pytest.mark.docker, pytest.mark.redis]),
]


@pytest.fixture
def server(request: pytest.FixtureRequest) -> Server:
    """The server that the parameter names."""
    found: Server = request.getfixturevalue(request.param)
    return found


async def _kill_and_wait(client: ReplClient, server: Server, session: str, kill: Callable[[str], None]) -> None:
    running = await client.send("eval", {"code": "print('on')\nwhile True: pass", "stream": True})
    await client.wait_for(lambda e: e["type"] == "stream" and e["id"] == running)
    kill(worker_of(server, session))
    assert (await client.terminal(running))["type"] == "error"


@pytest.mark.parametrize(("server", "kill"), RUNTIMES, indirect=["server"])
async def test_the_namespace_survives(server: Server, kill: Callable[[str], None]):
    """Functions, classes, closures, cycles, shared references, files, random state; a generator is named."""
    async with connect(server.url, TOKEN) as client:
        session = (await client.ask("open"))["payload"]["session"]
        made = await client.eval(SETUP)
        assert made["error"] is None, made["stderr"]
        assert set(made["unsaved"]) == {"stream", "holder"}
        assert "generator" in made["unsaved"]["stream"]
        await _kill_and_wait(client, server, session, kill)
        for code, expected in CHECKS.items():
            assert (await client.eval(code))["output"] == expected, code


@pytest.mark.docker
@pytest.mark.redis
async def test_an_array_and_a_frame_survive(on_docker_with_data: Server):
    """numpy and pandas, in an image built with them; a view and its base stay one."""
    async with connect(on_docker_with_data.url, TOKEN) as client:
        session = (await client.ask("open"))["payload"]["session"]
        made = await client.eval(
            "import numpy as np, pandas as pd\narray = np.arange(1_000_000, dtype='i8')\n"
            "frame = pd.DataFrame({'a': range(1000), 'b': list('xy') * 500})\nframe.loc[5, 'a'] = -1\n"
            "np.random.seed(3); expected = np.random.RandomState(3).rand()\n"
            "view = array[7:9]; column = frame['a']; shared = np.shares_memory(column.values, frame['a'].values)"
        )
        assert (made["error"], made["unsaved"]) == (None, {})
        await client.eval("array[500_000] = -7")
        await _kill_and_wait(client, on_docker_with_data, session, kill_container)

        assert (await client.eval("int(array.sum()) == sum(range(1_000_000)) - 500_007, int(array[500_000])"))[
            "output"
        ] == "(True, -7)"
        assert (await client.eval("int(frame['a'].sum()), frame.groupby('b').size().to_dict()"))[
            "output"
        ] == "(499494, {'x': 500, 'y': 500})"
        assert (await client.eval("float(np.random.rand()) == expected"))["output"] == "True"
        assert (await client.eval("array[7] = -2\nint(view[0])"))["output"] == "-2"
        assert (await client.eval("int(column[5]), np.shares_memory(column.values, frame['a'].values) == shared"))[
            "output"
        ] == "(-1, True)"

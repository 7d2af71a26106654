"""Top-level `await` and what is around it: the context of all evals, the loop of all evals."""

from __future__ import annotations

import pytest

SET = {"awaited": "await asyncio.sleep(0); token = v.set(1)", "plain": "token = v.set(1)"}
GET = {"awaited": "await asyncio.sleep(0, v.get('unset'))", "plain": "v.get('unset')"}
ASK = """
class Asks:
    def __repr__(self): return str(v.get('unset'))
    def __dir__(self): return ['seen_' + str(v.get('unset'))]
    def __reduce__(self): return seen.append(v.get('unset')) or (Asks, ())
seen = []; asks = Asks()
"""


@pytest.mark.parametrize("sets", SET)
@pytest.mark.parametrize("gets", GET)
def test_one_context_for_all_evals(link, sets, gets):
    """What one sets in a context variable the next one finds, and may take back, with `await` or without."""
    link.eval("import asyncio, contextvars\nv = contextvars.ContextVar('v')")
    link.eval(SET[sets])
    assert link.eval(GET[gets]).told["output"] == "1"
    taken_back = link.eval("await asyncio.sleep(0); v.reset(token)" if gets == "awaited" else "v.reset(token)")
    assert taken_back.told["error"] is None
    assert link.eval(GET[gets]).told["output"] == "'unset'"


def test_whatever_runs_a_tenants_code_runs_it_there(link):
    """The repr of a value, completion, a checkpoint."""
    link.eval("import asyncio, contextvars\nv = contextvars.ContextVar('v')" + ASK)
    link.eval("await asyncio.sleep(0); v.set(7); n = len(seen)")
    assert link.eval("asks").told["output"] == "7"
    assert [match["text"] for match in link.ask("complete", {"code": "asks.se", "cursor": 7})["matches"]] == ["seen_7"]
    assert link.eval("set(seen[n:])").told["output"] == "{7}"


def test_the_decimal_context_of_an_awaited_eval_stays(link):
    """It is a context variable too."""
    link.eval("import asyncio, decimal\nawait asyncio.sleep(0)\ndecimal.getcontext().prec = 3")
    assert link.eval("decimal.Decimal(1) / 3").told["output"] == "Decimal('0.333')"


@pytest.mark.parametrize(
    "code",
    [
        "t = asyncio.create_task(f())\nawait t",
        "await f()\nasyncio.create_task(f()).done()",
        "await f(); t = asyncio.create_task(f())",
    ],
)
def test_one_await_makes_the_loop_run_for_all_of_an_eval(link, code):
    """In front of it and behind it."""
    link.eval("import asyncio\nasync def f(): pass")
    outcome = link.eval(code)
    assert (outcome.told["error"], outcome.stderr) == (None, b"")


def test_frames_before_an_await_are_the_tenants(link):
    """The loop that they run in is not shown."""
    outcome = link.eval("import asyncio\ndef f(): 1 / 0\nf()\nawait asyncio.sleep(0)")
    assert [frame["name"] for frame in outcome.told["error"]["traceback"]] == ["<module>", "f"]
    assert "asyncio" not in outcome.stderr.decode() and "replworker" not in outcome.stderr.decode()


def test_a_task_has_a_copy(link):
    """As everywhere: what a background task sets is its own."""
    link.eval("import asyncio, contextvars\nv = contextvars.ContextVar('v'); v.set(1)\nasync def f(): v.set(2)")
    assert link.eval("await asyncio.create_task(f()); v.get()").told["output"] == "1"

"""Evals: the value of the last expression, names that stay, `await`, `_`, `__future__`, receipts, files of modules."""

from __future__ import annotations

import pytest

from support.worker_process import error_of

VALUES = [
    ("1 + 1", "2"),
    ("x = 1", None),
    ("x = 1\nx", "1"),
    ("'a'; 'b'", "'b'"),
    ("1;", None),
    ("(1) ;  # hidden", None),
    ("'ä; ö'", "'ä; ö'"),
    ("x = 'ä'; x ;", None),
    ("1 # ;", "1"),
    ("None", None),
    ("", None),
    ("# nothing", None),
    ("for i in range(3): i", None),
    ("lambda: 0\n(\n 4\n)", "4"),
    ("f'{1}'\r\n5", "5"),
    ("await __import__('asyncio').sleep(0, 7)", "7"),
    ("import asyncio\nasync def f(): return 8\nawait f()", "8"),
    ("globals() is __import__('__main__').__dict__, __name__", "(True, '__main__')"),
    ("def f(): return x_later\nx_later = 3\nf()", "3"),
    ("class A:\n  def __repr__(self): return 'own'\nA()", "own"),
]


@pytest.mark.parametrize(("code", "output"), VALUES)
def test_the_value_of_the_last_expression(link, code, output):
    """Its repr; none after a `;`, for a statement and for None."""
    outcome = link.eval(code)
    assert (outcome.told["output"], outcome.told["error"]) == (output, None)


def test_names_stay_from_eval_to_eval(link):
    """One namespace, which functions see live."""
    link.eval("n = 1\ndef f(): return n")
    link.eval("n = 2")
    assert link.eval("f()").told["output"] == "2"


def test_underscore_is_the_last_value_unless_the_tenant_has_one(link):
    """A name of the tenant's own is never overwritten; None and hidden values leave it alone."""
    link.eval("41")
    link.eval("None")
    link.eval("13;")
    assert link.eval("_ + 1").told["output"] == "42"
    link.eval("_ = str.upper")
    link.eval("5")
    assert link.eval("_('a')").told["output"] == "'A'"
    link.eval("del _")
    link.eval("6")
    assert link.eval("_").told["output"] == "6"


def test_a_silent_eval_shows_and_keeps_no_value(link):
    """It runs all the same."""
    outcome = link.outcome(link.request("eval", {"code": "n = 3\nn", "silent": True}))
    link.confirm(outcome)
    assert (outcome.told["output"], outcome.told["data"]) == (None, {})
    assert error_of(link.eval("_"))[0] == "NameError"
    assert link.eval("n").told["output"] == "3"


def test_future_imports_hold_for_later_evals(link):
    """As in Python's own prompt."""
    link.eval("from __future__ import annotations")
    assert link.eval("def f(a: undefined_name): pass\nf.__annotations__").told["output"] == "{'a': 'undefined_name'}"


def test_tasks_go_on_in_the_loop_of_all_evals(link):
    """One event loop; what an earlier eval started runs while a later one awaits."""
    link.eval("import asyncio\nseen = []\nasync def tick():\n  await asyncio.sleep(0)\n  seen.append(1)")
    link.eval("async def spawn(): return asyncio.ensure_future(tick())\ntask = await spawn()")
    link.eval("await asyncio.sleep(0.02)")
    assert link.eval("seen, task.done()").told["output"] == "([1], True)"


def test_the_loop_is_the_tenants_current_one(link):
    """Tasks that he made without an `await`, a loop that he set, and back to the session's after `asyncio.run`."""
    link.eval("import asyncio\nasync def two(): return 2\ntask = asyncio.get_event_loop().create_task(two())")
    assert link.eval("await task").told["output"] == "2"
    link.eval("asyncio.run(two())")
    assert link.eval("await two(); asyncio.get_event_loop() is task.get_loop()").told["output"] == "True"
    link.eval("own = asyncio.new_event_loop()\nasyncio.set_event_loop(own)\nfuture = own.create_future()")
    assert link.eval("own.call_soon(future.set_result, 3)\nawait future").told["output"] == "3"
    link.eval("own.close()")
    assert link.eval("await two()").told["output"] == "2"


def test_a_module_in_the_working_folder_is_imported(worker, link):
    """The folder is where a tenant's program starts."""
    (worker.work_folder / "mine.py").write_text("answer = 42")
    assert link.eval("import mine; mine.answer").told["output"] == "42"


def test_the_receipt_counts_time_memory_and_child_processes(link):
    """Wall time of a sleep is no CPU time; that of a child process that was waited for is."""
    slept = link.eval("import time; time.sleep(0.2)").told["receipt"]
    burnt = link.eval("import subprocess, sys\nsubprocess.run([sys.executable, '-c', 'for i in range(4000000): pass'])")
    assert slept["wall_s"] >= 0.2 > slept["cpu_s"] + 0.1
    assert burnt.told["receipt"]["cpu_s"] > 0.02
    assert burnt.told["receipt"]["peak_memory_bytes"] > 5_000_000


def test_exit_ends_the_eval_and_not_the_session(link):
    """`sys.exit`, `exit` and `quit` are exceptions like others."""
    assert error_of(link.eval("import sys; n = 1; sys.exit(3)")) == ("SystemExit", "3")
    assert error_of(link.eval("quit()"))[0] == "SystemExit"
    assert link.eval("n").told["output"] == "1"


def test_a_function_shows_its_source(link):
    """`inspect.getsource` finds the text of the eval that made it, imported before or after."""
    link.eval("def f():\n    return 'unlikely'")
    assert "unlikely" in link.eval("import inspect\nprint(inspect.getsource(f))").stdout.decode()
    link.eval("def g():\n    return 'later'")
    assert "later" in link.eval("print(inspect.getsource(g))").stdout.decode()


def test_sources_are_kept_as_long_as_something_may_ask_for_them(link):
    """Thousands of evals later that of a function is there, and those of passing evals are forgotten."""
    link.eval("def f():\n    return 'unlikely'\nimport linecache")
    for number in range(200):
        link.eval(f"{number}")
    assert link.eval("linecache.getline('<eval 1>', 2)").told["output"] == "\"    return 'unlikely'\\n\""
    assert (
        link.eval("len([name for name in linecache.cache if name.startswith('<eval')]) < 150").told["output"] == "True"
    )

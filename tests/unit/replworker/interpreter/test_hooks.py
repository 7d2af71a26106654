"""What Python says by itself: the tenant's frames with their source lines, nothing of ours."""

from __future__ import annotations

import pytest

THREAD = "import threading\ndef f():\n    return 1 / 0\nt = threading.Thread(target=f, name='T')\nt.start(); t.join()"
FRAME = 'File "<eval 1>", line 3, in {name}\n    return 1 / 0'


def test_an_exception_of_a_thread(link):
    """Its head is Python's; its frames begin with the tenant's."""
    text = link.eval(THREAD).stderr.decode()
    assert text.startswith("Exception in thread T:\nTraceback (most recent call last):\n  " + FRAME.format(name="f"))
    assert text.endswith("ZeroDivisionError: division by zero\n")
    assert "threading.py" not in text and "replworker" not in text


@pytest.mark.parametrize("error", ["SystemExit", "SystemExit(3)"])
def test_a_thread_that_exits_says_nothing(link, error):
    """As in Python."""
    link.eval("import threading")
    assert link.eval(f"def f(): raise {error}\nt = threading.Thread(target=f); t.start(); t.join()").stderr == b""


def test_a_bare_thread(link):
    """`_thread.start_new_thread` knows no names."""
    code = "import _thread, time\ndef f():\n    return 1 / 0\n_thread.start_new_thread(f, ())\ntime.sleep(0.2)"
    text = link.eval(code).stderr.decode()
    assert text.startswith("Exception ignored in thread started by: <function f at ")
    assert FRAME.format(name="f") in text


@pytest.mark.parametrize("shows", ["'<shown>'", "1 / 0"])
def test_an_exception_in_a_finalizer(link, shows):
    """Whatever the repr of the object does."""
    code = f"class A:\n  def __del__(self):\n    return 1 / 0\n  def __repr__(self): return {shows}\na = A(); del a"
    text = link.eval(code).stderr.decode()
    assert text.startswith("Exception ignored in: <function A.__del__ at ")
    assert FRAME.format(name="__del__") in text and "replworker" not in text


def test_a_coroutine_that_nobody_awaited(link):
    """The warning is about the function, however late the coroutine dies."""
    link.eval("async def f():\n    pass\nf()")
    text = link.eval("2").stderr.decode() + link.eval("3").stderr.decode()
    assert text.startswith("<eval 1>:1: RuntimeWarning: coroutine 'f' was never awaited\n  async def f():\n")


def test_other_warnings_stay_where_they_are(link):
    """In the tenant's own code."""
    text = link.eval("import warnings\nwarnings.warn('careful')").stderr.decode()
    assert text == "<eval 1>:2: UserWarning: careful\n  warnings.warn('careful')\n"


def test_the_tenants_hooks_are_called(link):
    """They replace ours."""
    code = "import sys\nsys.unraisablehook = lambda told: print('mine', told.exc_type.__name__)\n"
    outcome = link.eval(code + "class A:\n  def __del__(self): 1 / 0\na = A(); del a")
    assert (outcome.stdout, outcome.stderr) == (b"mine ZeroDivisionError\n", b"")

"""Rich values, displays and their limits."""

from __future__ import annotations

import json

import pytest

from replwire.frames import EventKind, Kind
from support.worker_client import WorkerClient


def bundle(link: WorkerClient, body: str) -> dict:
    """The bundle of an object whose class has this body."""
    return link.eval(f"class V:\n  def __repr__(self): return 'v'\n  {body}\nV()").told["data"]


@pytest.mark.parametrize(
    ("body", "data"),
    [
        ("pass", {}),
        ("def _repr_html_(self): return '<b>'", {"text/html": "<b>"}),
        ("def _repr_html_(self): return None", {}),
        ("def _repr_png_(self): return b'\\x89PNG'", {"image/png": "iVBORw=="}),
        ("def _repr_json_(self): return {'a': [1]}", {"application/json": {"a": [1]}}),
        ("def _repr_json_(self): return float('nan')", {}),
        ("def _repr_svg_(self): return '<svg/>', {'w': 1}", {"image/svg+xml": "<svg/>"}),
        ("def _repr_html_(self): 1/0", {}),
        ("def _repr_mimebundle_(self, include, exclude): return {'a/b': 'c'}", {"a/b": "c"}),
        ("def _repr_mimebundle_(self, include, exclude): return {'a/b': object()}, {}", {}),
        ("def __getattr__(self, name): return lambda: 'x'", {}),
    ],
)
def test_rich_forms(link, body, data):
    """As Jupyter's; a form that fails or that JSON can't carry is left out, the repr is always there."""
    assert bundle(link, body) == {"text/plain": "v", **data}


def test_a_metaclass_that_fails_costs_the_rich_form_only(link):
    """The repr is there."""
    code = "class M(type):\n  def __getattr__(c, name): raise ValueError(name)\nclass V(metaclass=M):\n  "
    told = link.eval(code + "def __repr__(self): return 'v'\nV()").told
    assert (told["error"], told["data"]) == (None, {"text/plain": "v"})


def test_a_class_is_no_rich_value(link):
    """Its methods are for its instances."""
    told = link.eval("class V:\n  def _repr_html_(self): return 'x'\nV").told
    assert told["data"] == {"text/plain": "<class '__main__.V'>"}


def test_a_large_value_is_cut_with_a_mark(worker):
    """A form that is too large is left out; the receipt counts both."""
    link = worker.claimed(limits={"value_bytes_max": 1000, "repr_bytes_max": 500})
    told = link.eval("'ä' * 5000").told
    assert len(told["output"].encode()) < 550 and told["output"].endswith("bytes cut]")
    assert told["receipt"]["truncated"] >= 9500
    told = link.eval("class V:\n  def _repr_html_(self): return 'x' * 5000\nV()").told
    assert "text/html" not in told["data"] and told["receipt"]["truncated"] == 5002
    assert link.eval("1").told["receipt"]["truncated"] == 0


@pytest.mark.parametrize("value", ["'\\0' * 5000", "'\"' * 5000", "'ä\\n' * 5000", "'\\ud800' * 5000"])
def test_the_limit_of_a_repr_counts_what_a_client_has_to_take(worker, value):
    """Quotes and control characters are longer in JSON than in the text."""
    link = worker.claimed(limits={"repr_bytes_max": 1000})
    output = link.eval(value).told["output"]
    assert 900 < len(json.dumps(output, ensure_ascii=False).encode()) < 1050 and "bytes cut]" in output


def test_a_value_that_no_frame_can_hold_leaves_a_mark(worker):
    """Each form has its limit, and there may be many of them."""
    link = worker.claimed(limits={"value_bytes_max": 1 << 20})
    forms = "{f'a/{n}': 'x' * 1000000 for n in range(6)}"
    told = link.eval(f"class V:\n  def _repr_mimebundle_(self, **_): return {forms}\nV()").told
    assert (told["data"], told["error"]) == ({}, None)
    assert "bytes cut]" in told["output"] and told["receipt"]["truncated"] > 6_000_000


def displays(link: WorkerClient, code: str) -> list[tuple[int, dict]]:
    """The display events of an eval."""
    ref = link.request("eval", {"code": code}, stream=True)
    outcome = link.outcome(ref)
    link.confirm(outcome)
    assert outcome.told["error"] is None, outcome.stderr
    return [(kind, json.loads(body)) for _, _, kind, _, body in link.events() if kind > EventKind.STDERR]


def test_display(link):
    """A bundle, a name, an update, a clearing; in order."""
    code = (
        "display(1)\nh = display('a', display_id='d')\nh.update('b')\n"
        "display({'x/y': 'z'}, raw=True, metadata={'m': 1})\nclear_output(wait=True)"
    )
    assert displays(link, code) == [
        (EventKind.DISPLAY, {"data": {"text/plain": "1"}, "metadata": {}}),
        (EventKind.DISPLAY, {"data": {"text/plain": "'a'"}, "metadata": {}, "display_id": "d"}),
        (EventKind.DISPLAY, {"data": {"text/plain": "'b'"}, "metadata": {}, "display_id": "d", "update": True}),
        (EventKind.DISPLAY, {"data": {"x/y": "z"}, "metadata": {"m": 1}}),
        (EventKind.CLEAR_OUTPUT, {"wait": True}),
    ]


def test_display_keeps_its_place_among_prints(link):
    """What was printed before it comes before it, at every rate."""
    ref = link.request("eval", {"code": "for i in range(100):\n  print(i)\n  display(i)"}, stream=True)
    link.confirm(link.outcome(ref))
    said = [body for _, _, kind, _, body in link.events()]
    joined = b"".join(said)
    positions = [joined.index(b'{"data":{"text/plain":"%d"}' % i) for i in range(100)]
    assert positions == sorted(positions)
    assert all(joined[:position].count(b"\n") == i + 1 for i, position in enumerate(positions))


def test_a_signal_handler_may_display(link):
    """In the middle of another display too."""
    code = """
import signal
ticks = 0
def tick(number, frame):
    global ticks
    ticks += 1
    display('tick')
signal.signal(signal.SIGALRM, tick)
signal.setitimer(signal.ITIMER_REAL, 0.0005, 0.002)
for i in range(1000): display(i)
signal.setitimer(signal.ITIMER_REAL, 0)
print(ticks)
"""
    outcome = link.outcome(link.request("eval", {"code": code}), wait_s=30)
    link.confirm(outcome)
    said = [json.loads(body)["data"]["text/plain"] for _, _, kind, _, body in link.events() if kind > EventKind.STDERR]
    assert said.count("'tick'") == int(outcome.stdout) > 0
    assert [text for text in said if text != "'tick'"] == [str(i) for i in range(1000)]


def test_a_display_that_is_too_large_is_an_error_of_the_eval(link):
    """It says how large it may be."""
    error = link.eval("display({'a/b': 'x' * 900_000, 'c/d': 'x' * 900_000, 'e/f': 'x' * 900_000}, raw=True)").told[
        "error"
    ]
    assert error is None or "limit" in error["message"]
    assert not link.has_frame(Kind.DIED)

"""A conformance run against a scripted server: what counts as equal, as a difference with a reason, as a failure."""

import io
import json
from contextlib import redirect_stdout
from types import SimpleNamespace

import pytest
from websockets.asyncio.server import serve

from loadtests.conformance import reasons
from loadtests.conformance.__main__ import as_data, as_text
from loadtests.conformance.fire import Fire
from loadtests.conformance.reasons import OWN_RUNNER, UNSAVED, Reason, Table
from loadtests.conformance.run import ANSWER, CallFailed, answer_in, run
from loadtests.contestants.plain_repl import evaluate

NO_TABLE = Table({}, {}, ())


def server_that(change):
    """A REPL of this process, whose results are changed before they are sent."""

    async def converse(connection):
        namespace = {"__name__": "__main__"}
        async for message in connection:
            request = json.loads(message)
            for kind, payload in _answers(request, namespace, change):
                await connection.send(json.dumps({"id": request["id"], "type": kind, "payload": payload}))

    return serve(converse, "127.0.0.1", 0, compression=None, max_size=None)


def _answers(request, namespace, change):
    if request["type"] != "eval":
        return [("reply", {})]
    code = request["payload"]["code"]
    kind, payload = change(code, evaluate(code, namespace))
    if kind == "result" and request["payload"].get("stream"):
        return [("stream", {"name": "stdout", "text": payload["stdout"]}), (kind, payload | {"stdout": ""})]
    return [(kind, payload)]


async def conformance(change, table=NO_TABLE, module="heapq", *more, fire=None):
    """The report of one module, or a few."""
    async with server_that(change) as server:
        host, port = next(iter(server.sockets)).getsockname()[:2]
        url = f"ws://{host}:{port}"
        return await run(url, "t", table, sessions=2, modules=[module, *more], tell=lambda line: None, fire=fire)


def honest(code, result):
    """As it is."""
    return "result", result


def wrong_about(part):
    """Another value for code that has this in it."""
    return lambda code, result: ("result", result | {"output": "999"} if code.startswith(part) else result)


async def test_a_python_that_is_right_is_equal_everywhere():
    """And the report says so."""
    report = await conformance(honest)
    assert report.passed and len(report.of("equal")) == len(report.judged) > 0
    assert "0 failed" in as_text(report, NO_TABLE)
    assert as_data(report)["others"] == []


async def test_a_wrong_value_is_a_failure():
    """Python's own runner got it right in the same place."""
    report = await conformance(wrong_about("list(merge"))
    assert not report.passed
    (failed, *_) = report.of("failed")
    assert failed.seen == "999\n"
    assert f"FAILED {failed.example.name}" in as_text(report, NO_TABLE)


async def test_a_reviewed_reason_is_no_failure():
    """Its words stand in the report."""
    names = [item.example.name for item in (await conformance(wrong_about("list(merge"))).of("failed")]
    table = Table({}, {}, (Reason("known", "words of it", tuple(names)),))
    report = await conformance(wrong_about("list(merge"), table)
    assert report.passed and report.unneeded == []
    assert {item.reason for item in report.of("differs")} == {"known"}
    assert "words of it" in as_text(report, table)


async def test_an_entry_that_nothing_needed_is_in_the_report():
    """It is to be taken out again."""
    table = Table({}, {}, (Reason("old", "no more", ("heapq.merge#0",)),))
    report = await conformance(honest, table)
    assert report.unneeded == ["heapq.merge#0"]


async def test_what_pythons_own_runner_does_not_get_needs_no_entry():
    """The same example, in the same kind of place."""
    report = await conformance(honest, module="textwrap")
    assert report.passed
    assert {item.reason for item in report.of("differs")} == {OWN_RUNNER}


async def test_an_error_instead_of_a_result_is_a_failure():
    """The request ended, the example did not."""

    def die(code, result):
        if code.startswith("list(merge"):
            return "error", {"code": "worker_died", "message": "gone"}
        return "result", result

    report = await conformance(die)
    assert not report.passed
    assert "worker_died" in report.of("failed")[0].seen


async def test_a_module_that_is_not_there_is_told():
    """And is no failure, but a run of nothing is none that passed either."""
    report = await conformance(honest, module="no_such_module")
    assert list(report.absent) == ["no_such_module"]
    assert not report.passed


async def test_a_module_that_cannot_be_run_is_a_failure():
    """Any other end than "not here" is ours to explain."""

    def die(code, result):
        if "examine('heapq')" in code:
            return "error", {"code": "memory_limit", "message": "all of it"}
        return "result", result

    report = await conformance(die, NO_TABLE, "heapq", "json.encoder")
    assert report.judged and not report.of("failed")
    assert "memory_limit" in report.broken["heapq"] and not report.passed
    assert "BROKEN heapq" in as_text(report, NO_TABLE)


async def test_a_session_is_waited_for_while_there_is_no_room(monkeypatch):
    """`capacity` says that a worker may come."""
    monkeypatch.setattr("loadtests.conformance.run.OPEN_WAIT_S", 0)
    left = SimpleNamespace(refusals=3)

    def full(code, result):
        if code == "None" and left.refusals:
            left.refusals -= 1
            return "error", {"code": "capacity", "message": "later"}
        return "result", result

    assert (await conformance(full)).passed and left.refusals == 0


def test_the_answer_is_found_in_what_was_printed():
    """A module may print something of its own, as `this` does."""
    assert answer_in(f'The Zen of Python\n{ANSWER}["a"]\n') == ["a"]
    assert answer_in(f'{ANSWER}"of the module"\n{ANSWER}"ours"\n') == "ours"
    printed = io.StringIO()
    with redirect_stdout(printed):
        print(ANSWER + json.dumps("x\ny"))
    assert answer_in(printed.getvalue()) == "x\ny"


@pytest.mark.parametrize("name", ["ImportError", "unittest.case.SkipTest"])
def test_an_exception_is_known_by_its_last_name(name):
    """Whatever module it comes from."""
    assert CallFailed({"name": name, "message": ""}).name == name.rpartition(".")[2]


def test_the_real_table_runs_with_the_report():
    """Its reasons have words for the report, the one without an entry as well."""
    names = {reason.name for reason in reasons.load().reasons}
    assert OWN_RUNNER not in names


class Fate:
    """A worker that may be killed: then the next eval is undone, and names that were `unsaved` are gone."""

    def __init__(self):
        self.killed = 0
        self.is_dead = False

    async def kill(self, session):
        """See `Kill`."""
        self.killed += 1
        self.is_dead = True
        return True

    def change(self, code, result):
        """The first eval after a kill is told as undone; the next one is without what was lost."""
        if self.is_dead:
            self.is_dead = False
            return "error", {"code": "worker_died", "message": "killed"}
        if "heap" in code and self.killed and "heap = " not in code:
            return "result", result | {"output": None, "stdout": "", "error": None}
        return "result", result | {"unsaved": {"heap": "a lock"}}


async def test_an_example_that_was_undone_is_sent_again_and_what_was_unsaved_may_be_missed():
    """Every second example is fired at; the report counts the kills."""
    fate = Fate()
    report = await conformance(lambda code, result: fate.change(code, result), module="bisect", fire=Fire(2, fate.kill))
    assert report.kills == fate.killed > 0 or not report.judged
    fate = Fate()
    report = await conformance(fate.change, fire=Fire(1, fate.kill))
    assert report.kills == fate.killed == len(report.judged)
    assert {item.reason for item in report.of("differs")} <= {UNSAVED}


async def test_what_was_not_told_as_unsaved_may_not_be_missed():
    """Nor does a kill excuse an example that reaches nothing lost."""
    fate = Fate()
    report = await conformance(wrong_about("list(merge"), fire=Fire(1, fate.kill))
    assert not report.passed and len(report.of("failed")) > 0


async def test_an_entry_for_fire_counts_under_fire_only():
    """Without a kill, a session keeps what it has."""
    names = [item.example.name for item in (await conformance(wrong_about("list(merge"))).of("failed")]
    table = Table({}, {}, (), (Reason("cache", "words of it", tuple(names)),))
    assert not (await conformance(wrong_about("list(merge"), table)).passed
    assert (await conformance(wrong_about("list(merge"), table, fire=Fire(1, Fate().kill))).passed

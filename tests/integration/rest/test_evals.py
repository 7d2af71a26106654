"""Evals over REST on a real server: results and errors, once for each key, and what happens when a client leaves."""

import asyncio
import time

import pytest

from orchestrator.transports.rest import models
from support.rest import Rest, events, rest_of
from support.server import TOKEN, Server

pytestmark = [pytest.mark.bubblewrap, pytest.mark.redis]

PATIENCE_S = 20


async def status_of(rest: Rest, place: str, key: str, wanted: str) -> models.Execution:
    """Ask until an eval has this status."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            found = models.Execution.model_validate((await rest.ask("GET", f"{place}/evals/{key}")).json)
            if found.status == wanted:
                return found
            await asyncio.sleep(0.02)


async def test_an_eval_and_its_outcome_by_id(embedded: Server) -> None:
    """An exception in the code is a result; the id is the key, or is told."""
    async with rest_of(embedded.url, TOKEN) as rest:
        place = await rest.opened()
        answer = await rest.ask("POST", f"{place}/evals", json={"code": "print('hi'); 6 * 7"})
        execution = models.Execution.model_validate(answer.json)
        assert execution.result is not None
        assert (execution.result.output, execution.result.stdout, execution.result.seq) == ("42", "hi\n", 1)
        assert answer.headers["Content-Location"] == f"{place}/evals/{execution.id}"
        stored = models.Execution.model_validate((await rest.ask("GET", answer.headers["Content-Location"])).json)
        assert stored.result is not None
        assert (stored.status, stored.result.output, stored.result.state) == ("done", "42", "committed")
        failed = await rest.eval(place, "1 / 0")
        assert (failed["error"]["name"], failed["seq"]) == ("ZeroDivisionError", 2)
        for body, code, status in (
            ({"code": "1", "if_seq": 7}, "conflict", 409),
            ({"code": "x" * 200_000}, "too_large", 413),
            ({"code": 1}, "bad_message", 400),
            ({"code": "1", "speed": 9}, "bad_message", 400),
        ):
            refused = await rest.ask("POST", f"{place}/evals", json=body)
            models.Problem.model_validate(refused.json)
            assert (refused.status, refused.json["code"]) == (status, code)
            assert refused.json["incident"] in embedded.log()


async def test_a_key_runs_once(embedded: Server) -> None:
    """The same key and body is answered with the same result, another body is a conflict; in parallel they join."""
    async with rest_of(embedded.url, TOKEN) as rest:
        place = await rest.opened()
        await rest.eval(place, "n = 0")
        code = "import time; time.sleep(0.2); n += 1; n"
        results = await asyncio.gather(*(rest.eval(place, code, key="once") for _ in range(3)))
        results.append(await rest.eval(place, code, key="once"))
        assert {(result["output"], result["seq"]) for result in results} == {("1", 2)}
        headers = {"Idempotency-Key": "once"}
        other = await rest.ask("POST", f"{place}/evals", json={"code": "n"}, headers=headers)
        assert (other.status, other.json["code"]) == (409, "conflict")
        for key in ("", "x" * 129, "é"):
            answer = await rest.ask("POST", f"{place}/evals", json={"code": "n"}, headers={"Idempotency-Key": key})
            assert (answer.status, answer.json["field"]) == (400, "Idempotency-Key")
        assert (await rest.eval(place, "n"))["output"] == "1"


async def test_a_running_eval_is_seen_and_interrupted(embedded: Server) -> None:
    """By its id, from another connection; and a waiting one is dropped from the queue."""
    async with rest_of(embedded.url, TOKEN) as rest:
        place = await rest.opened()
        await rest.eval(place, "import time")
        code = "while True: time.sleep(0.01)"
        running = asyncio.create_task(rest.eval(place, code, key="long"))
        await status_of(rest, place, "long", "running")
        headers = {"Idempotency-Key": "waiting"}
        waiting = asyncio.create_task(rest.ask("POST", f"{place}/evals", json={"code": "1"}, headers=headers))
        await status_of(rest, place, "waiting", "running")
        assert (await rest.ask("GET", place)).json["status"] == "busy"
        cancelled = await rest.ask("POST", f"{place}/cancel", json={"target": "waiting"})
        assert cancelled.json == {"status": "cancelled"}
        dropped = await waiting
        assert (dropped.status, dropped.json["code"]) == (409, "cancelled")
        assert (await rest.ask("POST", f"{place}/interrupt", json={"target": "other"})).json["status"] == "mismatch"
        stopped = await rest.ask("POST", f"{place}/interrupt")
        assert stopped.json == {"status": "interrupted"}
        assert (await running)["error"]["name"] == "KeyboardInterrupt"
        assert (await rest.ask("POST", f"{place}/interrupt", json={})).json == {"status": "idle"}


@pytest.mark.parametrize(("wish", "output"), [("continue", "'done'"), ("interrupt", "'stopped'")])
async def test_c26_a_client_that_hangs_up(embedded: Server, wish: str, output: str) -> None:
    """Its eval goes on, or is interrupted, as it asked; the outcome is there by its id."""
    code = """
import time
state = 'started'
try:
    print('begun', flush=True)
    time.sleep(1.0)
    state = 'done'
except KeyboardInterrupt:
    state = 'stopped'
state"""
    async with rest_of(embedded.url, TOKEN) as rest:
        place = await rest.opened()
        await rest.eval(place, "1")
        async with rest.stream("GET", f"{place}/events") as response:
            heard = events(response)
            assert (await anext(heard)).type == "reply"
            leaving = asyncio.create_task(rest.eval(place, code, key="e", on_disconnect=wish, stream=True))
            while (await anext(heard)).type != "stream":
                pass
            leaving.cancel()
            await asyncio.gather(leaving, return_exceptions=True)
        found = await status_of(rest, place, "e", "done")
        assert found.result is not None
        assert found.result.output == output


async def test_events_of_an_eval_and_an_answer_to_its_question(embedded: Server) -> None:
    """Output comes while it runs, the question is answered by another request, and the result is the last event."""
    code = "print('before'); name = input('who? '); print('after'); name"
    async with rest_of(embedded.url, TOKEN) as rest:
        place = await rest.opened()
        body, headers = {"code": code, "allow_stdin": True}, {"Idempotency-Key": "ask"}
        heard = []
        async with rest.stream("POST", f"{place}/evals", json=body, headers=headers) as response:
            async for event in events(response):
                heard.append(event)
                if event.type == "input_request":
                    assert event.data["payload"]["prompt"] == "who? "
                    said = await rest.ask("POST", f"{place}/input", json={"target": "ask", "text": "ann"})
                    assert said.json == {"status": "delivered"}
        text = "".join(event.data["payload"]["text"] for event in heard if event.type == "stream")
        assert text.replace("who? ", "") == "before\nafter\n"
        assert heard[-1].type == "result" and heard[-1].data["payload"]["output"] == "'ann'"
        assert {event.data.get("id", "ask") for event in heard} == {"ask"}
        assert [event.id for event in heard if event.type == "stream"] == [
            event.data["cursor"] for event in heard if event.type == "stream"
        ]


async def test_an_editors_questions(embedded: Server) -> None:
    """Completion, inspection, and whether a piece of code is whole."""
    async with rest_of(embedded.url, TOKEN) as rest:
        place = await rest.opened()
        await rest.eval(place, "def greet(name): 'Say hello.'")
        matches = (await rest.ask("POST", f"{place}/complete", json={"code": "gre", "cursor": 3})).json
        assert [match.text for match in models.Matches.model_validate(matches).matches] == ["greet"]
        inspected = (await rest.ask("POST", f"{place}/inspect", json={"code": "greet", "cursor": 1})).json
        assert models.Inspected.model_validate(inspected).found and "Say hello." in inspected["docstring"]
        whole = (await rest.ask("POST", f"{place}/is_complete", json={"code": "if 1:"})).json
        assert models.Completeness.model_validate(whole).status == "incomplete"


async def test_what_runs_too_long_is_a_problem_or_a_result(embedded: Server) -> None:
    """Code that obeys ends with a result; code that does not loses its worker, and the problem says so."""
    async with rest_of(embedded.url, TOKEN) as rest:
        place = await rest.opened()
        obeyed = await rest.eval(place, "import time; time.sleep(30)", timeout_s=0.3)
        assert obeyed["error"]["code"] == "timeout"
        began = time.monotonic()
        stubborn = "import signal\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\nwhile True: pass"
        lost = await rest.ask("POST", f"{place}/evals", json={"code": stubborn, "timeout_s": 0.3})
        assert (lost.status, lost.json["code"]) == (422, "timeout")
        assert time.monotonic() - began < PATIENCE_S
        crashed = await rest.ask("POST", f"{place}/evals", json={"code": "import os; os._exit(3)"})
        assert (crashed.status, crashed.json["code"]) == (422, "worker_crashed")
        assert (await rest.eval(place, "1"))["output"] == "1"

"""The main job through the front door, on real sandboxes: state, output, errors, input, interrupts, files."""

from __future__ import annotations

import json

import pytest
import websockets

from support.client import connect
from support.server import TOKEN, Server

pytestmark = pytest.mark.bubblewrap


async def test_the_plainest_client_holds_a_conversation(embedded: Server):
    """Fifteen lines of `websockets`, one answer for each line sent, nothing else in between."""
    said = []
    headers = {"Authorization": f"Bearer {TOKEN}"}
    async with websockets.connect(embedded.url + "/", additional_headers=headers) as socket:
        for number, code in enumerate(["x = sum(range(5))", "x", "print('hi', x)", "1 +", "x + 1"]):
            await socket.send(
                json.dumps({"id": str(number), "type": "eval", "payload": {"code": code}, "timestamp": 1})
            )
            answer = json.loads(await socket.recv())
            assert answer["id"] == str(number)
            said.append(answer["payload"]["output"] or answer["payload"]["stderr"] or answer["payload"]["stdout"])

    assert said[0] == ""
    assert said[1:3] == ["10", "hi 10\n"]
    assert "SyntaxError" in said[3] and "^" in said[3]
    assert said[4] == "11"


async def test_output_streams_in_order_and_the_value_comes_last(embedded: Server):
    """Events with growing cursors, then the one terminal."""
    async with connect(embedded.url, TOKEN) as client:
        await client.ask("open")
        answer = await client.eval(
            "import sys\nfor i in range(3): print(i); print(-i, file=sys.stderr)\n7", stream=True
        )

        streams = client.events("stream")
        cursors = [tuple(map(int, e["cursor"].split("."))) for e in streams]
        assert "".join(e["payload"]["text"] for e in streams) == "0\n0\n1\n-1\n2\n-2\n"
        assert cursors == sorted(cursors)
        assert (answer["output"], answer["stdout"], answer["state"]) == ("7", "", "committed")
        assert answer["durable"] == "fsync"
        assert answer["receipt"]["output_bytes"] == 14


async def test_an_exception_is_a_result_with_the_tenants_frames(embedded: Server):
    """Name, message, frames with their source lines, and the text in stderr."""
    async with connect(embedded.url, TOKEN) as client:
        answer = await client.eval("def f(n):\n    return 1 / n\n\nf(0)")

        assert (answer["error"]["name"], answer["error"]["message"]) == ("ZeroDivisionError", "division by zero")
        assert [frame["source"] for frame in answer["error"]["traceback"]] == ["f(0)", "return 1 / n"]
        assert "return 1 / n" in answer["stderr"] and "replworker" not in answer["stderr"]
        assert answer["state"] == "committed"


async def test_an_interrupt_hits_the_running_eval_only(embedded: Server):
    """The loop ends at once, is committed, and the next eval is untouched."""
    async with connect(embedded.url, TOKEN) as client:
        await client.eval("n = 0")
        running = await client.send(
            "eval", {"code": "n += 1\nprint('on', flush=True)\nwhile True: n += 1", "stream": True}
        )
        await client.wait_for(lambda e: e["type"] == "stream")
        reply = await client.ask("interrupt")
        answer = (await client.terminal(running))["payload"]

        assert reply["payload"] == {"status": "interrupted"}
        assert (answer["error"]["name"], answer["error"]["code"], answer["state"]) == (
            "KeyboardInterrupt",
            "interrupted",
            "committed",
        )
        assert (await client.eval("n > 0"))["output"] == "True"
        assert (await client.ask("interrupt"))["payload"] == {"status": "idle"}


async def test_an_eval_that_obeys_nothing_loses_its_worker_and_no_state(embedded: Server):
    """One C call without end: the time limit, the grace, a new worker with the last commit in it (R09)."""
    async with connect(embedded.url, TOKEN) as client:
        await client.ask("open")
        await client.eval("kept = 41")
        stuck = await client.ask("eval", {"code": "kept = 0; sum(range(10**13))", "timeout_s": 0.5})

        assert (stuck["type"], stuck["payload"]["code"]) == ("error", "timeout")
        assert (await client.eval("kept + 1"))["output"] == "42"
        assert client.events("rolled_back")[0]["payload"]["to"] == 1


async def test_input_is_asked_of_the_client(embedded: Server):
    """`input()` and `getpass` become `input_request`; without `allow_stdin` they fail clearly."""
    async with connect(embedded.url, TOKEN) as client:
        asked = await client.send("eval", {"code": "name = input('who? ')\nname.upper()", "allow_stdin": True})
        request = await client.wait_for(lambda e: e["type"] == "input_request")
        await client.ask("input", {"target": asked, "text": "ada"})

        assert request["payload"] == {"prompt": "who? ", "password": False}
        assert (await client.terminal(asked))["payload"]["output"] == "'ADA'"
        assert "stdin" in (await client.eval("input()"))["error"]["message"]


async def test_the_same_id_runs_once(embedded: Server):
    """Same body: the same outcome again, also on another connection; another body: conflict."""
    async with connect(embedded.url, TOKEN) as client, connect(embedded.url, TOKEN) as other:
        session = (await client.ask("open"))["payload"]["session"]
        await client.eval("n = 0")
        body = {"code": "n += 1\nn"}
        first = await client.ask("eval", body, id_="once")
        again = await client.ask("eval", body, id_="once")
        await other.ask("attach", {"session": session})
        elsewhere = await other.ask("eval", body, id_="once")
        conflict = await client.ask("eval", {"code": "n"}, id_="once")

        assert first["payload"]["output"] == "1"
        assert again["payload"]["seq"] == elsewhere["payload"]["seq"] == first["payload"]["seq"]
        assert again["payload"]["output"] == elsewhere["payload"]["output"] == "1"
        assert conflict["payload"]["code"] == "conflict"
        assert (await client.eval("n"))["output"] == "1"


async def test_a_request_in_the_queue_is_cancelled_without_a_hole(embedded: Server):
    """It never starts, and the next eval takes its number."""
    async with connect(embedded.url, TOKEN) as client:
        running = await client.send("eval", {"code": "print('on')\nwhile True: pass", "stream": True})
        await client.wait_for(lambda e: e["type"] == "stream")
        waiting = await client.send("eval", {"code": "1"})
        assert (await client.ask("cancel", {"target": waiting}))["payload"] == {"status": "cancelled"}
        assert (await client.terminal(waiting))["payload"]["code"] == "cancelled"
        await client.ask("interrupt")
        first = (await client.terminal(running))["payload"]["seq"]

        assert (await client.eval("2"))["seq"] == first + 1


async def test_if_seq_guards_against_a_forgotten_id(embedded: Server):
    """It starts only on the state that the client meant."""
    async with connect(embedded.url, TOKEN) as client:
        seq = (await client.eval("a = 1"))["seq"]

        assert (await client.ask("eval", {"code": "a", "if_seq": seq + 5}))["payload"]["code"] == "conflict"
        assert (await client.eval("a", if_seq=seq))["output"] == "1"


async def test_auxiliary_requests_see_the_live_namespace(embedded: Server):
    """complete, inspect, is_complete, variables, history, describe."""
    async with connect(embedded.url, TOKEN) as client:
        await client.eval("def greet(name):\n    'Say hello.'\nbig = {'alpha': 1}")
        matches = (await client.ask("complete", {"code": "gre", "cursor": 3}))["payload"]["matches"]
        keys = (await client.ask("complete", {"code": "big['al", "cursor": 7}))["payload"]["matches"]
        inspected = (await client.ask("inspect", {"code": "greet", "cursor": 5}))["payload"]
        variables = (await client.ask("variables"))["payload"]["variables"]
        history = (await client.ask("history"))["payload"]["entries"]

        assert "greet" in [match["text"] for match in matches]
        assert any("alpha" in match["text"] for match in keys)
        assert "Say hello." in inspected["docstring"] and "name" in inspected["signature"]
        assert {"greet", "big"} <= {variable["name"] for variable in variables}
        assert history[0]["body"]["code"].startswith("def greet")
        for code, status in (("x = 1", "complete"), ("def f():", "incomplete"), ("1 +* 2", "invalid")):
            assert (await client.ask("is_complete", {"code": code}))["payload"]["status"] == status
        assert (await client.ask("describe"))["payload"]["languages"] == ["python"]
        assert (await client.ask("ping"))["type"] == "pong"


async def test_files_are_numbered_and_survive_like_names(embedded: Server):
    """write, stat, list, read by both roads, delete; no way out of the folder."""
    async with connect(embedded.url, TOKEN) as client:
        written = await client.ask("files", {"op": "write", "path": "a.txt", "data": "aGVsbG8="})
        assert written["type"] == "reply" and written["payload"]["seq"] == 1
        assert (await client.eval("open('a.txt').read()"))["output"] == "'hello'"
        assert (await client.ask("files", {"op": "read", "path": "a.txt"}))["payload"]["data"] == "aGVsbG8="
        for path in ("../x", "/etc/passwd", "missing"):
            assert (await client.ask("files", {"op": "read", "path": path}))["type"] == "error"
        assert (await client.ask("files", {"op": "delete", "path": "a.txt"}))["payload"]["seq"] == 3


async def test_a_client_that_comes_back_misses_nothing(embedded: Server):
    """The eval goes on without it; attach with the last cursor sends the rest, once."""
    code = "import time\nfor i in range(30):\n    print(i, flush=True)\n    time.sleep(0.02)"
    async with connect(embedded.url, TOKEN) as client:
        session = (await client.ask("open"))["payload"]["session"]
        await client.send("eval", {"code": code, "stream": True}, id_="loop")
        await client.wait_for(lambda e: e["type"] == "stream" and "3" in e["payload"]["text"])
        seen = client.events("stream")
    async with connect(embedded.url, TOKEN) as client:
        await client.ask("attach", {"session": session, "cursor": seen[-1]["cursor"]})
        await client.send("eval", {"code": code, "stream": True}, id_="loop")
        await client.terminal("loop")
        text = "".join(e["payload"]["text"] for e in seen + client.events("stream"))

    assert text == "".join(f"{i}\n" for i in range(30))


async def test_bad_messages_are_answered_and_the_connection_lives(embedded: Server):
    """Each with a code; too many close it with 1008."""
    async with connect(embedded.url, TOKEN) as client:
        for text in ("{", "[]", '{"id":"a","type":"no"}', '{"id":"b","type":"eval","payload":{"code":1}}'):
            await client.socket.send_str(text)
        await client.wait_for(lambda e: len(client.events("error")) == 4)
        assert [e["payload"]["code"] for e in client.events("error")] == [
            "bad_message",
            "bad_message",
            "unknown_type",
            "bad_message",
        ]
        assert (await client.eval("1 + 1"))["output"] == "2"
        for _ in range(20):
            await client.socket.send_str("{")
        with pytest.raises(ConnectionError, match="1008"):
            await client.wait_for(lambda e: False)

"""REST before any session is touched: heads, bodies, origins, hosts, rates, and what every response carries."""

import asyncio
import json
from typing import Any

import aiohttp
import pytest

from orchestrator.transports.admission import GOING_AWAY_RETRY_S
from orchestrator.transports.configuration import ChannelConfig
from orchestrator.transports.rest.routes import ROUTES
from support.front_door import HEADERS, TOKEN, FrontDoor, front_door, refused
from support.raw_http import answer_to

SESSION = "/v1/sessions/ses_aaaaaaaaaaaaaaaa_bbbbbbbbbbbbbbbb"
CONSOLE = "https://console.example"
CARRIED = {
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "Server": "bascule",
}


async def ask(door: FrontDoor, method: str, path: str, **more: Any) -> tuple[int, Any, Any]:
    """Status, header fields and body of one answer."""
    headers = {**HEADERS, **more.pop("headers", {})}
    async with aiohttp.ClientSession() as http, http.request(method, door.http + path, headers=headers, **more) as said:
        body = await said.read()
        return said.status, said.headers, json.loads(body) if "json" in said.content_type and body else body


@pytest.mark.parametrize(
    ("method", "path", "headers", "data", "status", "code"),
    [
        ("GET", "/v1/nothing", {}, None, 404, "not_found"),
        ("GET", "/v1/sessions/../x", {}, None, 404, "not_found"),
        ("GET", "/v1/sessions/ses_x", {}, None, 404, "not_found"),
        ("GET", SESSION, {}, None, 404, "not_found"),
        ("PUT", "/v1/sessions", {}, None, 405, "method_not_allowed"),
        ("PATCH", SESSION, {}, b"{}", 405, "method_not_allowed"),
        ("GET", "/v1/sessions", {"Accept": "text/html"}, None, 406, "not_acceptable"),
        ("GET", f"{SESSION}/events", {"Accept": "application/json"}, None, 406, "not_acceptable"),
        ("GET", "/v1/sessions", {"Accept": "application/json;q=0"}, None, 406, "not_acceptable"),
        ("GET", "/v1/sessions", {}, b"body", 413, "too_large"),
        ("POST", f"{SESSION}/evals", {"Content-Type": "text/plain"}, b"1", 415, "unsupported_media_type"),
        ("POST", f"{SESSION}/evals", {"Content-Encoding": "gzip"}, b"1", 415, "unsupported_encoding"),
        ("POST", f"{SESSION}/evals", {"Content-Type": "application/json"}, b"{", 400, "bad_message"),
        ("POST", f"{SESSION}/evals", {"Content-Type": "application/json"}, b"[]", 400, "bad_message"),
        ("POST", f"{SESSION}/evals", {"Content-Type": "application/json"}, b"\xff", 400, "bad_message"),
        ("POST", f"{SESSION}/evals", {"Content-Type": "application/json"}, b'{"a":1,"a":2}', 400, "bad_message"),
        ("POST", f"{SESSION}/evals", {"Content-Type": "application/json"}, b'{"a":NaN}', 400, "bad_message"),
        ("POST", f"{SESSION}/evals", {"Content-Type": "application/json"}, b'{"a":"\\ud800"}', 400, "bad_message"),
        ("POST", f"{SESSION}/evals", {"Content-Type": "application/json"}, b"[" * 100_000, 400, "bad_message"),
        ("POST", f"{SESSION}/evals", {"Content-Type": "application/json"}, bytes(2**20 + 1), 413, "too_large"),
        ("GET", "/v1/sessions?token=x", {}, None, 401, "unauthenticated"),
        ("GET", "/v1/sessions?speed=x", {}, None, 400, "bad_message"),
    ],
)  # fmt: skip
async def test_each_fault_has_its_problem(
    method: str, path: str, headers: dict[str, str], data: bytes | None, status: int, code: str
) -> None:
    """With the status of its code, and all members that a problem has."""
    async with front_door() as door:
        found, sent, body = await ask(door, method, path, headers=headers, data=data)
        assert (found, body["code"], body["status"]) == (status, code, status)
        assert sent["Content-Type"] == "application/problem+json"
        assert body["type"] == f"urn:bascule:error:{code}"
        assert body["instance"] == f"urn:bascule:incident:{body['incident']}"
        assert body["title"] and body["detail"] and body["retryable"] in (True, False)
        assert ("Allow" in sent) == (status == 405)
        assert door.engine.guests == []


async def test_b06_every_response_carries_what_protects_a_browser() -> None:
    """Answers and errors, of every kind, those of a broken request and of a handshake included."""
    async with front_door() as door:
        for method, path in (
            ("GET", "/v1/sessions"), ("GET", "/openapi.json"), ("GET", "/livez"), ("GET", "/metrics"),
            ("GET", "/nothing"), ("DELETE", "/v1/sessions"), ("OPTIONS", SESSION), ("GET", "/"),
            ("HEAD", "/v1/sessions"),
        ):  # fmt: skip
            _, sent, _ = await ask(door, method, path)
            assert {name: sent.get(name) for name in CARRIED} == CARRIED, path
        answer = await refused(door.url, {})
        assert {name: answer.headers.get(name) for name in CARRIED} == CARRIED
        async with aiohttp.ClientSession() as http, http.ws_connect(door.url, headers=HEADERS) as socket:
            opened = socket._response.headers
            assert {name: opened.get(name) for name in CARRIED} == CARRIED
        broken = await answer_to(door.server.port, b"GET /\xff HTTP/9\r\n\r\n")
        for name, value in CARRIED.items():
            assert f"{name}: {value}".encode() in broken


async def test_without_a_token_nothing_but_the_document_is_told() -> None:
    """The same 401 on every route; both ways to show a token are taken, a token in the address is not."""
    async with front_door() as door, aiohttp.ClientSession() as http:
        for route in ROUTES:
            path = route.template.format(session=SESSION.rsplit("/", 1)[1], request_id="e", path="a", name="n")
            async with http.request(route.method, door.http + path) as answer:
                assert answer.status == (200 if route.is_public else 401), path
                if not route.is_public:
                    assert answer.headers["WWW-Authenticate"].startswith("Bearer")
        for headers, query, status in (
            ({"X-API-Key": TOKEN}, "", 200),
            ({"Authorization": f"Bearer {TOKEN}"}, "", 200),
            ({"X-API-Key": "wrong"}, "", 401),
            ({}, f"?token={TOKEN}", 401),
            ({"Cookie": f"token={TOKEN}"}, "", 401),
        ):
            async with http.get(f"{door.http}/v1/sessions{query}", headers=headers) as answer:
                assert answer.status == status


async def test_b03_cors_is_off_until_an_origin_is_listed() -> None:
    """A foreign page is refused and learns nothing; there is never a `*`, and never an origin of the asker's choice."""
    for origins, origin, status, allowed in (
        ((), CONSOLE, 403, None),
        ((), "null", 403, None),
        ((CONSOLE,), CONSOLE, 200, CONSOLE),
        ((CONSOLE,), "https://console.example.evil", 403, None),
        ((CONSOLE,), "http://console.example", 403, None),
        ((CONSOLE,), "https://console.example:8443", 403, None),
        ((CONSOLE,), "null", 403, None),
    ):
        async with front_door(settings={"origins": origins}) as door:
            asked = {"Origin": origin, "Access-Control-Request-Method": "GET"}
            preflight, sent, _ = await ask(door, "OPTIONS", "/v1/sessions", headers=asked)
            assert preflight == (204 if status == 200 else 403)
            assert sent.get("Access-Control-Allow-Origin") == allowed
            assert ("Authorization" in sent.get("Access-Control-Allow-Headers", "")) == (allowed is not None)
            found, sent, _ = await ask(door, "GET", "/v1/sessions", headers={"Origin": origin})
            assert (found, sent.get("Access-Control-Allow-Origin")) == (status, allowed)
            assert "Access-Control-Allow-Credentials" not in sent
            _, sent, _ = await ask(door, "GET", SESSION, headers={"Origin": origin})
            assert sent.get("Access-Control-Allow-Origin") == allowed


async def test_b04_a_host_that_is_not_ours_is_not_served() -> None:
    """A name that an attacker points at this server; with the list empty, any name is served."""
    async with front_door(settings={"hosts": ("repl.example", "127.0.0.1", "[::1]:80")}) as door:
        for host, status in (
            ("repl.example", 200), ("REPL.example:443", 200), ("[::1]:80", 200),
            ("evil.example", 421), ("repl.example.evil", 421), ("", 421), ("[::1]:81", 421),
        ):  # fmt: skip
            for path in ("/livez", "/openapi.json", "/nothing", "/"):
                head = f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
                said = (await answer_to(door.server.port, head.encode())).splitlines()[0]
                assert (b" 421 " in said) == (status == 421), (host, path)
        assert (await refused(door.url, {**HEADERS, "Origin": "https://evil.example"})).status_code == 403


async def test_too_many_header_fields_are_431() -> None:
    """More than anyone needs."""
    async with front_door(settings={"header_fields_max": 20}) as door:
        status, _, body = await ask(door, "GET", "/v1/sessions", headers={f"X-{n}": "a" for n in range(20)})
        assert (status, body["code"]) == (431, "headers_too_large")


async def test_c18_a_body_that_does_not_come_is_408() -> None:
    """Its connection ends with the answer."""
    async with front_door(settings={"body_timeout_s": 0.3}) as door:
        for more, body in (("Content-Type: application/json\r\n", b'{"code"'), ("Expect: 100-continue\r\n", b"")):
            kind = "" if "Type" in more else "Content-Type: application/json\r\n"
            head = (
                f"POST {SESSION}/evals HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\n"
                f"{more}{kind}Content-Length: 50\r\n\r\n"
            )
            said = await answer_to(door.server.port, head.encode() + body)
            assert b"request_timeout" in said and b" 408 " in said
            assert said.startswith(b"HTTP/1.1 100 Continue\r\n\r\n") == ("Expect" in more)


async def test_a_principal_that_asks_too_often_is_told_to_wait() -> None:
    """429 with a time, and fields that say before how much is left."""
    async with front_door(settings={"requests_per_s_max": 0.5, "request_burst_max": 3}) as door:
        for left in (2, 1, 0):
            status, sent, _ = await ask(door, "GET", "/v1/sessions")
            assert (status, sent["RateLimit-Policy"]) == (200, '"requests";q=3;w=6')
            assert sent["RateLimit"].startswith(f'"requests";r={left};t=')
        status, sent, body = await ask(door, "GET", "/v1/sessions")
        assert (status, body["code"], body["retryable"]) == (429, "rate_limited", True)
        assert sent["Retry-After"] == "2" and 1000 < body["retry_after_ms"] <= 2001
        assert sent["RateLimit"] == '"requests";r=0;t=6'
        assert (await ask(door, "GET", "/openapi.json"))[0] == 200


async def test_head_and_options_say_what_there_is() -> None:
    """HEAD is the head of GET; OPTIONS lists the methods."""
    async with front_door() as door:
        got, head = await ask(door, "GET", "/v1/sessions"), await ask(door, "HEAD", "/v1/sessions")
        assert (head[0], head[2], head[1]["Content-Length"]) == (200, b"", got[1]["Content-Length"])
        assert (await ask(door, "HEAD", SESSION))[0] == 404
        status, sent, _ = await ask(door, "OPTIONS", f"{SESSION}/files/a")
        assert (status, sent["Allow"]) == (204, "DELETE, GET, HEAD, OPTIONS, PUT")
        stream = await ask(door, "HEAD", f"{SESSION}/events")
        assert (stream[0], stream[1]["Content-Type"]) == (200, "text/event-stream")


async def test_requests_are_counted_by_route_and_never_by_address() -> None:
    """Whatever a stranger asks for, the labels are those of the table."""
    async with front_door() as door:
        await ask(door, "GET", f"{SESSION}/files/secret-name", headers={"Accept": "text/html"})
        await ask(door, "PATCH", "/v1/sessions")
        text = (await ask(door, "GET", "/metrics"))[2].decode()
        assert 'bascule_http_requests_total{method="GET",route="/v1/sessions/{session}/files/{path}"' in text
        assert 'method="other",route="/v1/sessions",status="405"' in text
        assert "secret-name" not in text and "PATCH" not in text and SESSION not in text


async def test_while_it_drains_requests_are_503() -> None:
    """With a time to come back."""
    async with front_door(settings={"retry_after_s": 7}) as door:
        door.server.refuse_new()
        status, sent, body = await ask(door, "GET", "/v1/sessions")
        assert (status, body["code"], sent["Retry-After"]) == (503, "draining", str(GOING_AWAY_RETRY_S))


async def test_c21_a_listener_that_does_not_read_is_hung_up_on() -> None:
    """Its memory here is bounded: who makes the events waits, and the connection ends in time."""
    async with front_door(channel=ChannelConfig(slow_client_timeout_s=0.5)) as door:
        _, writer = await asyncio.open_connection("127.0.0.1", door.server.port, limit=1024)
        door.engine.floods_events = True
        head = f"GET {SESSION}/events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\n\r\n"
        writer.write(head.encode())
        async with asyncio.timeout(20):
            await door.engine.left.wait()
        assert 0 < door.engine.sent_bytes < 16 * 2**20
        writer.close()

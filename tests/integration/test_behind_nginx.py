"""A server behind a real nginx with TLS, with tokens by RS256: WebSocket, server-sent events, HTTP, time-outs."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import NamedTuple

import aiohttp
import pytest
import websockets

from bascule import AsyncClient, Event, Reconnected
from support.nginx import Nginx
from support.serving import ready, serving
from support.tokens import Issuer

pytestmark = [pytest.mark.bubblewrap, pytest.mark.nginx, pytest.mark.redis]

QUIET_S = 1


class Front(NamedTuple):
    """nginx, and who may come through it."""

    nginx: Nginx
    issuer: Issuer

    @property
    def headers(self) -> dict[str, str]:
        """With a fresh token."""
        return {"Authorization": f"Bearer {self.issuer.token()}"}

    @property
    def url(self) -> str:
        """By the name in the certificate."""
        return f"https://localhost:{self.nginx.port}"

    def client(self) -> AsyncClient:
        """The Python client, with the certificate's authority."""
        return AsyncClient(url=self.url, api_key=self.issuer.token, tls=self.nginx.tls, reconnect_first_s=0.05)


@asynccontextmanager
async def front(state: Path, *, heartbeat_s: float = 20.0, **changed: str) -> AsyncIterator[Front]:
    """A server that knows one issuer, and nginx in front of it; `changed`: words of nginx' block and others."""
    issuer = Issuer(state / "issuer")
    config = state / "config.toml"
    config.write_text(f'server.trusted_proxies = ["127.0.0.1"]\nchannel.heartbeat_s = {heartbeat_s}\n{issuer.toml()}')
    words = ("--embedded", "--port", "0", "--state-dir", str(state / "state"), "--config", str(config))
    async with AsyncExitStack() as parts:
        process = await parts.enter_async_context(serving(*words))
        nginx = Nginx(state, await ready(process), **changed)
        parts.push_async_callback(nginx.stop)
        await nginx.start()
        yield Front(nginx, issuer)


async def test_the_plainest_client_talks_over_wss(state: Path) -> None:
    """State between lines; without a token 401, through nginx as it was said."""
    async with front(state) as made:
        url, tls = made.url.replace("https:", "wss:"), made.nginx.tls
        async with websockets.connect(url, additional_headers=made.headers, ssl=tls) as socket:
            for code, output in (("x = 41", None), ("x + 1", "42")):
                await socket.send(json.dumps({"id": code, "type": "eval", "payload": {"code": code}, "timestamp": 1}))
                assert json.loads(await socket.recv())["payload"]["output"] == output
        with pytest.raises(websockets.InvalidStatus) as refused:
            await websockets.connect(url, ssl=tls)
        assert refused.value.response.status_code == 401


async def test_http_and_events_pass_as_they_come(state: Path) -> None:
    """An event arrives while its eval runs, and who hangs up there is gone here. A file goes up and down whole."""
    async with front(state) as made, aiohttp.ClientSession(headers=made.headers) as http:
        async with http.post(f"{made.url}/v1/sessions", json={}, ssl=made.nginx.tls) as answer:
            session = (await answer.json())["session"]
        place = f"{made.url}/v1/sessions/{session}"
        code = "print('first', flush=True)\nwhile True: pass"
        asked = {"code": code, "stream": True, "on_disconnect": "interrupt"}
        async with http.post(
            f"{place}/evals", json=asked, headers={"Accept": "text/event-stream"}, ssl=made.nginx.tls
        ) as answer:
            await asyncio.wait_for(_until(answer, "first"), 20)
            # A goodbye by TLS alone is nothing that nginx listens for while it sends.
            assert answer.connection is not None and answer.connection.transport is not None
            answer.connection.transport.abort()
        data = bytes(range(256)) * 4096
        async with http.put(f"{place}/files/data.bin", data=data, ssl=made.nginx.tls) as answer:
            assert answer.status < 300
        async with http.get(f"{place}/files/data.bin", ssl=made.nginx.tls) as answer:
            assert await answer.read() == data


async def test_a_quiet_connection_lives_as_long_as_its_heartbeat_is_faster(state: Path) -> None:
    """nginx cuts what says nothing for `proxy_read_timeout`; the server's pings are something."""
    limits = {"proxy_read_timeout 60s": f"proxy_read_timeout {QUIET_S}s"}
    async with front(state, heartbeat_s=QUIET_S / 4, **limits) as made, made.client() as client:
        heard: list[Event] = []
        async with client.open(on_event=heard.append) as session:
            done = await session.run(f"import time; time.sleep({QUIET_S * 3}); 7")
            assert done.text == "7"
        assert not any(isinstance(event, Reconnected) for event in heard)


async def test_what_nginx_cuts_comes_back_without_a_gap(state: Path) -> None:
    """nginx is ended and started again while an eval speaks: every event once, and its result."""
    told: list[Event] = []
    async with front(state) as made, made.client() as client, client.open(on_event=told.append) as session:
        heard: list[str] = []
        restarted = asyncio.Event()

        async def restart() -> None:
            await made.nginx.stop()
            await made.nginx.start()
            restarted.set()

        async def hear(text: str) -> None:
            heard.append(text)
            if "100\n" in "".join(heard) and not restarted.is_set():
                await restart()

        done = await session.run(
            "import time\nfor n in range(300): print(n, flush=True); time.sleep(0.002)\n'end'", on_stdout=hear
        )
        assert done.text == "'end'" and done.gaps == []
        assert "".join(heard).split() == [str(n) for n in range(300)]
        assert restarted.is_set() and any(isinstance(event, Reconnected) for event in told)


async def _until(answer: aiohttp.ClientResponse, word: str) -> None:
    text = ""
    while word not in text:
        text += (await answer.content.readany()).decode()

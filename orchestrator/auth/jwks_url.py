"""The keys of an issuer at an address of its own: fetched beside the hot path, kept, and fetched again.

What is asked for a token's sake is only what lies here already. The address is the operator's, never a token's. It is
asked in rounds: when the set is old, or a token names a key that is not in it, and never twice within `jwks_again_s`.
While it is away the last good set holds, for `jwks_stale_s_max`; after that, and before the first, nobody is let in.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

import aiohttp
import structlog

from orchestrator.auth.jwt_config import JwtConfig
from orchestrator.auth.jwt_keys import JWKS_BYTES_MAX, JwtKeys, read_jwks
from orchestrator.auth.rereading import AuthFileError

_HEADERS: Final = {"Accept": "application/jwk-set+json, application/json", "Accept-Encoding": "identity"}
_NEVER: Final = float("-inf")

_log = structlog.get_logger("bascule.auth")


class FetchedKeys:
    """Those of one issuer; raises `AuthFileError`. `on_fetch` hears how each round ended: `ok` or `failed`."""

    def __init__(self, config: JwtConfig, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        assert config.jwks_url is not None
        self._config = config
        self._url = config.jwks_url
        self._tls = _trusting(config.jwks_ca_file)
        self._monotonic = monotonic
        self._keys: JwtKeys | None = None
        self._fetched_at = _NEVER
        self._wanted = asyncio.Event()
        self.cause: str | None = "it was not asked yet"
        """Why the last round brought nothing; None when it did."""
        self.on_fetch: Callable[[str], None] = lambda outcome: None

    @property
    def content(self) -> JwtKeys | None:
        """The last good set; None when there is none, or it is too old to vouch for anybody."""
        is_good = self._monotonic() - self._fetched_at <= self._config.jwks_stale_s_max
        return self._keys if is_good else None

    def want(self) -> None:
        """A token names a key that is not here: it may be new. However often this is said, rounds keep their pace."""
        self._wanted.set()

    async def refresh(self) -> None:
        """One round. What goes wrong is logged and leaves the last good set as it is."""
        try:
            text = await fetched_text(self._url, self._config.jwks_timeout_s, self._tls)
            keys = read_jwks(self._url, text, self._config.algorithm)
        except AuthFileError as error:
            self.cause = str(error)
            _log.error("keys not fetched", cause=self.cause, meaning=self._meaning())
            self.on_fetch("failed")
            return
        if keys != self._keys:
            _log.info("keys fetched", url=self._url, keys=len(keys.all))
        self._keys, self._fetched_at, self.cause = keys, self._monotonic(), None
        self.on_fetch("ok")

    def _meaning(self) -> str:
        return "tokens of this issuer are answered 503" if self.content is None else "the last good set holds"

    async def keep(self) -> None:
        """Rounds without end, the first one when a pause is over."""
        while True:
            await self._pause()
            await self.refresh()

    async def _pause(self) -> None:
        self._wanted.clear()
        await asyncio.sleep(self._config.jwks_again_s)
        if self.cause is not None:
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._config.jwks_refresh_s - self._config.jwks_again_s):
                await self._wanted.wait()


class KeyRounds:
    """Keeps sets fresh from `start` to `close`."""

    def __init__(self, sources: Iterable[FetchedKeys]) -> None:
        self._sources = tuple(sources)
        self._tasks: tuple[asyncio.Task[None], ...] = ()

    async def start(self, on_fetch: Callable[[str], None]) -> None:
        """Ask all once, so that a server that is ready has the keys; who does not answer in time may come later."""
        for source in self._sources:
            source.on_fetch = on_fetch
        await self.refresh()
        self._tasks = tuple(asyncio.create_task(source.keep()) for source in self._sources)

    async def refresh(self) -> None:
        """One round of all at once."""
        await asyncio.gather(*(source.refresh() for source in self._sources))

    async def close(self) -> None:
        """No more rounds."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


def _trusting(authorities: Path | None) -> ssl.SSLContext | bool:
    """Made once: to read the authorities of a machine takes longer than a request may wait."""
    if authorities is None:
        return True
    try:
        return ssl.create_default_context(cafile=authorities)
    except OSError as error:
        raise AuthFileError(f"{authorities}: no authorities as PEM: {error}") from None


async def fetched_text(url: str, timeout_s: float, tls: ssl.SSLContext | bool = True) -> str:
    """What lies at the address, `JWKS_BYTES_MAX` at most; raises `AuthFileError`.

    A redirect is an error, so that nobody but the address that was set is believed. Nothing is unpacked; proxies of the
    environment and cookies are left alone.
    """
    try:
        async with (
            aiohttp.ClientSession(
                timeout=aiohttp.ClientTimeout(total=timeout_s), cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False, headers=_HEADERS,
            ) as http,
            http.get(url, allow_redirects=False, ssl=tls) as answer,
        ):  # fmt: skip
            return _text(url, await _body(url, answer))
    except TimeoutError:
        raise AuthFileError(f"{url}: no answer within {timeout_s:g} s") from None
    except (aiohttp.ClientError, OSError) as error:
        raise AuthFileError(f"{url}: {error}") from None


async def _body(url: str, answer: aiohttp.ClientResponse) -> bytes:
    if answer.status != 200:
        raise AuthFileError(f"{url}: answered {answer.status}, where 200 is expected and nothing else is followed")
    if answer.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise AuthFileError(f"{url}: the answer is packed, and nothing is unpacked")
    body = bytearray()
    async for part in answer.content.iter_any():
        body += part
        if len(body) > JWKS_BYTES_MAX:
            raise AuthFileError(f"{url}: over {JWKS_BYTES_MAX} bytes")
    return bytes(body)


def _text(url: str, body: bytes) -> str:
    try:
        return body.decode("utf-8")
    except UnicodeDecodeError as error:
        raise AuthFileError(f"{url}: {error}") from None

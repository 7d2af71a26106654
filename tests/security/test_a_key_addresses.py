"""Group A of the catalogue: keys at an address, whose server is slow, broken, away, or somebody else's."""

import asyncio
import gzip
import json
import ssl
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from orchestrator.auth.dev_token import DevToken
from orchestrator.auth.jwks_url import KeyRounds
from orchestrator.auth.jwt_keys import KEYS_MAX, read_jwks
from orchestrator.auth.jwt_tokens import JwtIssuer
from orchestrator.auth.rereading import AuthFileError
from support.certificates import make_authority
from support.identities import Asked, asking
from support.jwks_server import jwks_server
from support.serving import ready, serving
from support.tokens import Issuer, Ticking

PATIENCE_S = 20
FAST = {"jwks_again_s": 0.05, "jwks_refresh_s": 0.05}
SLOW_S = 30
"""Longer than any time-out of these tests."""


@pytest.fixture
def issuer(tmp_path: Path) -> Issuer:
    """Of the tokens."""
    return Issuer(tmp_path / "keys", "ES256")


async def status_becomes(asked: Asked, token: str, wanted: int) -> None:
    """Ask until it does."""
    async with asyncio.timeout(PATIENCE_S):
        while await asked.status(token) != wanted:
            await asyncio.sleep(0.02)


def ignore(outcome: str) -> None:
    """Nobody counts."""


async def test_a11_keys_at_an_address_come_and_go_by_themselves(tmp_path: Path, issuer: Issuer) -> None:
    """A key that is new in the set is taken, one that is gone is refused, also to those whom it let in."""
    new = Issuer(tmp_path / "new", "ES256", "new")
    async with jwks_server(issuer) as server:
        way = JwtIssuer(issuer.config_at(server.url, **FAST))
        rounds = KeyRounds(filter(None, [way.fetched]))
        await rounds.start(ignore)
        async with asking(way) as asked:
            inside = asked.chain.authenticate(issuer.token())
            assert [await asked.status(one.token()) for one in (issuer, new)] == [200, 401]
            server.issuers = [issuer, new]
            await status_becomes(asked, new.token(), 200)
            assert asked.chain.stands(inside)
            server.issuers = [new]
            await status_becomes(asked, issuer.token(), 401)
            assert not asked.chain.stands(inside)
        await rounds.close()


async def test_a11_an_unknown_kid_asks_again_and_a_flood_of_them_only_once(tmp_path: Path, issuer: Issuer) -> None:
    """The set is young and would not be asked for: a token of the new key brings it, and strangers change no pace."""
    new = Issuer(tmp_path / "new", "ES256", "new")
    async with jwks_server(issuer) as server:
        way = JwtIssuer(issuer.config_at(server.url, jwks_again_s=0.3, jwks_refresh_s=3600))
        rounds = KeyRounds(filter(None, [way.fetched]))
        await rounds.start(ignore)
        async with asking(way) as asked:
            for number in range(50):
                assert await asked.status(issuer.token({"kid": f"k{number}"})) == 401
            server.issuers = [issuer, new]
            await status_becomes(asked, new.token(), 200)
            assert server.asked == 2
            assert await asked.status(issuer.token()) == 200
        await rounds.close()


async def _slow(request: web.Request) -> web.StreamResponse:
    await asyncio.sleep(SLOW_S)
    return web.Response()


async def _drops(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse()
    await response.prepare(request)
    while True:
        await response.write(b" ")
        await asyncio.sleep(0.02)


async def _endless(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse()
    await response.prepare(request)
    while True:
        await response.write(b" " * 65536)


async def _cut(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Length": "1000"})
    await response.prepare(request)
    await response.write(b'{"keys": [')
    request.transport.abort()
    return response


def _says(body: bytes, status: int = 200, **headers: str) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    async def answer(request: web.Request) -> web.StreamResponse:
        fields = {name.replace("_", "-"): value for name, value in headers.items()}
        return web.Response(body=body, status=status, headers=fields)

    return answer


FAULTS = {
    "slow": _slow,
    "in drops": _drops,
    "without end": _endless,
    "cut": _cut,
    "500": _says(b'{"keys": []}', 500),
    "404": _says(b"", 404),
    "not modified": _says(b"", 304),
    "packed": _says(gzip.compress(b'{"keys": []}'), Content_Encoding="gzip"),
    "a bomb": _says(gzip.compress(bytes(100_000_000)), Content_Encoding="gzip"),
    "empty": _says(b""),
    "HTML": _says(b"<html>"),
    "no keys": _says(b'{"keys": []}'),
    "10 MB": _says(b'{"keys": []}' + b" " * 10_000_000),
    "too many": _says(json.dumps({"keys": [{"kty": "EC"}] * (KEYS_MAX + 1)}).encode()),
    "deep": _says(b'{"keys": ' + b"[" * 40 + b"]" * 40 + b"}"),
    "no text": _says(b"\xff\xfe"),
    "a secret": _says(b'{"keys": [{"kty": "oct", "k": "' + b"a" * 64 + b'"}]}'),
}


@pytest.mark.parametrize("name", FAULTS)
async def test_a12_whatever_the_address_answers_the_last_good_set_holds(
    tmp_path: Path, issuer: Issuer, name: str
) -> None:
    """Nobody else is let in and nobody is locked out; once it answers well again, that counts."""
    new = Issuer(tmp_path / "new", "ES256", "new")
    async with jwks_server(issuer) as server:
        way = JwtIssuer(issuer.config_at(server.url, jwks_timeout_s=0.3))
        async with asking(way) as asked:
            await way.fetched.refresh()
            server.answer = FAULTS[name]
            async with asyncio.timeout(PATIENCE_S):
                await way.fetched.refresh()
            assert way.fetched.cause and server.url in way.fetched.cause
            assert [await asked.status(one.token()) for one in (issuer, new)] == [200, 401]
            server.answer, server.issuers = None, [new]
            await fresh(way)
            assert [await asked.status(one.token()) for one in (issuer, new)] == [401, 200]


async def fresh(way: JwtIssuer) -> None:
    """Rounds until one is good: a good answer may be late too, on a machine that has other things to do."""
    async with asyncio.timeout(PATIENCE_S):
        while way.fetched.cause is not None:
            await way.fetched.refresh()


async def test_a12_no_redirect_is_followed(tmp_path: Path, issuer: Issuer) -> None:
    """Neither to a stranger's set nor to a file; the stranger is not even asked."""
    stranger = Issuer(tmp_path / "stranger", "ES256", "stranger")
    async with jwks_server(issuer) as server, jwks_server(stranger) as elsewhere:
        way = JwtIssuer(issuer.config_at(server.url))
        async with asking(way) as asked:
            await way.fetched.refresh()
            for place in (elsewhere.url, "file:///etc/passwd", f"{server.url}?again"):
                server.answer = _says(b"", 302, Location=place)
                await way.fetched.refresh()
                assert "answered 302" in str(way.fetched.cause)
            assert (elsewhere.asked, server.asked) == (0, 4)
            assert [await asked.status(one.token()) for one in (issuer, stranger)] == [200, 401]


async def test_a12_before_the_first_set_it_is_503_and_never_a_yes(tmp_path: Path, issuer: Issuer) -> None:
    """Other tokens are judged as ever, and no wait is counted against who comes too early."""
    async with jwks_server(issuer) as server:
        server.answer = _says(b"", 500)
        way = JwtIssuer(issuer.config_at(server.url))
        await way.fetched.refresh()
        async with asking(way, DevToken("dev"), settings={"auth_failures_max": 2}) as asked:
            for _ in range(4):
                headers = {"Authorization": f"Bearer {issuer.token()}"}
                async with asked.http.post(f"{asked.door.http}/v1/tickets", headers=headers) as answer:
                    body = await answer.json()
                    assert (answer.status, body["code"], body["retryable"]) == (503, "keys_unavailable", True)
                    assert int(answer.headers["Retry-After"]) > 0
            assert await asked.status("dev") == 200
            assert await asked.status(issuer.token(iss="https://other.example.com")) == 401
            server.answer = None
            await fresh(way)
            assert await asked.status(issuer.token()) == 200


async def test_a12_a_set_that_is_too_old_vouches_for_nobody(issuer: Issuer) -> None:
    """To the second; also not for those who are inside."""
    clock = Ticking()
    async with jwks_server(issuer) as server:
        way = JwtIssuer(issuer.config_at(server.url, jwks_stale_s_max=1000), monotonic=clock)
        async with asking(way) as asked:
            await way.fetched.refresh()
            inside = asked.chain.authenticate(issuer.token())
            await server.runner.cleanup()
            clock.now = 1000
            await way.fetched.refresh()
            assert await asked.status(issuer.token()) == 200
            clock.now = 1001
            assert await asked.status(issuer.token()) == 503
            assert not asked.chain.stands(inside)


@pytest.mark.parametrize("known", [True, False])
async def test_a12_the_certificate_of_the_address_is_checked(tmp_path: Path, issuer: Issuer, known: bool) -> None:
    """By the authorities of this machine, or those that the setting names."""
    authority = make_authority(tmp_path)
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(authority.certificate, authority.key)
    more = {"jwks_ca_file": authority.certificate} if known else {}
    async with jwks_server(issuer, tls=tls, name="localhost") as server:
        way = JwtIssuer(issuer.config_at(server.url, **more))
        await way.fetched.refresh()
        assert (way.fetched.content is not None) == known
        assert ("certificate" in str(way.fetched.cause)) == (not known)


def test_a12_authorities_that_are_none_are_an_error_at_start(tmp_path: Path, issuer: Issuer) -> None:
    """Absent, empty, or no certificates."""
    for content in (None, "", "hello"):
        path = tmp_path / "ca.pem"
        if content is not None:
            path.write_text(content)
        with pytest.raises(AuthFileError, match="no authorities as PEM"):
            JwtIssuer(issuer.config_at("https://id.example.com/jwks", jwks_ca_file=path))


@pytest.mark.bubblewrap
@pytest.mark.redis
async def test_a12_a_server_whose_issuer_is_away_starts_and_finds_it_later(state: Path, issuer: Issuer) -> None:
    """It says so in its log and counts the rounds; `bascule token inspect` says why a token is refused meanwhile."""
    async with jwks_server(issuer) as server:
        server.answer = _says(b"", 500)
        config = state / "config.toml"
        config.write_text(issuer.toml(issuer.config_at(server.url, **FAST)))
        words = ("--embedded", "--port", "0", "--state-dir", str(state / "state"), "--config", str(config))
        async with serving(*words) as process:
            base = (await ready(process)).replace("ws://", "http://")
            assert await _status(base, issuer.token()) == 503
            assert "answered 500" in await _inspected(config, issuer.token())
            server.answer = None
            async with asyncio.timeout(PATIENCE_S):
                while await _status(base, issuer.token()) != 200:
                    await asyncio.sleep(0.05)
            assert "let in" in await _inspected(config, issuer.token())
            process.terminate()
            _, log = await process.communicate()
    assert b"keys not fetched" in log and b"keys fetched" in log and b"Traceback" not in log


async def _status(base: str, token: str) -> int:
    async with (
        aiohttp.ClientSession(headers={"Authorization": f"Bearer {token}"}) as http,
        http.get(f"{base}/v1/sessions") as answer,
    ):
        return answer.status


async def _inspected(config: Path, token: str) -> str:
    program = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "orchestrator", "token", "inspect", "--config", str(config), token,
        stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, _ = await asyncio.wait_for(program.communicate(), PATIENCE_S)
    return out.decode()


ALGORITHMS = ("ES256", "RS256", "EdDSA")
JWK_FIELDS = {
    "kty": st.sampled_from(["EC", "RSA", "OKP", "oct"]), "crv": st.sampled_from(["P-256", "Ed25519", "P-384"]),
    "kid": st.text(max_size=4) | st.integers(), "alg": st.sampled_from(ALGORITHMS),
    **dict.fromkeys("xyned", st.text(alphabet="AQab_-=9", max_size=90) | st.none() | st.integers() | st.booleans()),
}  # fmt: skip


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(st.fixed_dictionaries({}, optional=JWK_FIELDS), max_size=3), st.sampled_from(["ES256", "RS256", "EdDSA"])
)
def test_a12_any_set_is_read_or_refused(keys: list[dict[str, object]], algorithm: str) -> None:
    """No set of somebody else's gets another exception out of the reading, which would end the rounds."""
    try:
        found = read_jwks("https://id.example.com/jwks", json.dumps({"keys": keys}), algorithm)
    except AuthFileError as refusal:
        assert "https://id.example.com/jwks" in str(refusal)
        return
    assert 1 <= len(found.all) <= len(keys)

"""Group A of the catalogue: tokens that must not open the door, shown over HTTP to a server that knows the issuer."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from orchestrator.auth.jwt_config import LEEWAY_S, LIFETIME_S_MAX
from orchestrator.auth.jwt_tokens import JwtIssuer
from support.identities import Asked, asking
from support.tokens import AUDIENCE, ISSUER, Issuer, Ticking, hmac_signature, part

ASYMMETRIC = ["RS256", "ES256", "EdDSA"]


@pytest.fixture(params=["HS256", *ASYMMETRIC])
def issuer(request: pytest.FixtureRequest, tmp_path: Path) -> Issuer:
    """One of each algorithm."""
    return Issuer(tmp_path / "keys", request.param)


@pytest.fixture
async def asked(issuer: Issuer) -> AsyncIterator[Asked]:
    """A server that knows the issuer by its file of one key."""
    async with asking(JwtIssuer(issuer.config())) as made:
        yield made


@pytest.mark.parametrize("source", ["own", "jwks_file"])
async def test_a_good_token_is_taken(issuer: Issuer, source: str) -> None:
    """The positive control of all others: every algorithm, by both kinds of file."""
    async with asking(JwtIssuer(issuer.config("" if source == "own" else source))) as asked:
        assert await asked.status(issuer.token()) == 200
        principal = asked.chain.authenticate(issuer.token(jti="j1", limits={"eval_timeout_s": 3}, scope="eval openid"))
    assert (principal.tenant, principal.subject, principal.credential) == ("acme", "ann", "j1")
    assert principal.scopes == frozenset({"eval"})
    assert dict(principal.limits) == {"eval_timeout_s": 3}
    assert principal.expires_at == pytest.approx(time.time() + 600 + LEEWAY_S, abs=5)


@pytest.mark.parametrize("alg", ["none", "None", "nOnE", "", None, 0, ["HS256"], "absent"])
@pytest.mark.parametrize("signature", ["", "kept"])
async def test_a01_unsigned_tokens(issuer: Issuer, asked: Asked, alg: object, signature: str) -> None:
    """Whatever the header calls it, a token without our signature is nothing."""
    header = {"typ": "JWT", **({} if alg == "absent" else {"alg": alg})}
    head, body, signed = issuer.sign(header, issuer.claims()).split(".")
    assert await asked.status(f"{head}.{body}.{signed if signature else ''}") == 401


@pytest.mark.parametrize("algorithm", ASYMMETRIC)
async def test_a02_a_public_key_is_no_secret(tmp_path: Path, algorithm: str) -> None:
    """A token by HS256 whose secret is the public key in any of its forms."""
    issuer = Issuer(tmp_path / "keys", algorithm)
    jwk = json.dumps(issuer.jwk())
    forms = [issuer.public_pem(), issuer.public_pem().strip(), issuer.public_der(), jwk.encode()]
    forms.append((issuer.folder / "jwks.json").read_bytes())
    for source in ("key_file", "jwks_file"):
        async with asking(JwtIssuer(issuer.config(source))) as asked:
            for form in forms:
                signed = f"{part(json.dumps({'alg': 'HS256', 'kid': 'one'}))}.{part(json.dumps(issuer.claims()))}"
                forged = f"{signed}.{part(hmac_signature(form, signed.encode()))}"
                assert await asked.status(forged) == 401


@pytest.mark.parametrize(
    ("algorithm", "others"),
    [("RS256", ["PS256", "RS384", "RS512"]), ("ES256", ["ES384", "ES256K"]), ("EdDSA", ["Ed25519", "Ed448", "ES256"]),
     ("HS256", ["HS384", "HS512"])],
)  # fmt: skip
async def test_a03_another_algorithm_of_the_same_key(tmp_path: Path, algorithm: str, others: list[str]) -> None:
    """The header chooses nothing: a key has the one algorithm of our settings."""
    issuer = Issuer(tmp_path / "keys", algorithm)
    async with asking(JwtIssuer(issuer.config())) as asked:
        for other in others:
            assert await asked.status(issuer.token({"alg": other})) == 401
        assert await asked.status(issuer.token({"alg": algorithm})) == 200


NOW = 1_800_000_000
TIMES: list[tuple[dict[str, Any], bool]] = [
    ({"exp": NOW - LEEWAY_S + 1}, True),
    ({"exp": NOW - LEEWAY_S - 1}, False),
    ({"exp": NOW - LEEWAY_S}, False),
    ({"nbf": NOW + LEEWAY_S - 1}, True),
    ({"nbf": NOW + LEEWAY_S + 1}, False),
    ({"iat": NOW + LEEWAY_S - 1}, True),
    ({"iat": NOW + LEEWAY_S + 1}, False),
    ({"exp": None}, False),
    ({"exp": str(NOW + 600)}, False),
    ({"exp": NOW + 600.5}, False),
    ({"exp": True}, False),
    ({"exp": 2**63}, False),
    ({"exp": -1}, False),
    ({"exp": [NOW + 600]}, False),
    ({"nbf": "0"}, False),
    ({"iat": None, "exp": NOW + LIFETIME_S_MAX}, True),
    ({"iat": None, "exp": NOW + LIFETIME_S_MAX + 1}, False),
    ({"iat": NOW - 60, "exp": NOW - 60 + LIFETIME_S_MAX}, True),
    ({"iat": NOW - 60, "exp": NOW - 59 + LIFETIME_S_MAX}, False),
    ({"iat": 0, "exp": NOW + 600}, False),
]


@pytest.mark.parametrize(("changed", "good"), TIMES)
async def test_a05_times(tmp_path: Path, changed: dict[str, Any], good: bool) -> None:
    """Expired, not yet begun, without an end, living too long; to the second on both sides of the leeway."""
    issuer = Issuer(tmp_path / "keys", "EdDSA")
    async with asking(JwtIssuer(issuer.config(), now=Ticking(NOW)), now=Ticking(NOW - 40)) as asked:
        assert await asked.status(issuer.token(**{"iat": NOW, "exp": NOW + 600, **changed})) == (200 if good else 401)


@pytest.mark.parametrize(
    "changed",
    [
        *({"aud": aud} for aud in ("other", None, [AUDIENCE], [], AUDIENCE[:-1], AUDIENCE + "x", "", 1, {"a": 1})),
        *({"iss": iss} for iss in ("other", None, [ISSUER], ISSUER[:-1], ISSUER + "/", ISSUER.upper(), "", 1)),
    ],
)
async def test_a06_audience_and_issuer(issuer: Issuer, asked: Asked, changed: dict[str, Any]) -> None:
    """Both are there, are text, and are ours to the last character."""
    assert await asked.status(issuer.token(**changed)) == 401


@pytest.mark.parametrize(
    "kid",
    ["../one", "one' OR '1'='1", "http://127.0.0.1/one", "file:///dev/null", "ONE", "two", "", 1, ["one"], {"one": 1}],
)
async def test_a07_kid_picks_among_our_keys_only(tmp_path: Path, kid: object) -> None:
    """It is looked up in a dictionary and goes nowhere else."""
    issuer = Issuer(tmp_path / "keys", "ES256")
    async with asking(JwtIssuer(issuer.config("jwks_file"))) as asked:
        assert await asked.status(issuer.token({"kid": kid})) == 401
        assert await asked.status(issuer.token({"kid": "one"})) == 200
        with pytest.raises(Exception, match="no valid token"):
            asked.chain.authenticate(issuer.token({"kid": "x" * 100_000}))


@pytest.mark.parametrize("name", ["jku", "x5u", "jwk", "x5c"])
async def test_a08_keys_that_the_token_brings(issuer: Issuer, asked: Asked, name: str) -> None:
    """They are neither used nor fetched: nobody connects to the address in the token."""
    calls = 0

    async def trap(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal calls
        calls += 1
        writer.close()

    server = await asyncio.start_server(trap, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/keys"
    brought = {"jku": url, "x5u": url, "jwk": issuer.jwk(), "x5c": [part(b"certificate")]}
    assert await asked.status(issuer.token({name: brought[name]})) == 401
    server.close()
    await server.wait_closed()
    assert calls == 0


@pytest.mark.parametrize("crit", [["x"], ["exp"], [], "exp", ["b64"], None])
async def test_a09_crit(issuer: Issuer, asked: Asked, crit: object) -> None:
    """An extension that must be understood is not."""
    assert await asked.status(issuer.token({"crit": crit, "x": 1, "b64": True})) == 401
    assert await asked.status(issuer.token({"crit": crit})) == 401


def _twice(issuer: Issuer) -> str:
    claims = json.dumps(issuer.claims())
    return issuer.sign({"alg": issuer.algorithm}, claims[:-1] + ', "tenant": "globex"}')


def _twice_in_header(issuer: Issuer) -> str:
    return issuer.sign(json.dumps({"alg": issuer.algorithm})[:-1] + ', "alg": "none"}', issuer.claims())


ODD_FORMS: dict[str, Callable[[Issuer], str]] = {
    "claims twice": _twice,
    "header twice": _twice_in_header,
    "nested": lambda issuer: issuer.token({"cty": "JWT"}),
    "nested claims": lambda issuer: issuer.sign({"alg": issuer.algorithm}, f'"{issuer.token()}"'),
    "encrypted": lambda issuer: f"{part('{}')}..{part(b'nonce')}.{part(b'text')}.{part(b'tag')}",
    "enc": lambda issuer: issuer.token({"enc": "A256GCM"}),
    "zip": lambda issuer: issuer.token({"zip": "DEF"}),
    "another type": lambda issuer: issuer.token({"typ": "dpop+jwt"}),
    "no dots": lambda issuer: issuer.token().replace(".", ""),
    "one dot": lambda issuer: issuer.token().rpartition(".")[0],
    "three dots": lambda issuer: issuer.token() + ".x",
    "dots only": lambda issuer: "..",
    "padded": lambda issuer: issuer.token() + "=",
    "padded parts": lambda issuer: ".".join(f"{piece}==" for piece in issuer.token().split(".")),
    "other alphabet": lambda issuer: issuer.token()[:-2] + "+/",
    "a space inside": lambda issuer: issuer.token().replace(".", ". "),
    "cut": lambda issuer: issuer.token()[:-3],
    "deep": lambda issuer: issuer.token(x=json.loads("[" * 40 + "]" * 40)),
    "no JSON": lambda issuer: issuer.sign({"alg": issuer.algorithm}, "tenant=acme"),
    "a list": lambda issuer: issuer.sign({"alg": issuer.algorithm}, json.dumps([issuer.claims()])),
    "NaN": lambda issuer: issuer.sign({"alg": issuer.algorithm}, json.dumps({**issuer.claims(), "x": float("nan")})),
    "surrogate": lambda issuer: issuer.token(sub="ann\ud800"),
    "long": lambda issuer: issuer.token(x="x" * 4096),
}  # fmt: skip


@pytest.mark.parametrize("form", list(ODD_FORMS))
async def test_a10_forms_that_are_no_plain_token(issuer: Issuer, asked: Asked, form: str) -> None:
    """One object read in two ways, tokens in tokens, encrypted ones: a good signature does not help."""
    assert await asked.status(ODD_FORMS[form](issuer)) == 401


async def test_a10_a_token_of_a_mebibyte(issuer: Issuer, asked: Asked) -> None:
    """It does not get past the limit of a header, and by any other way it is refused unread."""
    token = issuer.token(x="x" * 2**20)
    assert await asked.status(token) == 400
    with pytest.raises(Exception, match="no valid token"):
        asked.chain.authenticate(token)


WRONG_LIMITS: list[Any] = [[], "3", {"no_such": 1}, {"eval_timeout_s": -1}, {"eval_timeout_s": "1"}]


@pytest.mark.parametrize(
    "changed",
    [
        *({"tenant": tenant} for tenant in (None, "", "../acme", "acme/ann", "a b", 1, ["acme"], "x" * 200, "acme\n")),
        *({"sub": subject} for subject in (None, "", "a\nb", "\u202eann", 1, ["ann"], "x" * 200)),
        *({"scope": scope} for scope in (1, {"eval": True}, ["eval", 1])),
        *({"limits": limits} for limits in WRONG_LIMITS),
        *({"jti": jti} for jti in (1, "", "a\nb", "x" * 300)),
    ],
)
async def test_a20_names_that_could_be_read_in_two_ways(issuer: Issuer, asked: Asked, changed: dict[str, Any]) -> None:
    """A claim becomes part of log lines, stamps and keys: what is no plain name is refused."""
    assert await asked.status(issuer.token(**changed)) == 401


async def test_a27_words_that_are_no_scopes_give_nothing(issuer: Issuer, asked: Asked) -> None:
    """Nor does a token without any; case counts."""
    for scope in ("process network root", "EVAL Admin", "", None, ["eval,files"]):
        assert asked.chain.authenticate(issuer.token(scope=scope)).scopes == frozenset()

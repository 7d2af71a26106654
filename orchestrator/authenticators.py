"""The ways in which a client may prove who it is, as they are set up."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from orchestrator.auth.api_keys import ApiKeys
from orchestrator.auth.chain import Chain
from orchestrator.auth.dev_token import DevToken
from orchestrator.auth.jwks_url import KeyRounds
from orchestrator.auth.jwt_tokens import JwtIssuer
from orchestrator.auth.rereading import AuthFileError
from orchestrator.auth.revocations import Revocations
from orchestrator.core.principal import Principal
from orchestrator.ports import Authenticator
from orchestrator.settings import Settings, SettingsError


def build_authenticator(settings: Settings) -> tuple[Authenticator, KeyRounds]:
    """All ways to prove who one is that are set up, and who fetches keys for them; raises `SettingsError`."""
    try:
        ways = ways_to_prove(settings)
        return Chain([authenticator for _, authenticator in ways], revocations(settings)), key_rounds(ways)
    except (AuthFileError, ValueError) as error:
        raise SettingsError(f"auth: {error}") from None


def ways_to_prove(settings: Settings) -> list[tuple[str, Authenticator]]:
    """Each by its setting and what that says; raises `AuthFileError` or `ValueError`."""
    auth, found = settings.auth, list[tuple[str, Authenticator]]()
    if auth.dev_token is not None:
        found.append(("auth.dev_token", DevToken(auth.dev_token.get_secret_value())))
    if auth.keys_file is not None:
        found.append((f"auth.keys_file {auth.keys_file}", ApiKeys(auth.keys_file)))
    found.extend((f"auth.jwt {config.issuer}", JwtIssuer(config)) for config in auth.jwt)
    return found


def key_rounds(ways: Sequence[tuple[str, Authenticator]]) -> KeyRounds:
    """Of the issuers among them whose keys are at an address."""
    issuers = [way for _, way in ways if isinstance(way, JwtIssuer)]
    return KeyRounds([issuer.fetched for issuer in issuers if issuer.fetched is not None])


def revocations(settings: Settings) -> Callable[[Principal], bool]:
    """Who is refused all the same; raises `AuthFileError`."""
    file = settings.auth.revocations_file
    return Revocations(file) if file is not None else lambda _: False

"""`bascule token`: keys and signed tokens, made and looked at."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from orchestrator.commands.calling import Failed, Wrong, say
from orchestrator.commands.flags import nested
from orchestrator.core.principal import SCOPES


@click.group()
def token() -> None:
    """API keys and JWT."""


@token.command()
@click.option("--tenant", required=True, help="Whose it is; sessions of one tenant are unseen by others.")
@click.option("--subject", required=True, help="Who or what uses it.")
@click.option("--scope", "scopes", multiple=True, type=click.Choice(SCOPES), help="What it may do; may be repeated.")
@click.option("--keys-file", type=click.Path(path_type=Path), default=None, help="Add the entry to this TOML file.")
@click.option("--jwt", "as_jwt", is_flag=True, help="A signed token instead of an API key.")
@click.option("--key-file", type=click.Path(path_type=Path), default=None, help="JWT: a private key (PEM) or a secret.")
@click.option("--issuer", default=None, help="JWT: its `iss`, as in the server's settings.")
@click.option("--audience", default=None, help="JWT: its `aud`, as in the server's settings.")
@click.option("--ttl", "ttl_s", type=int, default=None, metavar="SECONDS", help="JWT: its life [3600].")
@click.option("--kid", default=None, help="JWT: the name of the key in the server's set of keys.")
def create(
    tenant: str, subject: str, scopes: tuple[str, ...], keys_file: Path | None, as_jwt: bool, key_file: Path | None,
    **more: Any,
) -> None:  # fmt: skip
    """Make a key, or with --jwt a signed token. It is printed once, on stdout.

    \b
    A key:    bascule token create --tenant acme --subject ci --keys-file keys.toml
    A token:  bascule token create --jwt --key-file key.pem --tenant acme --subject ann
                --issuer https://id.example.com --audience bascule --ttl 900 --scope eval
    """
    if not as_jwt:
        if key_file is not None or any(value is not None for value in more.values()):
            raise Wrong("--key-file, --issuer, --audience, --ttl and --kid go with --jwt")
        _create_key(tenant, subject, scopes, keys_file)
    elif keys_file is not None or key_file is None or not more["issuer"] or not more["audience"]:
        raise Wrong("--jwt needs --key-file, --issuer and --audience, and has no --keys-file")
    else:
        _create_jwt(key_file, tenant=tenant, subject=subject, scopes=scopes, **more)


def _create_key(tenant: str, subject: str, scopes: tuple[str, ...], keys_file: Path | None) -> None:
    from pydantic import ValidationError

    from orchestrator.auth import api_keys
    from orchestrator.auth.rereading import AuthFileError

    try:
        key, entry = api_keys.new_key(tenant, subject, scopes or api_keys.DEFAULT_SCOPES)
        if keys_file is not None:
            api_keys.append_entry(keys_file, entry)
    except ValidationError as error:
        first = error.errors()[0]
        raise Wrong(f"--{first['loc'][0]}: {first['msg']}") from None
    except AuthFileError as error:
        raise Failed(str(error)) from None
    say(key)
    where = f"added to {keys_file}" if keys_file else "put this entry into the file of --keys-file"
    click.echo(f"{where}; the key above is shown this once:\n\n{api_keys.entry_text(entry)}", err=True)


def _create_jwt(key_file: Path, *, scopes: tuple[str, ...], ttl_s: int | None, **claims: Any) -> None:
    import secrets
    import time

    from orchestrator.auth import api_keys, minting
    from orchestrator.auth.rereading import AuthFileError

    ttl_s, jti = minting.TTL_S if ttl_s is None else ttl_s, secrets.token_hex(16)
    try:
        made = minting.mint(
            key_file, scopes=scopes or api_keys.DEFAULT_SCOPES, ttl_s=ttl_s, now=int(time.time()), jti=jti, **claims
        )
    except minting.MintError as error:
        raise Wrong(str(error)) from None
    except AuthFileError as error:
        raise Failed(str(error)) from None
    say(made)
    click.echo(f"good for {ttl_s} s; its jti is {jti}", err=True)


@token.command()
@click.argument("shown", metavar="[TOKEN]", default="-")
@click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text", help="How to say it.")
@click.option("--keys-file", type=click.Path(), default=None, help="The list of API keys.")
@click.option("--config", type=click.Path(path_type=Path), envvar="BASCULE_CONFIG", help="TOML file with settings.")
@click.option("--set", "more", multiple=True, metavar="NAME=VALUE", help="Any other setting.")
def inspect(shown: str, output: str, keys_file: str | None, config: Path | None, more: tuple[str, ...]) -> None:
    """Tell what a server with these settings would say to a token, and why. Reads stdin without TOKEN, or for `-`.

    Exit code 0 when it would be let in, else 1.
    """
    import asyncio

    from orchestrator import authenticators, settings
    from orchestrator.auth.inspecting import inspect_token
    from orchestrator.auth.rereading import AuthFileError

    try:
        loaded = settings.load(nested({"auth__keys_file": keys_file}, more), config)
        ways, revoked = authenticators.ways_to_prove(loaded), authenticators.revocations(loaded)
        asyncio.run(authenticators.key_rounds(ways).refresh())
    except (settings.SettingsError, AuthFileError, ValueError) as error:
        raise Wrong(str(error)) from None
    report = inspect_token((sys.stdin.read() if shown == "-" else shown).strip(), ways, revoked)
    say(report.as_json() if output == "json" else report.as_text())
    sys.exit(0 if report.is_let_in else 1)

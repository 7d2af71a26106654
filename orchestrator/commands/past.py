"""What `bascule session` does with the states of a session. None of it wakes the session."""

from __future__ import annotations

import json
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, Final, TypeVar

import click

from orchestrator.commands.calling import Failed, run, say, settings_for, with_output, with_server

_id = click.argument("session_id", metavar="ID")
_seq = click.option("--seq", type=click.IntRange(min=1), default=None, help="One of its states [the last one].")

Returned = TypeVar("Returned")

SUFFIX: Final = ".bascule"
"""Of a file whose name is left to us."""


@click.command()
@_id
@with_output
@with_server
def states(session_id: str, output: str, url: str | None, token: str | None) -> None:
    """The states that it can go back to, and those that are kept under a name."""
    from bascule.terminal.past import pins
    from bascule.terminal.tables import table

    found = run(pins(settings_for(url, token), session_id))
    if output == "json":
        say(json.dumps(found))
        return
    names: dict[int, list[str]] = {seq: [] for seq in found["states"]}
    for item in found["items"]:
        names.setdefault(item["seq"], []).append(item["name"])
    say(table(("seq", "pins"), [(seq, ", ".join(names[seq])) for seq in sorted(names)]))


@click.command()
@_id
@click.argument("seq", type=click.IntRange(min=1))
@with_output
@with_server
def rewind(session_id: str, seq: int, output: str, url: str | None, token: str | None) -> None:
    """Go back to state SEQ: a commit of its own. What runs or waits is undone."""
    from bascule.terminal.past import rewind as ask

    done = run(ask(settings_for(url, token), session_id, seq))
    _tell(done, output, f"{session_id} is as after {done['to']}; this is {done['seq']}")


@click.command()
@_id
@_seq
@click.option("--name", default=None, help="Of the new session, for people.")
@with_output
@with_server
def fork(session_id: str, seq: int | None, name: str | None, output: str, url: str | None, token: str | None) -> None:
    """A new session that begins with its state; prints the id."""
    from bascule.terminal.past import fork as ask

    done = run(ask(settings_for(url, token), session_id, seq, name))
    _tell(done, output, done["session"])


@click.command()
@_id
@click.argument("name")
@_seq
@with_output
@with_server
def pin(session_id: str, name: str, seq: int | None, output: str, url: str | None, token: str | None) -> None:
    """Keep its state under NAME; sessions can begin with it."""
    from bascule.terminal.past import pin as ask

    done = run(ask(settings_for(url, token), session_id, name, seq))
    _tell(done, output, f"{done['name']} is the state of {done['seq']}")


@click.command()
@_id
@click.argument("name")
@with_server
def unpin(session_id: str, name: str, url: str | None, token: str | None) -> None:
    """Let go of the state under NAME."""
    from bascule.terminal.past import unpin as ask

    run(ask(settings_for(url, token), session_id, name))
    say(f"{name} is let go of")


@click.command()
@_id
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False), required=False)
@with_output
@with_server
def export(session_id: str, file: Path | None, output: str, url: str | None, token: str | None) -> None:
    """Write it to FILE [ID.bascule], sealed with the key of the server's operator."""
    from bascule.transfers import export_session

    path = file or Path(f"{session_id}{SUFFIX}")
    if path.exists():
        raise Failed(f"{path} is there already")
    size_bytes = run(_of_file(path, export_session(settings_for(url, token), None, session_id, path)))
    _tell({"file": str(path), "bytes": size_bytes}, output, f"{path}: {size_bytes} bytes")


@click.command("import")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False, exists=True))
@with_output
@with_server
def import_(file: Path, output: str, url: str | None, token: str | None) -> None:
    """Make a session of an exported one; prints the id."""
    from dataclasses import asdict

    from bascule.transfers import import_session

    done = run(_of_file(file, import_session(settings_for(url, token), None, file)))
    _tell(asdict(done), output, done.session)


async def _of_file(path: Path, work: Coroutine[Any, Any, Returned]) -> Returned:
    """Work that reads or writes the file; that it can't is no fault of the terminal."""
    from bascule.errors import BasculeError

    try:
        return await work
    except BasculeError:
        raise
    except OSError as error:
        raise Failed(f"{path}: {error.strerror}") from None


def _tell(done: dict[str, Any], output: str, words: str) -> None:
    say(json.dumps(done) if output == "json" else words)

"""`python -m orchestrator.reference [--check]`: writes the pages about commands and settings, or fails when stale."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Final, Literal, Union, get_args, get_origin

import click
from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo

from orchestrator import metrics_page
from orchestrator.cli import main as bascule
from orchestrator.commands.exit_codes import MEANINGS
from orchestrator.commands.flags import FLAGS
from orchestrator.meanings import meanings
from orchestrator.setting_variables import NESTING, OTHER_VARIABLES, variable_of
from orchestrator.settings import SECRETS, Settings, names
from replwire.limits import LIMITS

FOLDER: Final = Path("docs/reference")

_SAID_AS: Final[dict[Any, str]] = {SecretStr: "str", Path: "path", NoneType: "None"}

_CLI_HEAD: Final = """# The command line

<!-- Made from the commands by `python -m orchestrator.reference`. Change those, not this page. -->

stdout holds what was asked for, stderr the logs, the reasons and, in brackets, what the terminal itself has to say.
`-h` works everywhere. What tenants wrote is filtered: colours, tabs, line ends and backspaces pass, every other
control character and what changes the order of text is made visible.
"""

_SETTINGS_HEAD: Final = """# Settings of the server

<!-- Made from the settings by `python -m orchestrator.reference`. Change those, not this page. -->

A flag beats the environment, that beats the file, that beats the default. `bascule config show --origin` tells which
it was. The file is TOML: `--config FILE`, `BASCULE_CONFIG`, or `/etc/bascule/config.toml`; sections are its tables.
Every setting has a variable, `BASCULE_SECTION__NAME`, and is reached by `--set section.name=VALUE`. A secret may lie in
a file: `BASCULE_SECTION__NAME_FILE`. A name that is no setting is an error that says which one was meant. Units are
the ends of names.
"""


def _cell(text: str) -> str:
    return " ".join(text.replace("|", "\\|").split())


def _table(header: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    lines = [header, tuple("---" for _ in header), *rows]
    return "\n".join("| " + " | ".join(map(_cell, line)) + " |" for line in lines) + "\n"


# --- commands ---------------------------------------------------------------------------------------------------------


def _commands(command: click.Command, path: tuple[str, ...]) -> Iterator[str]:
    if isinstance(command, click.Group):
        for name in sorted(command.commands):
            yield from _commands(command.commands[name], (*path, name))
    else:
        yield _command(command, " ".join(path))


def _command(command: click.Command, name: str) -> str:
    context = click.Context(command, info_name=name)
    usage = " ".join([name, *command.collect_usage_pieces(context)])
    rows = [_option(item, context) for item in command.params if isinstance(item, click.Option)]
    options = "\n" + _table(("option", "meaning"), rows) if rows else ""
    return f"## `{name}`\n\n```\n{usage}\n```\n\n{_words(command)}\n{options}"


def _option(option: click.Option, context: click.Context) -> tuple[str, str]:
    record = option.get_help_record(context)
    assert record is not None, option.name
    return f"`{record[0]}`", record[1]


def _words(command: click.Command) -> str:
    """Its help; a paragraph that click does not wrap is a block of code."""
    text = inspect.cleandoc(command.help or "")
    paragraphs = [part.removesuffix("\n") for part in text.split("\n\n")]
    return "\n\n".join(f"```\n{part[2:].strip()}\n```" if part.startswith("\b\n") else part for part in paragraphs)


def _exit_codes() -> str:
    rows = [(str(code), meaning) for code, meaning in MEANINGS.items()]
    return "## Exit codes\n\n" + _table(("code", "when"), rows)


def _variables() -> str:
    words = ", ".join(f"`{name}`" for name in sorted(OTHER_VARIABLES))
    return f"## Environment\n\n{words}, and those of the [settings](settings.md).\n"


# --- settings ---------------------------------------------------------------------------------------------------------


def _sections() -> Iterator[str]:
    rows: dict[str, list[tuple[str, ...]]] = {}
    for name in names():
        section, _, rest = name.partition(".")
        rows.setdefault(section if rest else "", []).append(_setting(name))
    for section, found in rows.items():
        yield f"## {section or 'Top level'}\n\n" + _table(("setting", "type", "default", "meaning"), found)


def _setting(name: str) -> tuple[str, ...]:
    section, _, last = name.partition(".")
    if section == "limits":
        return f"`{name}`", "`int`", f"`{LIMITS[last].default}`", LIMITS[last].meaning
    field = _field(name.split("."))
    flag, help_text = next(((flag, text) for flag, setting, _, text in FLAGS if setting == name), ("", ""))
    words = meanings().get(name, help_text)
    if flag:
        words = f"{words} Flag: `{flag}`."
    if name.replace(".", NESTING) in SECRETS:
        words = f"{words} A secret: also `{variable_of(name)}_FILE`."
    return f"`{name}`", f"`{_type(field.annotation)}`", _default(field), words


def _field(parts: list[str]) -> FieldInfo:
    model: type[BaseModel] = Settings
    for part in parts[:-1]:
        inner = model.model_fields[part].annotation
        # A list of tables: tuple[Table, ...].
        inner = getattr(inner, "__args__", (inner,))[0]
        assert isinstance(inner, type) and issubclass(inner, BaseModel), parts
        model = inner
    return model.model_fields[parts[-1]]


def _type(annotation: Any) -> str:
    """The same words on every version of Python."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin in (Union, UnionType):
        return " | ".join(_type(argument) for argument in arguments)
    if origin is Literal:
        return " | ".join(repr(argument) for argument in arguments)
    if origin is tuple:
        return f"list of {_type(arguments[0])}"
    return _SAID_AS.get(annotation, getattr(annotation, "__name__", str(annotation)))


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "none: must be given"
    value = field.get_default(call_default_factory=True)
    return "" if value in (None, ()) else f"`{value}`"


# --- pages ------------------------------------------------------------------------------------------------------------


def pages() -> dict[str, str]:
    """The generated pages by name."""
    return {
        "cli.md": "\n".join((_CLI_HEAD, *_commands(bascule, ("bascule",)), _exit_codes(), _variables())),
        "settings.md": "\n".join((_SETTINGS_HEAD, *_sections())),
        "metrics.md": "\n".join(
            (metrics_page.HEAD, _table(("metric", "kind", "labels", "meaning"), [*metrics_page.rows()]))
        ),
    }


def main(arguments: list[str]) -> int:
    """Write the pages; with `--check`, say which are stale and return 1."""
    made = pages()
    stale = [name for name, text in made.items() if not _holds(FOLDER / name, text)]
    for name in stale:
        if "--check" in arguments:
            sys.stderr.write(f"{FOLDER / name} is stale: run `python -m orchestrator.reference`\n")
        else:
            (FOLDER / name).write_text(made[name], encoding="utf-8")
    return 1 if stale and "--check" in arguments else 0


def _holds(path: Path, text: str) -> bool:
    return path.is_file() and path.read_text(encoding="utf-8") == text


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

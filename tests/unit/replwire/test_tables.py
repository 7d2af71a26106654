"""The tables of the wire: complete, consistent, and what the generated pages are made from."""

import json

import pytest

from replwire.cursors import Cursor, parse_cursor
from replwire.errors import ERROR_CODES, WireError
from replwire.events import EVENTS
from replwire.limits import LIMITS, default_limits
from replwire.messages import REQUESTS, terminal_type
from replwire.reference import main, pages
from replwire.schema import protocol_schema


def test_the_wire_lists_what_is_served_and_nothing_else():
    """A type is served once it is in the table."""
    assert set(REQUESTS) == {
        "describe", "open", "attach", "eval", "interrupt", "cancel", "input", "complete", "inspect", "is_complete",
        "variables", "history", "rewind", "fork", "pin", "unpin", "files", "ping", "detach", "close",
    }  # fmt: skip
    origin = protocol_schema()["$defs"]["request.open"]["properties"]["payload"]["properties"]["from"]["anyOf"][0]
    assert set(origin["properties"]) == {"session", "seq", "pin"} and not origin["additionalProperties"]


def test_each_request_has_one_terminal():
    """`result` for eval, `pong` for ping, `reply` for all else."""
    assert {name: terminal_type(name) for name in ("eval", "ping", "open")} == {
        "eval": "result",
        "ping": "pong",
        "open": "reply",
    }


def test_every_limit_has_a_unit_in_its_name():
    """The unit is the last word or the word before `max`."""
    units = ("_s", "_ms", "_bytes", "_max")

    assert [name for name in LIMITS if not name.endswith(units)] == []
    assert default_limits()["code_bytes_max"] == 131072


def test_an_error_payload_carries_what_the_code_says():
    """`retryable` comes from the table, the rest from where it was raised."""
    payload = WireError("busy", "wait", retry_after_ms=5, limit="requests_waiting_max").payload("inc_1")

    assert payload == {
        "code": "busy", "message": "wait", "retryable": True, "incident": "inc_1", "limit": "requests_waiting_max",
        "retry_after_ms": 5,
    }  # fmt: skip
    with pytest.raises(KeyError):
        WireError("no_such_code", "never")


@pytest.mark.parametrize("text", ["", "1", "1.", ".1", "-1.2", "1.2.3", "a.b", "01.2", "1.٣", "9" * 16 + ".1", " 1.2"])
def test_a_foreign_cursor_is_a_bad_message(text):
    """Only what `str(Cursor)` makes is read."""
    with pytest.raises(WireError) as caught:
        parse_cursor(text)

    assert caught.value.code == "bad_message"


def test_cursors_order_events_over_generations():
    """A successor's first event comes after its predecessor's last."""
    assert parse_cursor(str(Cursor(3, 14))) == Cursor(3, 14)
    assert Cursor(2, 999) < Cursor(3, 0)


def test_the_schema_describes_every_type():
    """Each request, event and terminal is a definition, and the whole is JSON."""
    names = set(protocol_schema()["$defs"])

    assert {f"request.{name}" for name in REQUESTS} | {f"event.{name}" for name in EVENTS} < names
    assert set(
        protocol_schema()["$defs"]["terminal.error"]["properties"]["payload"]["properties"]["code"]["enum"]
    ) == set(ERROR_CODES)
    assert json.loads(pages()["protocol.schema.json"])["title"].startswith("Bascule")


def test_a_stale_page_is_told(tmp_path, capsys):
    """`--check` fails until the pages are written, and again when one is changed by hand."""
    assert main(["--check", str(tmp_path)]) == 1
    assert main([str(tmp_path)]) == 0
    assert main(["--check", str(tmp_path)]) == 0
    (tmp_path / "protocol.md").write_text("by hand")

    assert main(["--check", str(tmp_path)]) == 1
    assert "protocol.md is stale" in capsys.readouterr().err

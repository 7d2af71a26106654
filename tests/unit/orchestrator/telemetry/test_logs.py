"""Logs hold one line an event, nothing that a tenant wrote, and nothing that can forge a line."""

import io
import json
import logging
from collections.abc import Iterator

import pytest
import structlog

from orchestrator.telemetry.logs import FIELD_CHARS_MAX, FIELDS_MAX, configure_logs, safe_text


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    """Logs as JSON in memory; the process' own set-up comes back afterwards."""
    root, saved = logging.getLogger(), (logging.getLogger().handlers[:], logging.getLogger().level)
    found = io.StringIO()
    configure_logs("info", stream=found)
    yield found
    root.handlers[:], root.level = saved
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()


def entries(stream: io.StringIO) -> list[dict[str, object]]:
    """The lines, parsed."""
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_an_event_is_one_line_of_json_with_its_facts(stream: io.StringIO) -> None:
    """Name, level, logger, time, and the ids that were bound around it."""
    structlog.contextvars.bind_contextvars(session_id="ses_1")
    structlog.get_logger("bascule.test").info("session opened", request_id="r1", count=3)
    (entry,) = entries(stream)
    assert {"event": "session opened", "level": "info", "logger": "bascule.test"}.items() <= entry.items()
    assert (entry["session_id"], entry["request_id"], entry["count"]) == ("ses_1", "r1", 3)
    assert str(entry["timestamp"]).endswith("Z")


def test_code_output_and_tokens_never_reach_a_log(stream: io.StringIO) -> None:
    """A field of such a name is dropped, and it is said that it was."""
    structlog.get_logger("bascule.test").warning(
        "request failed", token="t0ps3cret", text="t0ps3cret", stdout="t0ps3cret"
    )
    assert "t0ps3cret" not in stream.getvalue()
    assert entries(stream)[0]["dropped"] == "stdout,text,token"


def test_a_stranger_cannot_forge_a_line(stream: io.StringIO) -> None:
    """Newlines, escapes and marks that turn the direction of text become visible."""
    structlog.get_logger("bascule.test").info("request refused", cause='a\n{"event": "forged"}\x1b[2J\u202e')
    (entry,) = entries(stream)
    assert entry["cause"] == 'a\\n{"event": "forged"}\\x1b[2J\\u202e'


def test_long_fields_and_many_fields_are_cut(stream: io.StringIO) -> None:
    """One event cannot fill a disk."""
    structlog.get_logger("bascule.test").info("x" * 9999, cause="y" * 100_000, **{f"f{n}": n for n in range(100)})
    (entry,) = entries(stream)
    assert len(str(entry["event"])) < FIELD_CHARS_MAX + 40
    assert len(str(entry["cause"])) < FIELD_CHARS_MAX + 40
    assert len(entry) <= FIELDS_MAX + 4


def test_an_exception_is_part_of_its_line(stream: io.StringIO) -> None:
    """The traceback stands in a field, so that one event stays one line."""
    try:
        raise ValueError("on\npurpose")
    except ValueError:
        structlog.get_logger("bascule.test").exception("request failed")
    (entry,) = entries(stream)
    assert "ValueError: on" in str(entry["exception"])


def test_libraries_speak_the_same_way(stream: io.StringIO) -> None:
    """What a library logs by the standard module has the same shape; its chatter below a warning is left out."""
    logging.getLogger("aiohttp.server").warning("odd %s", "request")
    logging.getLogger("aiohttp.server").info("chatter")
    (entry,) = entries(stream)
    assert (entry["event"], entry["logger"]) == ("odd request", "aiohttp.server")


def test_levels_below_the_chosen_one_are_left_out(stream: io.StringIO) -> None:
    """`debug` is not written at `info`."""
    structlog.get_logger("bascule.test").debug("frame received")
    assert stream.getvalue() == ""


def test_safe_text_leaves_plain_text_alone() -> None:
    """Letters of any language pass."""
    assert safe_text("größe 日本 ✓") == "größe 日本 ✓"

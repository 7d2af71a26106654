"""Every limit of the wire, by name, with its default, its unit and what happens beyond it.

Operators may set each one; `describe` tells a client those in force.
"""

from __future__ import annotations

from replwire.hints import Final, NamedTuple


class Limit(NamedTuple):
    """One limit: its default value and what it bounds. The unit is the end of the name."""

    name: str
    default: int
    meaning: str


_ROWS: Final = (
    Limit("code_bytes_max", 128 * 1024, "source of one eval, in UTF-8; beyond it `too_large`"),
    Limit("envelope_bytes_max", 1024 * 1024, "one envelope from a client; beyond it close 1009"),
    Limit("depth_max", 64, "nesting of an envelope's JSON; beyond it `bad_message`"),
    Limit("id_chars_max", 128, "printable characters in an id; beyond it `bad_message`"),
    Limit("requests_waiting_max", 16, "requests that wait in a session; beyond it `busy`"),
    Limit("output_bytes_max", 16 * 1024 * 1024, "output of one eval; the rest is cut with a mark and counted"),
    Limit("text_bytes_max", 512 * 1024, "text of a result, as JSON (stderr: an eighth); the rest is cut with a mark"),
    Limit("value_bytes_max", 512 * 1024, "one form of a value's MIME bundle; a larger one is left out"),
    Limit("repr_bytes_max", 96 * 1024, "repr of a value, as JSON; a result holds it twice; more is cut with a mark"),
    Limit("eval_timeout_s", 30, "wall time of one eval unless the request asks for less"),
    Limit("interrupt_grace_s", 2, "time an interrupted eval has to end before its worker is replaced"),
    Limit("auxiliary_timeout_ms", 500, "time of one `complete`, `inspect` or `variables`"),
    Limit("idle_timeout_s", 1800, "time without a request after which a session's worker is ended"),
    Limit("implicit_session_ttl_s", 60, "life of a session that was never opened by name after its last connection"),
    Limit("file_bytes_max", 512 * 1024, "data of one `files` read or write"),
    Limit("state_bytes_max", 256 * 1024 * 1024, "a checkpoint's names; beyond it the largest are left out (`unsaved`)"),
    Limit("files_max", 1000, "files of a working folder that a checkpoint keeps"),
    Limit("bad_messages_max", 20, "bad messages on one connection before it is closed with 1008"),
    Limit("events_kept_max", 2000, "recent events that a worker keeps for late-comers"),
    Limit("event_bytes_kept_max", 1024 * 1024, "bytes of recent events that a worker keeps for late-comers"),
    Limit("ids_kept_max", 1000, "request ids that a session remembers at least, for 24 h at least"),
    Limit("link_window_bytes", 1024 * 1024, "output on its way to a slow client, and 256 an event; then `print` waits"),
    Limit("stdin_bytes_max", 64 * 1024, "text of one answer to `input_request`"),
    Limit("sessions_max", 20_000, "open sessions of a tenant, parked ones too; beyond it `quota_exceeded`"),
)

LIMITS: Final[dict[str, Limit]] = {row.name: row for row in _ROWS}

OF_TENANT: Final = frozenset({"sessions_max"})
"""Quotas: what a tenant has is compared with the limit of whoever asks for more; no session has one of its own."""


def default_limits() -> dict[str, int]:
    """The limits as they are when an operator sets none, by name."""
    return {name: row.default for name, row in LIMITS.items()}

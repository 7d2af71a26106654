"""The agent's own limits, beside those of `replwire.limits`, which come with the claim."""

from __future__ import annotations

from replwire.hints import Final
from replwire.limits import default_limits

LINKS_MAX: Final = 64
"""Open links, attached or not; a further one is hung up on at once."""

LINK_BACKLOG_BYTES_MAX: Final = 512 * 1024 * 1024
"""Bytes that wait for a link which does not read; beyond it the link is dropped. A whole checkpoint fits: where
`state_bytes_max` is more than half of it, it is twice that."""

LINK_STALL_S: Final = 5.0
"""A link that holds up the output so long is dropped, if the session has another one."""

OUTCOMES_UNCONFIRMED_MAX: Final = 64
OUTCOME_BYTES_UNCONFIRMED_MAX: Final = 64 * 1024 * 1024
"""Outcomes (and their checkpoints) that no front door has committed; beyond it numbered requests are refused."""

CHECKPOINT_BYTES_BEYOND_STATE: Final = 128 * 1024 * 1024
"""Chunks of one outcome, beside `state_bytes_max`; an interpreter that sends more breaks the protocol."""

EVENT_BYTES_MAX: Final = 64 * 1024
"""Text of one stdout or stderr event; more is split."""

TEXT_BYTES_MAX: Final = 1024 * 1024
"""Upper bound of the limit `text_bytes_max`: an outcome has to fit into a frame."""

ID_BYTES_MAX: Final = 512
"""Of a request id on this socket: `id_chars_max` characters in UTF-8."""

HANDOVER_MS: Final = 2000
"""Default of the claim's limit `handover_ms`: so long an outcome waits before another link gets it as well."""


def limits_of(given: object) -> dict[str, int]:
    """The limits in force: the defaults with what a claim says; raises `ValueError` for what is no limit."""
    if not isinstance(given, dict) or not all(type(value) is int and value >= 0 for value in given.values()):
        raise ValueError("limits are whole numbers by name")
    return {**default_limits(), "handover_ms": HANDOVER_MS, **given}

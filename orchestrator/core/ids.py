"""Identifiers: prefixed, random, valid as a container label, a path and a store key.

A session id holds its lineage: sessions of one lineage may share chunks, and the lineage is the hash tag of all
their keys, so that one script may touch them (Redis Cluster specification, hash tags).
"""

from __future__ import annotations

import base64
import re
from typing import Final

RANDOM_BYTES: Final = 10
"""Entropy of each half of a session id, 80 bits."""

_SESSION: Final = re.compile(r"ses_[a-z2-7]{16}_[a-z2-7]{16}")


def _text(random: bytes) -> str:
    return base64.b32encode(random).decode("ascii").lower()


def session_id(lineage_random: bytes, own_random: bytes) -> str:
    """A session id from `RANDOM_BYTES` of randomness for the lineage and as many of its own."""
    return f"ses_{_text(lineage_random)}_{_text(own_random)}"


def sibling_id(session: str, own_random: bytes) -> str:
    """A session id of the lineage that a session belongs to, with `RANDOM_BYTES` of randomness of its own."""
    return f"ses_{lineage_of(session)}_{_text(own_random)}"


def is_session_id(text: str) -> bool:
    """Whether text has the form of a session id; nothing else may become part of a key, a path or a label."""
    return _SESSION.fullmatch(text) is not None


def lineage_of(session: str) -> str:
    """The lineage that a session belongs to."""
    return session.split("_")[1]


def prefixed_id(prefix: str, random: bytes) -> str:
    """An id of another kind: `req_…`, `inc_…`, `wrk_…`."""
    return f"{prefix}_{_text(random)}"

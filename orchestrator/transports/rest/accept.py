"""Which of the media types that an operation can answer with a client wants (RFC 9110, section 12.5.1)."""

from __future__ import annotations

from collections.abc import Sequence

from orchestrator.transports.rest.bodies import fault


def accepted(header: str | None, produced: Sequence[str]) -> str:
    """The best one, the first of those that are as good; raises `HttpFault` when there is none."""
    if not header:
        return produced[0]
    wanted = [_weighed(part) for part in header.split(",")]
    weights = {kind: _weight(kind, wanted) for kind in produced}
    best = max(produced, key=lambda kind: weights[kind])
    if weights[best] <= 0:
        raise fault("not_acceptable", f"the answer here is {' or '.join(produced)}")
    return best


def _weighed(part: str) -> tuple[str, float]:
    kind, *parameters = (word.strip().lower() for word in part.split(";"))
    weight = next((word[2:] for word in parameters if word.startswith("q=")), "1")
    try:
        return kind, float(weight)
    except ValueError:
        return kind, 0.0


def _weight(kind: str, wanted: Sequence[tuple[str, float]]) -> float:
    """The most specific range that fits decides."""
    for fitting in (kind, f"{kind.partition('/')[0]}/*", "*/*"):
        weights = [weight for range_, weight in wanted if range_ == fitting]
        if weights:
            return max(weights)
    return 0.0

"""What a principal may do and how much of it: data in, a decision out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from orchestrator.core.principal import Principal
from orchestrator.core.session import SessionPolicy
from replwire.errors import WireError
from replwire.limits import LIMITS, OF_TENANT
from replwire.messages import Open

SCOPE_OF: Final[dict[str, str | None]] = {
    "describe": None,
    "ping": None,
    "open": "eval",
    "attach": None,
    "detach": None,
    "close": "eval",
    "eval": "eval",
    "interrupt": "eval",
    "cancel": "eval",
    "input": "eval",
    "complete": "eval",
    "inspect": "eval",
    "is_complete": "eval",
    "variables": "eval",
    "history": "observe",
    "rewind": "eval",
    "fork": "eval",
    "pin": "eval",
    "unpin": "eval",
    "files": "files",
}
"""The scope that each request type needs; None: any principal."""

OBSERVER_MAY: Final = frozenset({"describe", "ping", "attach", "detach", "history"})
"""What a client that attached as an observer may ask of the session."""


ACTING_OUTSIDE: Final = frozenset({"network", "process"})
"""Scopes with which an eval may have effects that no restore undoes."""


def check_scope(principal: Principal, request_type: str, role: str) -> None:
    """Raises `forbidden` when the principal or its role in the session does not allow this request."""
    scope = SCOPE_OF[request_type]
    if scope is not None and scope not in principal.scopes:
        raise WireError("forbidden", f"the token lacks the scope {scope!r}", scope=scope)
    if role == "observer" and request_type not in OBSERVER_MAY:
        raise WireError("forbidden", "an observer may only watch", role=role)


def check_role(principal: Principal, role: str) -> None:
    """Raises `forbidden` when the principal may not be bound to a session in this role."""
    scope = "observe" if role == "observer" else "eval"
    if scope not in principal.scopes:
        hint = "; attach as an observer" if scope == "eval" and "observe" in principal.scopes else ""
        raise WireError("forbidden", f"the token lacks the scope {scope!r}{hint}", scope=scope)


def role_of(principal: Principal, role: str) -> str:
    """The role in a session that a request names beside the one that its client is bound to in `role`."""
    drives = role != "observer" and not principal.scopes.isdisjoint(("eval", "files"))
    return "driver" if drives else "observer"


def check_look(principal: Principal) -> None:
    """Raises `forbidden` when the principal may neither use nor watch sessions."""
    if not principal.scopes & {"eval", "observe"}:
        raise WireError("forbidden", "the token lacks the scope 'observe'", scope="observe")


def lowered(limits: Mapping[str, int], asked: Mapping[str, int], field: str) -> dict[str, int]:
    """The limits with those of `asked` put in; raises `bad_message` for an unknown one, `forbidden` for a raise."""
    result = dict(limits)
    for name, value in asked.items():
        if name not in LIMITS:
            raise WireError("bad_message", f"no limit has the name {name[:64]!r}", field=field)
        if name in OF_TENANT:
            words = f"{name} is a limit of the whole tenant: no session has one of its own"
            raise WireError("bad_message", words, field=f"{field}.{name}")
        if isinstance(value, bool) or value < 0:
            raise WireError("bad_message", f"{name} is not negative", field=f"{field}.{name}")
        if value > result[name]:
            raise WireError("forbidden", f"{name} is {result[name]} here and can only be lowered", limit=name)
        result[name] = value
    return result


def effective_limits(operator: Mapping[str, int], principal: Principal) -> dict[str, int]:
    """The operator's limits, lowered by the principal's."""
    return {name: min(value, principal.limits.get(name, value)) for name, value in operator.items()}


def session_policy(
    request: Open, principal: Principal, limits: Mapping[str, int], images: tuple[str, ...], *, implicit: bool
) -> SessionPolicy:
    """What a new session gets; the first of `images` is the default. Raises `forbidden` or `bad_message`."""
    if request.image is not None and request.image not in images:
        raise WireError("not_found", "no such image is offered", field="payload.image")
    granted = lowered(limits, request.limits or {}, "payload.limits")
    idle = float(granted["idle_timeout_s"])
    if request.idle_timeout_s is not None and request.idle_timeout_s > idle:
        raise WireError("forbidden", f"idle_timeout_s is {idle:g} here and can only be lowered", limit="idle_timeout_s")
    return SessionPolicy(
        tenant=principal.tenant,
        subject=principal.subject,
        durability=request.durability or "commit",
        image=request.image or images[0],
        name=request.name or "",
        implicit=implicit,
        acts_outside=not ACTING_OUTSIDE.isdisjoint(principal.scopes),
        idle_timeout_s=request.idle_timeout_s or idle,
        limits=granted,
        park_unsaved=request.park_unsaved is not False,
    )


def copied_policy(parent: SessionPolicy, principal: Principal, limits: Mapping[str, int], name: str) -> SessionPolicy:
    """What a copy of a session gets: what that one has, lowered by what its new owner may have."""
    known = {**limits, **parent.limits}
    granted = {item: min(value, limits.get(item, value)) for item, value in known.items()}
    return replace(
        parent,
        subject=principal.subject,
        name=name,
        implicit=False,
        acts_outside=not ACTING_OUTSIDE.isdisjoint(principal.scopes),
        idle_timeout_s=min(parent.idle_timeout_s, float(limits["idle_timeout_s"])),
        limits=granted,
    )

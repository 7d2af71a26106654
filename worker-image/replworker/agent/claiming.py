"""How a worker becomes a session's: one CLAIM in its life, the state restored, further links by ATTACH."""

from __future__ import annotations

from _operator import _compare_digest

from replwire.frames import Frame, Kind, frame_head, pack_frame
from replwire.hints import Any
from replworker.agent.breach import InterpreterBreach, LinkBreach
from replworker.agent.links import INTERPRETER, Link
from replworker.agent.session import Session
from replworker.plain_json import from_json, to_json

_RESTORE_KEYS = ("limits", "seq", "durability", "chunks")


class RestoreFailed(Exception):
    """The interpreter could not open the checkpoint; this worker is of no use to anyone."""


class Claim:
    """The claim, and the links that wait for its WELCOME."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._links = session.links
        self._said: dict[str, Any] | None = None
        self._owner: Link | None = None
        self._chunks_missing = 0
        self._waiting: list[tuple[Link, int]] = []
        self._early: list[tuple[Link, int, object]] = []
        """Those that want to attach ahead of the claim: the session's record may name the worker before it."""
        self._unsaved: dict[str, Any] = {}
        self._ids: dict[Link, list[Any]] = {}
        self.is_done = False
        """Restored: requests are served."""

    @property
    def state(self) -> str:
        """As HELLO tells it."""
        return "ready" if self._said is None else "claimed"

    def ids(self, link: Link, frame: Frame) -> None:
        """Rows of the id table, ahead of this link's claim. Raises `LinkBreach`, `ValueError`."""
        if self._said is not None:
            raise LinkBreach("ids for a worker that is claimed")
        (text,) = frame.parts
        self._ids.setdefault(link, []).extend(from_json(text))

    def claim(self, link: Link, frame: Frame) -> None:
        """The first one wins; its checkpoint goes on to the interpreter. Raises `LinkBreach`, `ValueError`."""
        if self._said is not None:
            self._links.refuse(link, frame.ref, "conflict", "the worker is claimed")
            return
        text, manifest = frame.parts
        said = _claim_of(from_json(text))
        said["ids"] += self._ids.get(link, ())
        self._fill(said)
        self._said, self._owner, self._chunks_missing = said, link, said["chunks"]
        self._ids.clear()
        said["ids"] = []
        self._waiting.append((link, frame.ref))
        self._admit_early()
        told = {"limits": self._session.limits} | {key: said[key] for key in _RESTORE_KEYS[1:]}
        told["reseed"] = said.get("reseed") is True
        body = to_json(told)
        self._session.effects.append((INTERPRETER, pack_frame(Kind.RESTORE, (body, manifest))))

    def _fill(self, said: dict[str, Any]) -> None:
        session = self._session
        session.limit(said["limits"])
        ids = [(str(id_).encode(), bytes.fromhex(hashed), int(seq)) for id_, hashed, seq in said["ids"]]
        session.ids.fill(ids, session.limits["ids_kept_max"])
        session.may_be_taken_over = said.get("takeover") is True
        session.keeps_state = said["durability"] != "none"
        session.seq = session.committed = said["seq"]

    def chunk(self, link: Link, frame: Frame) -> None:
        """A part of the claim's checkpoint. Raises `LinkBreach` for one that nobody announced."""
        if link is not self._owner or self._chunks_missing <= 0:
            raise LinkBreach("a chunk that was not announced")
        self._chunks_missing -= 1
        content_id, data = frame.parts
        head = frame_head(Kind.CHUNK, (content_id, data)) + content_id
        self._session.effects += ((INTERPRETER, head), (INTERPRETER, data))

    def attach(self, link: Link, frame: Frame, running: str | None) -> None:
        """One more link, if it shows that it belongs to the session. Raises `ValueError`."""
        (text,) = frame.parts
        asked = from_json(text)
        if self._said is None:
            self._early.append((link, frame.ref, asked))
        elif not self._is_ours(asked):
            self._links.refuse(link, frame.ref, "forbidden", "this worker belongs to another session or generation")
        elif self.is_done:
            self._welcome(link, frame.ref, running)
        else:
            self._waiting.append((link, frame.ref))

    def _admit_early(self) -> None:
        early, self._early = self._early, []
        for link, ref, asked in early:
            if self._is_ours(asked):
                self._waiting.append((link, ref))
            else:
                self._links.refuse(link, ref, "forbidden", "this worker belongs to another session or generation")

    def _is_ours(self, asked: object) -> bool:
        said = self._said
        if said is None or not isinstance(asked, dict):
            return False
        same = asked.get("session") == said["session"] and asked.get("generation") == said["generation"]
        return same and _compare_digest(str(asked.get("link_key")).encode(), said["link_key"].encode())

    def restored(self, frame: Frame) -> None:
        """The interpreter is ready for requests, or raises `RestoreFailed`."""
        if self._said is None or self.is_done or self._chunks_missing:
            raise InterpreterBreach("restored out of turn")
        report = report_of(frame)
        if "error" in report:
            self._fail(report["error"])
        self._unsaved = report.get("unsaved", {})
        self.is_done = self._session.output.is_wanted = self._session.late.is_wanted = True
        for link, ref in self._waiting:
            self._welcome(link, ref, None)
        self._waiting.clear()

    def _fail(self, error: object) -> None:
        message = str(error.get("message", "")) if isinstance(error, dict) else str(error)
        for link, ref in self._waiting:
            self._links.refuse(link, ref, "restore_failed", message[:1000])
        raise RestoreFailed(message[:1000])

    def _welcome(self, link: Link, ref: int, running: str | None) -> None:
        if link.open and not link.attached:
            self._links.attach(link)
        session = self._session
        body = {
            "generation": self._said["generation"] if self._said else 0,
            "seq": session.seq,
            "committed": session.committed,
            "event": session.events.last_number,
            "unsaved": self._unsaved,
            "running": running,
        }
        self._links.say(link, Kind.WELCOME, ref, body)

    def taken_over(self, unsaved: dict[str, Any]) -> None:
        """What the interpreter's shadow does not have."""
        self._unsaved = {**self._unsaved, **unsaved}

    def link_gone(self, link: Link) -> bool:
        """Whether the worker is of no use any more: its claim can never be completed."""
        self._waiting = [waiter for waiter in self._waiting if waiter[0] is not link]
        self._early = [waiter for waiter in self._early if waiter[0] is not link]
        self._ids.pop(link, None)
        return link is self._owner and self._chunks_missing > 0


def _claim_of(said: Any) -> dict[str, Any]:
    kinds = {
        "session": str, "generation": int, "link_key": str, "seq": int, "durability": str, "limits": dict, "ids": list,
        "chunks": int,
    }  # fmt: skip
    if not isinstance(said, dict) or not all(type(said.get(key)) is kind for key, kind in kinds.items()):
        raise LinkBreach("a malformed claim")
    return said


def report_of(frame: Frame) -> dict[str, Any]:
    """What the interpreter says of its state, when it has it. Raises `InterpreterBreach`."""
    try:
        (text,) = frame.parts
        report = from_json(text)
    except (ValueError, RecursionError) as error:
        raise InterpreterBreach(f"a malformed restore report: {error}") from None
    if not isinstance(report, dict):
        raise InterpreterBreach("a malformed restore report")
    return report

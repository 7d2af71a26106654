"""The interpreter has died and its shadow wakes: what becomes of what ran, and what everybody is told."""

from __future__ import annotations

from replwire.frames import Frame, Kind, pack_frame
from replwire.hints import Final
from replworker.agent.claiming import Claim, report_of
from replworker.agent.running import Runner
from replworker.agent.session import Session
from replworker.plain_json import to_json

REASON_CHARS_MAX: Final = 200
"""Of why a shadow did not take over, which is for the log."""


class Takeover:
    """Of one session."""

    def __init__(self, session: Session, claim: Claim, runner: Runner) -> None:
        self._session = session
        self._claim = claim
        self._runner = runner
        self.fell: dict[str, object] | None = None
        """How the interpreter died, as DIED says it, while its shadow wakes."""

    def ready(self, frame: Frame, now: float) -> dict[str, object] | None:
        """READY of the shadow: it is the interpreter, and what waits is run; or it says that it can't be, and this is
        what DIED says. Raises `InterpreterBreach`."""
        fell, report = self.fell or {}, report_of(frame)
        unsaved = report.get("unsaved")
        if not isinstance(unsaved, dict):
            return {**fell, "refused": str(report.get("refused", ""))[:REASON_CHARS_MAX]}
        self.fell = None
        self._claim.taken_over(unsaved)
        self._runner.undone(str(fell["code"]), str(fell["message"]))
        said = to_json({**fell, "seq": self._session.seq, "unsaved": unsaved})
        for link in self._session.links.attached:
            self._session.links.send(link, pack_frame(Kind.TAKEN_OVER, (said,)))
        self._runner.go_on(now)
        return None

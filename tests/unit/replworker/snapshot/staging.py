"""A stage on which sessions are played in fresh processes, and the cases that are played on it."""

import json
import os
import re
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
WORKER_IMAGE = HERE.parents[3] / "worker-image"
ANSWER_TIMEOUT_S = 60

Step = dict[str, Any]


class Stage:
    """A process of one Python that plays jobs; see `stage.py`."""

    def __init__(self, python: str) -> None:
        environment = {**os.environ, "PYTHONPATH": str(WORKER_IMAGE), "PYTHONDONTWRITEBYTECODE": "1"}
        self._process = subprocess.Popen(
            [python, str(HERE / "stage.py")], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment, text=True
        )

    def play(self, *steps: Step, **job: Any) -> list[dict[str, Any]]:
        """What each step answered; a step that broke fails the test."""
        assert self._process.stdin and self._process.stdout
        self._process.stdin.write(json.dumps({"steps": steps, **job}) + "\n")
        self._process.stdin.flush()
        answers: list[dict[str, Any]] = json.loads(self._process.stdout.readline())
        for answer in answers:
            assert "failed" not in answer, answer["failed"]
        return answers

    def survives(self, evals: str | Sequence[str], *checks: str, **job: Any) -> dict[str, Any]:
        """Run the evals, restore in a fresh process: every check must be true before and after; gives both answers."""
        texts = [evals] if isinstance(evals, str) else list(evals)
        first, second = self.play({"evals": texts, "checks": checks}, {"checks": checks}, **job)
        assert first["errors"] == []
        assert dict(zip(checks, first["after"], strict=True)) == dict.fromkeys(checks, "True")
        assert dict(zip(checks, second["before"], strict=True)) == dict.fromkeys(checks, "True"), (
            first["takes"][-1]["unsaved"],
            second["restored"],
        )
        return {"taken": first["takes"][-1], "restored": second["restored"]}

    def runs(self, title: str) -> bool:
        """Whether this Python is new enough for a case; a title ends in `(3.12)` where that matters."""
        wanted = re.search(r"\((3)\.(\d+)\)$", title)
        if wanted is None:
            return True
        (answer,) = self.play({"checks": [f"__import__('sys').version_info >= (3, {wanted[2]})"]})
        return bool(answer["after"] == ["True"])

    def close(self) -> None:
        """End the process."""
        assert self._process.stdin and self._process.stdout
        self._process.stdin.close()
        self._process.wait(ANSWER_TIMEOUT_S)
        self._process.stdout.close()


def cases(name: str) -> dict[str, tuple[str, tuple[str, ...]]]:
    """Cases of a text beside this file: title to evals and the lines below `??`."""
    found = {}
    for case in (HERE / name).read_text().split("\n## ")[1:]:
        title, text = case.split("\n", 1)
        evals, lines = text.split("\n??\n")
        found[title] = evals, tuple(lines.strip().splitlines())
    return found

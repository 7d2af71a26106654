"""The stand-ins behave as what `typing` has, as far as the worker uses them."""

import subprocess
import sys
from pathlib import Path

from replwire.hints import NamedTuple

WORKER_IMAGE = Path(__file__).resolve().parents[3] / "worker-image"
DEAR = (
    "typing", "enum", "re", "json", "signal", "hashlib", "hmac", "socket", "selectors", "contextlib", "dataclasses",
    "traceback", "logging",
)  # fmt: skip
LOOK = "import sys; sys.path.insert(0, sys.argv[1]); import replworker.__main__; print(*sys.modules)"


class Point(NamedTuple):
    """A place."""

    x: int
    y: int = 0

    def moved(self, by: int) -> "Point":
        """To the right."""
        return self._replace(x=self.x + by)


def test_a_named_tuple_has_fields_defaults_and_methods():
    """And is found again by its name."""
    assert Point(1) == (1, 0) == Point(x=1, y=0)
    assert Point(1).moved(2) == Point(3)
    assert Point._fields == ("x", "y")
    assert (Point.__doc__, Point.__module__, Point.__qualname__) == ("A place.", __name__, "Point")


def test_a_worker_does_without_what_is_dear():
    """Each of these costs every idle session hundreds of kilobytes."""
    run = [sys.executable, "-I", "-S", "-c", LOOK, str(WORKER_IMAGE)]
    loaded = subprocess.run(run, check=True, capture_output=True, text=True).stdout.split()
    assert "replworker.agent.loop" in loaded
    assert set(loaded).isdisjoint(DEAR)

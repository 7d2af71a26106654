"""The count of made-up cases is one: it follows what ran, and names what failed."""

import os
import subprocess
import sys
from pathlib import Path

TESTS = """
import pytest
from hypothesis import given, settings, strategies as st

@pytest.mark.envelope
@settings(max_examples=7, database=None)
@given(st.integers())
def test_seven(number): pass

@pytest.mark.parametrize("size", [1, 2])
@settings(max_examples=5, database=None)
@given(st.integers())
def test_ten(size, number): pass

@settings(max_examples=50, database=None)
@given(st.integers(min_value=0))
def test_fails(number): assert number < 0

def test_others(reckoning): reckoning.add("others", 3, 1)
"""


def test_cases_are_counted_as_they_run(tmp_path: Path) -> None:
    """Seven are seven; of cases that share a body each counts; a failure is told beside them."""
    (tmp_path / "test_some.py").write_text(TESTS)
    (tmp_path / "pytest.ini").write_text("[pytest]\nmarkers = envelope\n")
    words = (sys.executable, "-m", "pytest", "-p", "support.reckoning", "-p", "no:schemathesis", "-q", str(tmp_path))
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, cwd=tmp_path, env=environment)
    assert done.returncode == 1, done.stdout
    assert "hypothesis over the envelope: 7 cases, 0 failures\n" in done.stdout
    elsewhere = next(line for line in done.stdout.splitlines() if line.startswith("hypothesis elsewhere: "))
    assert int(elsewhere.split()[2]) > 10 and elsewhere.endswith(", 1 failures")
    assert "others: 3 cases, 1 failures\n" in done.stdout

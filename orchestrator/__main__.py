"""`python -m orchestrator` is `bascule`."""

from orchestrator.cli import entry

if __name__ == "__main__":
    entry()

"""`python -m orchestrator` is `bascule`."""

from orchestrator.cli import main

if __name__ == "__main__":
    main()

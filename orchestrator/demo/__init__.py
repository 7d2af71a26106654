"""`bascule demo`: a variable survives kill -9 of its worker and of the server, over a real WebSocket."""

from orchestrator.demo.show import DemoError, run_demo

__all__ = ["DemoError", "run_demo"]

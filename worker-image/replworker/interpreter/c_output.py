"""Text that C code wrote with `printf` stays in the C library's buffer until somebody flushes it: we do, after evals.

The module that can is imported only once an extension module from outside the standard library is there, or `ctypes`.
"""

from __future__ import annotations

import sys

from replwire.hints import Any, Final

_DOORS: Final = ("ctypes", "_ctypes", "_cffi_backend")
_SUFFIX: Final = ".so"
_OF_PYTHON: Final = "lib-dynload"


class COutput:
    """Flushes the C library's streams, if anyone may have written to them."""

    def __init__(self) -> None:
        self._seen = 0
        self._flush_all: Any = None

    def flush(self) -> None:
        """`fflush(NULL)`."""
        if self._flush_all is None:
            if len(sys.modules) == self._seen or not self._is_needed():
                return
            self._flush_all = _find()
        self._flush_all(None)

    def _is_needed(self) -> bool:
        self._seen = len(sys.modules)
        modules = list(sys.modules.items())
        return any(name in _DOORS for name, _ in modules) or any(_is_foreign(module) for _, module in modules)


def _is_foreign(module: object) -> bool:
    file = getattr(module, "__file__", None)
    return isinstance(file, str) and file.endswith(_SUFFIX) and _OF_PYTHON not in file


def _find() -> Any:
    try:
        import ctypes

        return ctypes.CDLL(None).fflush
    except (ImportError, OSError, AttributeError):
        return lambda stream: None

"""What a snapshot takes and gives: limits, results, errors. Plain tuples, because every import costs each session."""

from __future__ import annotations

from replwire.hints import Final, NamedTuple


class SnapshotLimits(NamedTuple):
    """Bounds of one checkpoint. Sizes are in bytes; what is over a bound is left out and listed as unsaved."""

    inline_bytes_max: int = 32 * 1024
    """A state up to this size lives in the manifest itself, without chunks."""
    chunk_bytes: int = 256 * 1024
    """Large parts are cut into blocks of this size."""
    state_bytes_max: int = 256 * 1024 * 1024
    """Of the pickled namespace with its buffers; beyond it the largest names are left out."""
    files_max: int = 1000
    """Files, folders and links of the working folder."""
    files_bytes_max: int = 64 * 1024 * 1024
    """Sum of the working folder's files."""
    fork_above_bytes: int = 1024 * 1024
    """A state above this size is better taken in a forked child."""
    unsaved_max: int = 1000
    """Names listed as unsaved; the rest is one entry that says how many."""
    depth_max: int = 6000
    """Recursion limit while a deeply nested name is pickled."""


class Checkpoint(NamedTuple):
    """One state of the interpreter, ready to be stored."""

    manifest: bytes
    """Opaque to everyone outside the sandbox; it names its format and its Python."""
    chunks: tuple[tuple[bytes, bytes], ...]
    """(content id, bytes) of what the previous checkpoint did not refer to. A content id is a SHA-256 digest."""
    references: tuple[bytes, ...]
    """Every content id that the manifest refers to, in order, once each."""
    unsaved: dict[str, str]
    """What could not be kept, with the reason; files are `file:PATH`."""
    state_bytes: int
    """Size of the whole state."""


class RestoreReport(NamedTuple):
    """What a restore brought back, and what not."""

    unsaved: dict[str, str]
    """Names that the checkpoint could not keep, and those that failed to load, with reasons."""
    sources: dict[str, str]
    """File name to source text of the evals that live code objects come from; also put into `linecache`."""
    references: tuple[bytes, ...]
    """Content ids that the manifest refers to: what `Snapshotter.restored` wants to know."""
    names: int
    """Names put into the namespace."""
    files: int
    """Files, folders and links put into the working folder."""


class RestoreError(Exception):
    """A checkpoint that can't be opened at all.

    `code` is one of `corrupt`, `format`, `python_version`, `chunk_missing`, `injected_missing`.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code


class Unsaveable(Exception):
    """Raised while pickling: this object can't be kept. `subject` is the object, `reason` a phrase such as `a lock`."""

    def __init__(self, subject: object, reason: str) -> None:
        super().__init__(reason)
        self.subject = subject
        self.reason = reason


HOUSEKEEPING: Final = (
    "__builtins__",
    "__cached__",
    "__file__",
    "__loader__",
    "__name__",
    "__package__",
    "__path__",
    "__spec__",
)
"""Names of a module that belong to the interpreter and are no state, unless the tenant has put a text of his own there
(`__name__ = "tool"`); `__doc__` is one only while it is None."""

REASON_CHARS_MAX: Final = 200
LABEL_CHARS_MAX: Final = 200


def described(error: BaseException) -> str:
    """An exception as a short reason; survives an exception whose own `__str__` raises."""
    try:
        text = str(error)
    except BaseException:
        text = ""
    if isinstance(error, RecursionError):
        text = "nested too deeply"
    return f"{type(error).__name__}: {text}"[:REASON_CHARS_MAX] if text else type(error).__name__


def label(key: object) -> str:
    """How a key of the namespace is called in `unsaved`; a key that is no string is named by its type."""
    if type(key) is str:
        return key[:LABEL_CHARS_MAX]
    return f"<key of type {type(key).__name__}>"


def bounded(unsaved: dict[str, str], most: int) -> dict[str, str]:
    """At most `most` entries, and one more that counts the rest; what UTF-8 can't carry is replaced."""
    if not unsaved:
        return unsaved
    kept = {_printable(name): _printable(reason) for name, reason in list(unsaved.items())[:most]}
    if len(unsaved) > most:
        kept["…"] = f"and {len(unsaved) - most} more"
    return kept


def _printable(text: str) -> str:
    return text.encode("utf-8", "replace").decode()

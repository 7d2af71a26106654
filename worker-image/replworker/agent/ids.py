"""Ids of committed requests: the same id with the same body is never run again."""

from __future__ import annotations


class IdTable:
    """Id to body hash and seq; keeps the newest, the oldest fall out beyond `ids_kept_max`."""

    __slots__ = ("_ids", "_ids_max")

    def __init__(self) -> None:
        self._ids: dict[bytes, tuple[bytes, int]] = {}
        self._ids_max = 0

    def fill(self, known: list[tuple[bytes, bytes, int]], ids_max: int) -> None:
        """What the store knows: `(id, body hash, seq)`, in any order. At least as many are kept."""
        self._ids_max = max(ids_max, len(known))
        for id_, hashed, seq in sorted(known, key=lambda item: item[2]):
            self.add(id_, hashed, seq)

    def add(self, id_: bytes, hashed: bytes, seq: int) -> None:
        """This id is committed."""
        self._ids[id_] = (hashed, seq)
        if len(self._ids) > self._ids_max:
            del self._ids[next(iter(self._ids))]

    def get(self, id_: bytes) -> tuple[bytes, int] | None:
        """Body hash and seq of a committed id."""
        return self._ids.get(id_)

"""Where an array of numpy has its memory, which array that is, and what is known of it. Numpy is not imported here."""

from __future__ import annotations

import sys

from replwire.hints import Any, NamedTuple

Key = tuple[int, int, int]
"""Address, size in bytes, and the id of the object that owns the memory."""


class Region(NamedTuple):
    """What is known of a buffer that was cut before."""

    blocks: tuple[bytes, ...]
    """The content ids of its blocks as it was then."""
    is_same: tuple[bool, ...]
    """Of each block: whether it still is what it was."""
    is_inside_same: bool = False
    """Whether everything is, but perhaps for what lies in the pages at both ends."""
    edges: bytes = b""
    """What told these ends apart then, of an array of objects."""


def key_of(array: Any) -> Key | None:
    """None for an array whose memory is not its own, or of a class that is not numpy's."""
    if not _is_plain(array) or not array.flags.owndata:
        return None
    return array.__array_interface__["data"][0], array.nbytes, id(array)


def key_behind(exporter: Any) -> Key | None:
    """Of the array whose whole memory this one shows, in whatever order; None for anything else."""
    owner = exporter
    while _is_plain(owner) and _is_plain(owner.base):
        owner = owner.base
    found = key_of(owner) or _key_of_restored(owner)
    if found is None or owner is exporter:
        return found
    shown = exporter.__array_interface__["data"][0], exporter.nbytes
    return found if shown == found[:2] else None


def _key_of_restored(array: Any) -> Key | None:
    """Of one whose memory is a `bytearray`, as a pickle's buffers are: that can't be resized while the array is there,
    and until then only by its own name."""
    view = array.base if _is_plain(array) else None
    try:
        owner = view.obj if type(view) is memoryview else None
    except ValueError:  # a tenant has released it
        return None
    return (array.__array_interface__["data"][0], array.nbytes, id(owner)) if type(owner) is bytearray else None


def _is_plain(array: Any) -> bool:
    return type(array) is getattr(sys.modules.get("numpy"), "ndarray", None)

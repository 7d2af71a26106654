"""Frames from writers that may be killed in the middle of one."""

from __future__ import annotations

from contextlib import closing

from replwire.frames import Kind, pack_frame
from replworker.packets import PACKET_BYTES_MAX, PacketReader, packet_pair, send_frame


def frames_of(reader: PacketReader, packets: list[bytes]) -> list[tuple[int, int]]:
    """Kind and size of the frames in these packets."""
    found = []
    for packet in packets:
        reader.feed(packet)
        found += [(frame.kind, len(frame.parts[0])) for frame in reader]
    return found


def test_large_and_small_frames_come_whole():
    """Over a real socket, in several packets each."""
    ours, theirs = packet_pair()
    with closing(ours), closing(theirs):
        reader = PacketReader()
        found: list[tuple[int, int]] = []
        for size in (0, 1, 100_000, PACKET_BYTES_MAX):
            send_frame(theirs, pack_frame(Kind.STATE, (bytes(size),)))
            while len(found) == 0 or found[-1] != (Kind.STATE, size):
                found += frames_of(reader, [ours.recv(PACKET_BYTES_MAX)])
        assert [size for _, size in found] == [0, 1, 100_000, PACKET_BYTES_MAX]


def test_what_a_dead_writer_began_is_dropped():
    """The next writer's frame is not mistaken for its rest."""
    ours, theirs = packet_pair()
    with closing(ours), closing(theirs):
        send_frame(theirs, pack_frame(Kind.CHUNK, (bytes(150_000),)))
        packets = [ours.recv(PACKET_BYTES_MAX) for _ in range(3)]
        send_frame(theirs, pack_frame(Kind.STATE, (b"new",)))
        packets.append(ours.recv(PACKET_BYTES_MAX))
    assert frames_of(PacketReader(), packets) == [(Kind.CHUNK, 150_000), (Kind.STATE, 3)]
    assert frames_of(PacketReader(), [packets[0], packets[3]]) == [(Kind.STATE, 3)]
    assert frames_of(PacketReader(), [packets[0], packets[1], packets[3]]) == [(Kind.STATE, 3)]

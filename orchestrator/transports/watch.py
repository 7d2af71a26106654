"""Watches all open channels: pings the silent, drops the vanished, ends those that never finish a message.

One task for all of them: a timer for each connection would cost more than the messages of a quiet one.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import dataclass, field

import structlog

from orchestrator.transports.channel import WebSocketChannel
from orchestrator.transports.configuration import ChannelConfig

ROUNDS_PER_HEARTBEAT = 4
"""How often each connection is looked at within a heartbeat; a limit in seconds is kept to within one round."""

_log = structlog.get_logger("bascule.transport")


@dataclass(slots=True, eq=False)
class _Watched:
    channel: WebSocketChannel
    heard_at: float
    chunks: int = -1
    pinged: bool = False
    part_since: float | None = None
    closing: asyncio.Task[None] | None = field(default=None)


class Watch:
    """Add a channel when it opens, remove it when it ends."""

    def __init__(self, config: ChannelConfig, monotonic: Callable[[], float]) -> None:
        self._config = config
        self._monotonic = monotonic
        self._watched: dict[WebSocketChannel, _Watched] = {}
        self._task: asyncio.Task[None] | None = None
        limits = (config.heartbeat_s, config.slow_sender_timeout_s, 2 * config.pong_timeout_s)
        self.interval_s = min(limits) / ROUNDS_PER_HEARTBEAT

    def start(self) -> None:
        """Begin the rounds."""
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """End the rounds."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    def add(self, channel: WebSocketChannel) -> None:
        """From now on it is looked at."""
        self._watched[channel] = _Watched(channel, self._monotonic())

    def remove(self, channel: WebSocketChannel) -> None:
        """It has ended."""
        self._watched.pop(channel, None)

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(self.interval_s)
            now = self._monotonic()
            for watched in tuple(self._watched.values()):
                self._look(watched, now)

    def _look(self, watched: _Watched, now: float) -> None:
        channel, config = watched.channel, self._config
        if watched.closing is not None:
            return
        controls, channel.controls = channel.controls, 0
        if controls > config.control_frames_per_s_max * max(self.interval_s, 1.0):
            self._end(watched, "too many control frames")
        elif self._is_slow_sender(watched, now):
            self._end(watched, "a message took too long to arrive")
        else:
            self._check_life(watched, now)

    def _is_slow_sender(self, watched: _Watched, now: float) -> bool:
        if not watched.channel.has_part:
            watched.part_since = None
        elif watched.part_since is None:
            watched.part_since = now
        return watched.part_since is not None and now - watched.part_since >= self._config.slow_sender_timeout_s

    def _check_life(self, watched: _Watched, now: float) -> None:
        channel = watched.channel
        if channel.chunks != watched.chunks or not channel.waiting:
            watched.chunks, watched.heard_at, watched.pinged = channel.chunks, now, False
        silence_s = now - watched.heard_at
        if watched.pinged and silence_s >= self._config.heartbeat_s + self._config.pong_timeout_s:
            _log.info("client lost", silence_s=round(silence_s, 1))
            channel.drop()
        elif not watched.pinged and silence_s >= self._config.heartbeat_s:
            watched.pinged = True
            channel.ping()

    def _end(self, watched: _Watched, reason: str) -> None:
        _log.info("client refused", cause=reason)
        watched.closing = asyncio.create_task(watched.channel.close(1008, reason))

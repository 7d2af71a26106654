"""What the HTTP transport is told at start: frozen values, parsed once by `orchestrator.settings`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from replwire.limits import LIMITS, default_limits


@dataclass(frozen=True, slots=True)
class ChannelConfig:
    """Limits of one connection."""

    envelope_bytes_max: int = LIMITS["envelope_bytes_max"].default
    """Of one message from a client; beyond it close 1009."""
    send_buffer_bytes_max: int = 256 * 1024
    """Waiting in this process for a client that reads slowly; above it, senders wait (one message may be on top)."""
    slow_client_timeout_s: float = 30.0
    """How long one message may wait for room in that buffer; beyond it close 1013."""
    slow_sender_timeout_s: float = 30.0
    """How long a message may take from its first byte to its last; beyond it close 1008."""
    heartbeat_s: float = 20.0
    """Silence after which a client is pinged."""
    pong_timeout_s: float = 10.0
    """How long it has to answer; beyond it the connection is dropped."""
    control_frames_per_s_max: int = 100
    """Pings and pongs from a client; beyond it close 1008."""
    close_timeout_s: float = 3.0
    """How long a goodbye may take; beyond it the connection is dropped."""

    @property
    def vanished_after_s(self) -> float:
        """How long a client's machine may say nothing to what it was sent. One that reads slowly has its own limit."""
        return max(self.heartbeat_s + self.pong_timeout_s, self.slow_client_timeout_s)


@dataclass(frozen=True, slots=True)
class HttpConfig:
    """Where to listen, whom to let in and how many."""

    host: str = "localhost"
    """An address, or `localhost`: the loopback of IPv4 and of IPv6."""
    port: int = 8765
    """0: any free one."""
    metrics_host: str = "localhost"
    metrics_port: int | None = None
    """A port of its own for `/metrics`. None: it is served beside the rest, if that is on loopback, else not at all."""
    origins: tuple[str, ...] = ()
    """Browser origins that may connect besides the server's own host: WebSocket, and HTTP by CORS. None by default."""
    hosts: tuple[str, ...] = ()
    """Values of `Host` that are served, each with its port or for any port; none listed: all are."""
    connections_max: int = 5000
    connections_per_tenant_max: int = 2000
    connections_per_address_max: int = 2000
    sockets_spare_max: int = 1000
    """Sockets beyond `connections_max` for what is no WebSocket (yet): health checks, handshakes. One address may have
    half of them beyond its `connections_per_address_max`; who comes when there is none is hung up on."""
    retry_after_s: int = 2
    """What a client hears that was refused for want of room."""
    handshake_timeout_s: float = 10.0
    """From accepting a socket to the end of its request's headers."""
    header_fields_max: int = 64
    """Of one request; beyond it 431."""
    body_timeout_s: float = 30.0
    """How long a request's body may take, or with a file one part of it; beyond it 408."""
    upload_bytes_max: int = 64 * 1024 * 1024
    """Of one file sent up; beyond it 413."""
    import_bytes_max: int = 1024 * 1024 * 1024
    """Of the file of one session that is imported; beyond it 413."""
    requests_per_s_max: float = 50.0
    """HTTP requests of one principal on average; beyond it and its burst 429. WebSockets count once, as connections."""
    request_burst_max: int = 200
    """HTTP requests of one principal at once, after a pause."""
    limits: Mapping[str, int] = field(default_factory=default_limits)
    """The limits of the wire in force."""
    recheck_interval_s: float = 30.0
    """How often the principals of open connections are checked again."""
    auth_failures_max: int = 10
    """Refused tokens from one address, and showings of one refused token, that cost nothing; then `auth_wait_s_max`."""
    auth_wait_s_max: float = 60.0
    """The longest wait after a refused token; the first is 1 s, each further one twice the one before."""
    trusted_proxies: tuple[str, ...] = ()
    """Addresses or networks of the operator's proxies, whose `X-Forwarded-For` is believed."""
    channel: ChannelConfig = field(default_factory=ChannelConfig)

    def bytes_max(self, limit: str) -> int:
        """The limit of a file's size that has this name; 0 for none."""
        return {"upload_bytes_max": self.upload_bytes_max, "import_bytes_max": self.import_bytes_max}.get(limit, 0)

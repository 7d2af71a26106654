"""Whose address counts: the peer's, or behind proxies of the operator's the one that they name.

What a client writes into `X-Forwarded-For` or the like by itself means nothing.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Sequence
from typing import Final

from aiohttp import web

from orchestrator.transports.connection import ADDRESS_UNKNOWN

_PASSED_ON: Final = ("Forwarded", "Via", "X-Forwarded-For", "X-Real-IP")
_Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class Addresses:
    """`proxies`: addresses or networks; one that is none of both is a `ValueError`."""

    def __init__(self, proxies: Sequence[str]) -> None:
        self._proxies = tuple(ipaddress.ip_network(proxy, strict=False) for proxy in proxies)

    def of(self, request: web.BaseRequest) -> str:
        """The client's address, as far as it can be known."""
        peer = request.remote or ADDRESS_UNKNOWN
        if not self.is_proxy(peer):
            return peer
        for said in _forwarded(request):
            address = _parsed(said)
            if address is None:
                return peer
            if not self._is_proxy(address):
                return str(address)
        return peer

    def is_proxy(self, address: str) -> bool:
        """Whether an address is one of the operator's proxies."""
        return bool(self._proxies) and self._is_proxy(_parsed(address))

    def _is_proxy(self, address: _Address | None) -> bool:
        return address is not None and any(
            address.version == proxy.version and address in proxy for proxy in self._proxies
        )


def is_passed_on(request: web.BaseRequest) -> bool:
    """Whether a proxy says that the request comes from elsewhere. A client can add that, but not take it away."""
    return any(name in request.headers for name in _PASSED_ON)


def _forwarded(request: web.BaseRequest) -> Iterator[str]:
    """From the nearest hop to the farthest: what the last proxy wrote stands last."""
    for line in reversed(request.headers.getall("X-Forwarded-For", [])):
        yield from (part.strip() for part in reversed(line.split(",")))


def _parsed(text: str) -> _Address | None:
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address

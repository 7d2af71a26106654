"""Addresses of Sentinels: what they say, and which can't be meant."""

import pytest

from orchestrator.stores.redis.sentinels import PORT, PrimaryPool, is_sentinel, place_of
from orchestrator.stores.redis.wire import PROTOCOL, connections


def test_an_address_names_the_sentinels_the_service_and_who_we_are():
    """Ports have their default; the database comes behind the service."""
    place = place_of("redis+sentinel://front:secret@one,two:5000,[::1]:5001/sessions/3")
    assert place.sentinels == [("one", PORT), ("two", 5000), ("::1", 5001)]
    assert (place.service, place.is_tls) == ("sessions", False)
    assert place.settings == {"username": "front", "password": "secret", "db": 3}


def test_all_of_them_are_spoken_to_by_tls():
    """With the same authority."""
    place = place_of("rediss+sentinel://one/sessions?ssl_ca_certs=/ca.pem")
    assert place.is_tls and place.settings["ssl_ca_certs"] == "/ca.pem"


def test_a_plain_address_is_none_of_sentinels():
    """Nor is one of a socket."""
    assert [is_sentinel(url) for url in ("redis://a", "unix:///a", "redis+sentinel://a/b")] == [False, False, True]


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("redis+sentinel://one:1", "service"),
        ("redis+sentinel://one,/sessions", "HOST"),
        ("redis+sentinel:///sessions", "HOST"),
        ("redis+sentinel://one:port/sessions", "port"),
        ("redis+sentinel://one/sessions/first", "the database is a number"),
        (f"redis+sentinel://{','.join(['one'] * 17)}/sessions", "more than 16"),
    ],
)
def test_an_address_that_cannot_be_meant_is_refused(url, words):
    """In words that help."""
    with pytest.raises(ValueError, match=f"(?i){words}"):
        connections(url)


async def test_connections_are_ours_in_every_other_way():
    """No retry of the library's, no time-out of single reads; the password of the settings wins."""
    pool = connections("redis+sentinel://user:old@one/sessions/2", "secret")
    assert isinstance(pool, PrimaryPool)
    settings = pool.connection_kwargs
    assert settings["retry"].get_retries() == 0 and settings["socket_timeout"] is None
    assert (settings["protocol"], settings["password"], settings["db"]) == (PROTOCOL, "secret", 2)

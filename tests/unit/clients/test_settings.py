"""Where the client looks for what it is told, and what it refuses."""

from __future__ import annotations

from pathlib import Path

import pytest

from bascule.errors import AuthenticationError, SettingsError
from bascule.settings import DEFAULT_URL, Settings, read_settings

ENVIRONMENT = {"BASCULE_API_KEY": "from-environment", "BASCULE_API_URL": "wss://there.example/bascule/"}


def test_an_argument_beats_the_environment_and_that_the_default():
    """For the key and for the URL."""
    assert read_settings("mine", "ws://here:1", ENVIRONMENT).api_key == "mine"
    assert read_settings("mine", "ws://here:1", ENVIRONMENT).url == "ws://here:1"
    assert read_settings(environment=ENVIRONMENT).api_key == "from-environment"
    assert read_settings(environment=ENVIRONMENT).url == "wss://there.example/bascule"
    assert read_settings("mine", environment={}).url == DEFAULT_URL


def test_a_key_may_lie_in_a_file(tmp_path: Path):
    """As secrets are mounted."""
    (tmp_path / "key").write_text("of-a-file\n")
    assert read_settings(environment={"BASCULE_API_KEY_FILE": str(tmp_path / "key")}).api_key == "of-a-file"
    with pytest.raises(SettingsError, match="BASCULE_API_KEY_FILE"):
        read_settings(environment={"BASCULE_API_KEY_FILE": str(tmp_path / "missing")})


def test_without_a_key_the_error_says_where_it_goes():
    """Before anything is sent."""
    with pytest.raises(AuthenticationError, match="BASCULE_API_KEY"):
        read_settings(environment={})


@pytest.mark.parametrize(
    ("given", "meant"),
    [("http://a:1", "ws://a:1"), ("https://a/x/", "wss://a/x"), ("ws://[::1]:8765", "ws://[::1]:8765")],
)
def test_the_urls_that_are_taken(given: str, meant: str):
    """Also those of HTTP, IPv6 and a path prefix."""
    assert Settings("k", given).url == meant


@pytest.mark.parametrize(
    "url", ["localhost:8765", "ftp://a", "ws://", "ws://a:x", "ws://a:0", "ws://u:p@a", "ws://a/?token=k", "ws://[a"]
)
def test_the_urls_that_are_refused(url: str):
    """Each for its reason; a key in a URL would end in logs."""
    with pytest.raises(SettingsError) as caught:
        Settings("k", url)
    assert caught.value.code == "bad_setting"


@pytest.mark.parametrize(
    "more", [{"heartbeat_s": 0}, {"reconnect_timeout_s": -1}, {"buffer_bytes_max": 0}, {"retries": 3}]
)
def test_settings_that_cannot_work_are_refused_by_name(more: dict):
    """Also one that does not exist."""
    with pytest.raises(SettingsError, match=next(iter(more))):
        read_settings("k", environment={}, **more)


def test_a_key_with_a_line_end_inside_is_refused():
    """It would break the header."""
    with pytest.raises(SettingsError, match="API key"):
        Settings("a\nb")


def test_a_key_may_be_made_anew_for_each_connection():
    """A short-lived token; what comes is checked like one that was given."""
    tokens = iter(["first", "second", ""])
    settings = read_settings(lambda: next(tokens), environment={})
    assert [settings.token, settings.token] == ["first", "second"]
    with pytest.raises(AuthenticationError):
        _ = settings.token

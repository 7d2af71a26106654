"""Settings: the order of sources, secrets from files, and mistakes that are told in words."""

import dataclasses
import os
from pathlib import Path

import pytest

from orchestrator import settings
from orchestrator.settings import SettingsError, check_for_serving, load, names


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No setting of this machine reaches a test."""
    for name in [name for name in os.environ if name.startswith("BASCULE_")]:
        monkeypatch.delenv(name)
    monkeypatch.setattr(settings, "SYSTEM_FILE", tmp_path / "absent.toml")


def test_flags_win_over_environment_over_file_over_defaults(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Each source fills what those before it left open, also within one section."""
    file = tmp_path / "config.toml"
    file.write_text("[server]\nport = 1\nretry_after_s = 1\nconnections_max = 1\n[limits]\ncode_bytes_max = 10\n")
    monkeypatch.setenv("BASCULE_SERVER__PORT", "2")
    monkeypatch.setenv("BASCULE_SERVER__RETRY_AFTER_S", "2")
    config = load({"server": {"port": 3}}, file).http_config()
    assert (config.port, config.retry_after_s, config.connections_max, config.host) == (3, 2, 1, "localhost")
    assert load({}, file).all_limits()["code_bytes_max"] == 10


def test_secrets_come_from_files(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """`_FILE` names a file whose content is the secret; no secret shows when settings are printed."""
    path = tmp_path / "secret"
    path.write_text("pa55word\n")
    monkeypatch.setenv("BASCULE_REDIS__PASSWORD_FILE", str(path))
    loaded = load({"auth": {"dev_token": "t0ken"}})
    assert loaded.redis.password is not None
    assert loaded.redis.password.get_secret_value() == "pa55word"
    assert "pa55word" not in repr(loaded)
    assert "t0ken" not in repr(loaded)


def test_a_secret_file_that_is_missing_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """It names the variable and the file."""
    monkeypatch.setenv("BASCULE_KEYS__STAMP_FILE", "/nowhere/stamp")
    with pytest.raises(SettingsError, match="BASCULE_KEYS__STAMP_FILE: /nowhere/stamp"):
        load({})


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ({"server": {"prot": 1}}, r"server.prot: there is no such setting; did you mean server.port\?"),
        ({"limits": {"code_byte_max": 1}}, r"did you mean limits.code_bytes_max\?"),
        ({"engin": {"pool_size": 1}}, "engin: there is no such setting"),
        ({"server": {"port": "many"}}, "server.port: Input should be a valid integer"),
        ({"engine": {"pool_size": -1}}, "engine.pool_size: .* greater than or equal to 0"),
        ({"runtime": "chroot"}, "runtime: Input should be 'docker' or 'bubblewrap'"),
    ],
)
def test_mistakes_are_told_with_the_name_that_was_meant(flags: dict[str, object], words: str) -> None:
    """A typing error never means that a default is in force in silence."""
    with pytest.raises(SettingsError, match=words):
        load(flags)


def test_a_mistake_in_the_environment_names_the_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    """Variables that others set (Kubernetes makes BASCULE_PORT) are none of ours and are left alone."""
    monkeypatch.setenv("BASCULE_PORT", "tcp://10.0.0.1:80")
    load({})
    monkeypatch.setenv("BASCULE_SEVER__PORT", "1")
    with pytest.raises(SettingsError, match=r"BASCULE_SEVER__PORT: .* did you mean server.port\?"):
        load({})


@pytest.mark.parametrize("content", ["[server", "[server]\nprot = 1"])
def test_a_file_that_cannot_be_used_is_an_error(tmp_path: Path, content: str) -> None:
    """So is one that is not there."""
    file = tmp_path / "config.toml"
    with pytest.raises(SettingsError, match="no such file"):
        load({}, file)
    file.write_text(content)
    with pytest.raises(SettingsError):
        load({}, file)


def test_a_secret_never_stands_in_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither in words nor in what they come from."""
    monkeypatch.setenv("BASCULE_REDIS__PASSWORD", "pa55word")
    with pytest.raises(SettingsError) as caught:
        load({"redis": {"pasword": "pa55word"}})
    assert "pa55word" not in str(caught.value)


def test_every_field_of_the_parts_is_a_setting(tmp_path: Path) -> None:
    """What the engine, the transport and the sandbox are told can be set by its name."""
    loaded = load(
        {"state_dir": tmp_path, "engine": {"pool_size": 7}, "sandbox": {"cpus": 0.5}, "channel": {"heartbeat_s": 9}}
    )
    engine, http = loaded.engine_config(), loaded.http_config()
    assert (engine.pool_size, engine.sandbox.cpus, http.channel.heartbeat_s) == (7, 0.5, 9)
    assert len(engine.stamp_key) == len(engine.seal_key) == 32
    known = set(names())
    for section, part in (("server", http), ("engine", engine), ("channel", http.channel)):
        own = {field.name for field in dataclasses.fields(part)} - {
            *("channel", "limits", "sandbox", "stamp_key", "seal_key", "export_key", "envelope_bytes_max")
        }
        assert {f"{section}.{name}" for name in own} <= known


def test_the_envelope_limit_is_the_sockets_limit_too() -> None:
    """One number, two places where it is kept."""
    assert load({"limits": {"envelope_bytes_max": 4096}}).http_config().channel.envelope_bytes_max == 4096


def test_the_export_key_is_given_or_there_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is never made up: a file that only this installation can open would be of no use. A short one is refused."""
    state = {"state_dir": tmp_path / "state"}
    assert load(state).engine_config().export_key == b""
    assert load({**state, "keys": {"export": "ab" * 32}}).engine_config().export_key == bytes.fromhex("ab" * 32)
    with pytest.raises(SettingsError, match=r"keys\.export"):
        load({**state, "keys": {"export": "short"}}).engine_config()
    (tmp_path / "key").write_text("cd" * 32 + "\n")
    monkeypatch.setenv("BASCULE_KEYS__EXPORT_FILE", str(tmp_path / "key"))
    assert load(state).engine_config().export_key == bytes.fromhex("cd" * 32)


def test_given_keys_are_used_and_short_ones_refused(tmp_path: Path) -> None:
    """With both keys given nothing is written."""
    keys = {"stamp": "ab" * 32, "seal": "cd" * 32}
    config = load({"keys": keys, "state_dir": tmp_path / "state"}).engine_config()
    assert (config.stamp_key, config.seal_key) == (bytes.fromhex("ab" * 32), bytes.fromhex("cd" * 32))
    assert not (tmp_path / "state").exists()
    with pytest.raises(SettingsError, match="32 characters"):
        load({"keys": {**keys, "seal": "short"}}).engine_config()


SERVER = {"runtime": "docker", "redis": {"url": "redis://localhost"}}
JWT = {"issuer": "https://id", "audience": "bascule", "algorithm": "RS256", "key_file": "key.pem"}
AT_URL = {**JWT, "key_file": None, "jwks_url": "https://id.example.com/jwks"}


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ({**JWT, "isuer": "x"}, r"did you mean auth.jwt.issuer\?"),
        ({**JWT, "algorithm": "none"}, "auth.jwt.0.algorithm: Input should be 'HS256', 'RS256', 'ES256' or 'EdDSA'"),
        ({**JWT, "algorithm": ["RS256", "HS256"]}, "auth.jwt.0.algorithm"),
        ({**JWT, "audience": ""}, "auth.jwt.0.audience"),
        ({**JWT, "jwks_file": "k"}, "exactly one of key_file, jwks_file, jwks_url and secret_file"),
        ({**JWT, "jwks_url": "https://id/jwks"}, "exactly one of"),
        ({**JWT, "key_file": None}, "exactly one of"),
        ({**JWT, "algorithm": "HS256"}, "secret_file is for HS256"),
        ({**JWT, "key_file": None, "secret_file": "k"}, "secret_file is for HS256"),
        ({**AT_URL, "algorithm": "HS256"}, "jwks_url for the other algorithms"),
        ({**AT_URL, "jwks_url": "http://id.example.com/jwks"}, "over http only from this machine"),
        ({**AT_URL, "jwks_url": "http://127.0.0.1.example.com/jwks"}, "over http only from this machine"),
        ({**AT_URL, "jwks_url": "file:///etc/passwd"}, "begins with https://"),
        ({**AT_URL, "jwks_url": "data:application/json,{}"}, "begins with https://"),
        ({**AT_URL, "jwks_url": "https:///jwks"}, "begins with https://"),
        ({**AT_URL, "jwks_url": "https://ann:secret@id.example.com/jwks"}, "no user, no password"),
        ({**AT_URL, "jwks_again_s": 300}, "jwks_again_s is at most jwks_refresh_s"),
        ({**AT_URL, "jwks_refresh_s": 90_000}, "at most jwks_stale_s_max"),
        ({**AT_URL, "jwks_timeout_s": 0}, "auth.jwt.0.jwks_timeout_s"),
    ],
)
def test_an_issuer_is_told_apart_from_what_is_none(entry: dict[str, object], words: str) -> None:
    """One algorithm, one source of keys that fits it, and no name that is none."""
    with pytest.raises(SettingsError, match=words):
        load({"auth": {"jwt": [entry]}})


def test_issuers_are_tables_of_the_file(tmp_path: Path) -> None:
    """As many as there are."""
    file = tmp_path / "config.toml"
    table = "[[auth.jwt]]\nissuer = '{}'\naudience = 'bascule'\nalgorithm = 'ES256'\njwks_file = 'jwks.json'\n"
    file.write_text(table.format("one") + table.format("two"))
    assert [entry.issuer for entry in load({}, file).auth.jwt] == ["one", "two"]


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ({**SERVER, "auth": {"dev_token": "t"}, "server": {"host": "0.0.0.0"}}, "loopback only"),
        ({**SERVER, "auth": {"dev_token": "t"}, "server": {"host": "::"}}, "loopback only"),
        (SERVER, "nobody could connect"),
        ({"auth": {"dev_token": "t"}}, "choose where workers run"),
        ({"auth": {"dev_token": "t"}, "runtime": "docker"}, "choose where sessions are kept"),
        ({"auth": {"dev_token": "t"}, "server": {"trusted_proxies": ["proxy"]}}, "neither an address nor a network"),
    ],
)
def test_what_makes_no_server_is_refused(flags: dict[str, object], words: str) -> None:
    """With what is missing and what to do."""
    with pytest.raises(SettingsError, match=words):
        check_for_serving(load(flags))


@pytest.mark.parametrize(
    "flags",
    [
        {**SERVER, "auth": {"keys_file": "keys.toml"}, "server": {"host": "0.0.0.0"}},
        {**SERVER, "auth": {"jwt": [JWT]}, "server": {"host": "0.0.0.0", "trusted_proxies": ["10.0.0.0/8", "::1"]}},
        {**SERVER, "auth": {"dev_token": "t"}, "server": {"host": "::1"}},
        {"embedded": True, "auth": {"dev_token": "t"}},
    ],
)
def test_what_makes_a_server_is_fine(flags: dict[str, object]) -> None:
    """The two one-liners of the README, and the dev token on IPv6 loopback."""
    check_for_serving(load(flags))


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ({"server": {"port": 65536}}, "server.port: .* less than or equal to 65535"),
        ({"server": {"metrics_port": 65536}}, "server.metrics_port: .* less than or equal to 65535"),
        ({"sandbox": {"cpus": 0}}, "sandbox.cpus: .* greater than 0"),
        ({"sandbox": {"cpus": "inf"}}, "sandbox.cpus: .* finite"),
        ({"server": {"recheck_interval_s": 0}}, "server.recheck_interval_s: .* greater than 0"),
        ({"server": {"handshake_timeout_s": "nan"}}, "server.handshake_timeout_s: "),
        ({"channel": {"heartbeat_s": 0}}, "channel.heartbeat_s: .* greater than 0"),
        ({"engine": {"sweep_interval_s": 0}}, "engine.sweep_interval_s: .* greater than 0"),
        ({"engine": {"refill_at_once": 0}}, "engine.refill_at_once: .* greater than or equal to 1"),
        ({"sandbox": {"memory_bytes": 1}}, "sandbox.memory_bytes: .* greater than or equal to 33554432"),
    ],
)
def test_a_value_that_no_server_could_work_with_is_refused(flags: dict[str, object], words: str) -> None:
    """At start, not when the first worker fails."""
    with pytest.raises(SettingsError, match=words):
        load(flags)


def test_one_key_without_the_other_is_refused(tmp_path: Path) -> None:
    """The one that was given would not be in force, in silence."""
    with pytest.raises(SettingsError, match=r"both keys\.stamp and keys\.seal"):
        load({"keys": {"stamp": "ab" * 32}, "state_dir": tmp_path}).engine_config()


def test_a_file_that_is_no_text_is_an_error(tmp_path: Path) -> None:
    """It names the file."""
    file = tmp_path / "config.toml"
    file.write_bytes(b"\xff\xfe")
    with pytest.raises(SettingsError, match=r"config.toml: 'utf-8' codec"):
        load({}, file)


@pytest.mark.parametrize("origin", ["console.example", "https://", "https://console.example/", "*"])
def test_what_is_no_origin_is_refused(origin: str) -> None:
    """It would never equal what a browser sends."""
    flags = {**SERVER, "auth": {"dev_token": "t"}, "server": {"origins": (origin,)}}
    with pytest.raises(SettingsError, match="is no origin"):
        check_for_serving(load(flags))

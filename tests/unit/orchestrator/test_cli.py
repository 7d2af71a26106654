"""The command line: what is refused, with which words and which exit code, and what goes to stdout."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from orchestrator import settings
from orchestrator.auth.api_keys import ApiKeys
from orchestrator.cli import main
from orchestrator.doctor import Finding, Report
from orchestrator.settings import Settings


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No settings of this machine."""
    monkeypatch.setattr(settings, "SYSTEM_FILE", tmp_path / "absent.toml")


def run(*words: str) -> Result:
    """What the command does."""
    return CliRunner().invoke(main, words)


def test_the_dev_token_off_loopback_is_refused() -> None:
    """Exit code 2, the address, and what to do instead."""
    done = run("serve", "--embedded", "--dev-token", "t", "--host", "0.0.0.0")
    assert done.exit_code == 2
    assert "loopback" in done.stderr
    assert "0.0.0.0" in done.stderr
    assert "--keys-file" in done.stderr
    assert done.stdout == ""


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        (("--set", "engine.pol_size=1"), "did you mean engine.pool_size?"),
        (("--set", "nothing"), "is not NAME=VALUE"),
        (("--port", "many"), "not a valid integer"),
        (("--runtime", "chroot"), "is not one of"),
        (("--config", "/nowhere/config.toml"), "no such file"),
        (("--port", "65536"), "server.port"),
        (("--set", "server=1", "--set", "server.port=2"), "'server' is a value"),
        (("--set", "server.host.x=2", "--host", "localhost"), "'host' is a value"),
        (("--dev-token", "two words"), "without spaces"),
        (("--dev-token", "ключ"), "ASCII"),
        (("--dev-token", ""), "1 to 4096"),
    ],
)
def test_mistakes_are_exit_code_2(words: tuple[str, ...], meant: str) -> None:
    """In words that name the mistake."""
    done = run("serve", "--embedded", "--dev-token", "t", *words)
    assert (done.exit_code, meant in done.stderr) == (2, True), done.stderr


def test_set_reaches_the_same_settings_as_a_flag(monkeypatch: pytest.MonkeyPatch) -> None:
    """Flags and `--set` become one tree; what was not given is left to other sources."""
    seen = []
    monkeypatch.setattr("orchestrator.app.run", lambda loaded, announce: seen.append(loaded))
    words = ("--port", "0", "--origin", "https://a", "--origin", "https://b", "--set", "server.retry_after_s=9")
    assert run("serve", "--embedded", "--dev-token", "t", *words).exit_code == 0
    config = seen[0].http_config()
    assert (config.port, config.origins, config.retry_after_s) == (0, ("https://a", "https://b"), 9)


def test_a_made_key_opens_the_door(tmp_path: Path) -> None:
    """stdout is the key and nothing else; the file holds its hash."""
    path = tmp_path / "keys.toml"
    done = run("token", "create", "--tenant", "acme", "--subject", "ci", "--scope", "eval", "--keys-file", str(path))
    assert done.exit_code == 0
    key = done.stdout.strip()
    assert key.startswith("bsk_")
    assert key not in done.stderr
    assert key not in path.read_text()
    assert ApiKeys(path).authenticate(key).scopes == {"eval"}


def test_without_a_file_the_entry_is_shown() -> None:
    """To be put into the list by hand."""
    done = run("token", "create", "--tenant", "acme", "--subject", "ci")
    assert "[[keys]]" in done.stderr
    assert "sha256" in done.stderr


def test_a_bad_tenant_is_refused() -> None:
    """A name becomes part of keys and log lines."""
    done = run("token", "create", "--tenant", "a b", "--subject", "ci")
    assert done.exit_code == 2
    assert "--tenant" in done.stderr


@pytest.mark.parametrize(("usable", "status"), [(True, 0), (False, 1)])
def test_doctor_says_by_its_exit_code_whether_one_can_serve(
    monkeypatch: pytest.MonkeyPatch, usable: bool, status: int
) -> None:
    """In words and as JSON."""
    findings = (Finding("runtime docker", usable, "seen", "mend it"), Finding("store redis", True, "seen"))
    monkeypatch.setattr("orchestrator.doctor.examine", lambda url: Report(findings))
    as_text, as_json = run("doctor"), run("doctor", "-o", "json")
    assert (as_text.exit_code, as_json.exit_code) == (status, status)
    assert "mend it" in as_text.stdout
    assert json.loads(as_json.stdout)["usable"] is usable


def test_doctor_looks_at_what_a_server_would_use(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Settings come from its flags, the environment and a file, as for `serve`."""
    seen: list[Settings] = []

    def examine(settings: Settings) -> Report:
        seen.append(settings)
        return Report(())

    monkeypatch.setattr("orchestrator.doctor.examine", examine)
    monkeypatch.setenv("BASCULE_REDIS__PASSWORD", "a-password")
    config = tmp_path / "bascule.toml"
    config.write_text("[bubblewrap]\npython = '/opt/python3'\n")
    run("doctor", "--config", str(config), "--redis-url", "redis://r", "--set", "docker.runtime=runsc")
    (settings,) = seen
    assert settings.bubblewrap.python == Path("/opt/python3")
    assert settings.docker.runtime == "runsc"
    assert settings.redis.url is not None and settings.redis.url.get_secret_value() == "redis://r"
    assert settings.redis.password is not None
    wrong = run("doctor", "--set", "docker.runtim=runsc")
    assert (wrong.exit_code, "did you mean docker.runtime" in wrong.stderr) == (2, True)


def test_the_version_is_shown() -> None:
    """Of the installed distribution."""
    assert run("--version").stdout.startswith("bascule, version ")

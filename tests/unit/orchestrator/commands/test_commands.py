"""Commands that need no server: settings and their origins, completion, exit codes, what is refused."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from bascule.errors import error_of
from orchestrator import settings
from orchestrator.cli import main
from orchestrator.commands.exit_codes import MEANINGS
from orchestrator.commands.failures import exit_code_of
from replwire.errors import ERROR_CODES


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No settings of this machine."""
    monkeypatch.setattr(settings, "SYSTEM_FILE", tmp_path / "absent.toml")


def run(*words: str) -> Result:
    """What the command does."""
    return CliRunner().invoke(main, words)


def test_every_value_has_its_origin(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """Flag, environment (by variable, by a file's, by a section's), file, default; the strongest wins."""
    file = tmp_path / "bascule.toml"
    file.write_text("[server]\nport = 9000\nhost = 'example'\n[limits]\ncode_bytes_max = 1000\n")
    (tmp_path / "token").write_text("a-secret-token")
    monkeypatch.setenv("BASCULE_REDIS__PASSWORD", "a-password")
    monkeypatch.setenv("BASCULE_AUTH__DEV_TOKEN_FILE", str(tmp_path / "token"))
    monkeypatch.setenv("BASCULE_ENGINE", '{"pool_size": 3}')
    words = ("config", "show", "--origin", "--config", str(file), "--host", "127.0.0.1", "--set", "log.level=debug")
    shown = {row["name"]: (row["value"], row["origin"]) for row in json.loads(run(*words, "-o", "json").stdout)}
    assert shown["server.host"] == ("127.0.0.1", "flag")
    assert shown["log.level"] == ("debug", "flag")
    assert shown["server.port"] == (9000, "file")
    assert shown["limits.code_bytes_max"] == (1000, "file")
    assert shown["limits.depth_max"] == (64, "default")
    assert shown["engine.pool_size"] == (3, "environment BASCULE_ENGINE")
    assert shown["redis.password"] == ("********", "environment BASCULE_REDIS__PASSWORD")
    assert shown["auth.dev_token"] == ("********", "environment BASCULE_AUTH__DEV_TOKEN_FILE")
    assert shown["auth.keys_file"] == (None, "default")
    # A list of tables is one setting.
    assert set(shown) == {name for name in settings.names() if not name.startswith("auth.jwt.")}


def test_as_a_table_no_secret_is_shown():
    """Three columns with --origin, two without."""
    done = run("config", "show", "--dev-token", "a-secret", "--redis-url", "redis://:pass@h")
    assert done.exit_code == 0
    assert "a-secret" not in done.stdout and "pass" not in done.stdout.replace("redis.password", "")
    assert "origin" not in done.stdout.split("\n")[0]


@pytest.mark.parametrize(
    ("name", "value", "meant"),
    [
        ("BASCULE_EMBEDED", "1", "did you mean BASCULE_EMBEDDED?"),
        ("BASCULE_SERVER_PORT", "1", "did you mean BASCULE_SERVER__PORT?"),
        ("BASCULE_SERVER__PROT", "1", "did you mean server.port?"),
        ("BASCULE_SERVR__PORT", "1", "did you mean server.port?"),
        ("BASCULE_API_KEYS", "1", "did you mean BASCULE_API_KEY?"),
        ("BASCULE_CONFIG", "/none.toml", "no such file"),
    ],
)
def test_a_misspelt_variable_is_an_error(monkeypatch: pytest.MonkeyPatch, name: str, value: str, meant: str):
    """That names the nearest one."""
    monkeypatch.setenv(name, value)
    done = run("config", "show")
    assert (done.exit_code, meant in done.stderr) == (2, True), done.stderr


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("BASCULE_SERVICE_HOST", "10.0.0.1"), ("BASCULE_SERVICE_PORT", "80"), ("BASCULE_PORT", "tcp://10.0.0.1:80"),
        ("BASCULE_PORT_8765_TCP_ADDR", "10.0.0.1"), ("BASCULE_SERVER_SERVICE_PORT_WS", "1"),
        ("BASCULE_SERVER_PORT", "tcp://10.0.0.1:80"), ("BASCULE_API_URL", "ws://x"), ("BASCULE_SOMETHING_ELSE", "1"),
    ],
)  # fmt: skip
def test_what_is_no_setting_of_ours_is_left_alone(monkeypatch: pytest.MonkeyPatch, name: str, value: str):
    """Kubernetes' variables for a service of that name, and the client's."""
    monkeypatch.setenv(name, value)
    assert run("config", "show").exit_code == 0


def test_a_secret_given_twice_is_an_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """Nobody can know which one was meant."""
    (tmp_path / "token").write_text("one")
    monkeypatch.setenv("BASCULE_AUTH__DEV_TOKEN", "other")
    monkeypatch.setenv("BASCULE_AUTH__DEV_TOKEN_FILE", str(tmp_path / "token"))
    done = run("config", "show")
    assert (done.exit_code, "given twice" in done.stderr) == (2, True)


def test_every_code_of_the_wire_has_a_documented_exit_code():
    """None is 0, and those that a script must tell apart differ."""
    codes = {name: exit_code_of(error_of({"code": name, "message": ""})) for name in ERROR_CODES}
    assert set(codes.values()) <= set(MEANINGS) - {0}
    assert [codes[name] for name in ("bad_message", "unauthenticated", "forbidden", "not_found", "session_gone")] == [
        2, 3, 3, 4, 4,
    ]  # fmt: skip
    assert [codes[name] for name in ("busy", "store_unavailable", "rolled_back", "memory_limit", "worker_died")] == [
        5, 5, 6, 6, 6,
    ]  # fmt: skip
    assert [codes[name] for name in ("timeout", "outcome_unknown", "internal")] == [124, 7, 1]


def test_the_openapi_document_is_printed():
    """The same as in the docs."""
    page = Path(__file__).parents[4] / "docs" / "reference" / "openapi.json"
    assert run("openapi").stdout == page.read_text(encoding="utf-8")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts_are_sound(shell: str, tmp_path: Path):
    """Each is for this program; bash takes its own."""
    done = run("completion", shell)
    assert done.exit_code == 0
    assert "_BASCULE_COMPLETE" in done.stdout and "bascule" in done.stdout
    if shell == "bash":
        script = tmp_path / "script"
        script.write_text(done.stdout)
        assert subprocess.run([str(shutil.which("bash")), "-n", str(script)], capture_output=True).returncode == 0


def test_completion_knows_the_commands(monkeypatch: pytest.MonkeyPatch):
    """What the script asks for, and what it hears."""
    environment = {"_BASCULE_COMPLETE": "bash_complete", "COMP_WORDS": "bascule session k", "COMP_CWORD": "2"}
    done = CliRunner().invoke(main, [], prog_name="bascule", env=environment, complete_var="_BASCULE_COMPLETE")
    assert done.stdout.split() == ["plain,kill"]


@pytest.mark.parametrize(
    ("words", "status", "why"),
    [
        (("repl",), 2, "needs a terminal"),
        (("repl", "--embedded", "--session", "ses_1"), 2, "neither --session nor --url"),
        (("session", "list", "--url", "x"), 2, "not like ws://"),
        (("session", "list"), 3, "no API key"),
        (("session", "kill"), 2, "Missing argument"),
    ],
)
def test_what_cannot_begin_is_told(monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], status: int, why: str):
    """With the exit code for it, and nothing on stdout."""
    for name in ("BASCULE_API_KEY", "BASCULE_API_KEY_FILE", "BASCULE_API_URL"):
        monkeypatch.delenv(name, raising=False)
    if "--url" in words:
        monkeypatch.setenv("BASCULE_API_KEY", "key")
    done = run(*words)
    assert (done.exit_code, why in done.stderr, done.stdout) == (status, True, ""), done.stderr

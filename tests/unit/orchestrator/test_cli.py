"""The command line: what is refused, with which words and which exit code, and what goes to stdout."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from orchestrator import settings
from orchestrator.auth.api_keys import ApiKeys
from orchestrator.auth.jwt_tokens import JwtIssuer
from orchestrator.cli import main
from orchestrator.doctor import Finding, Report
from orchestrator.settings import Settings
from support.tokens import AUDIENCE, ISSUER, Issuer


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No settings of this machine, and nothing left on it."""
    monkeypatch.setattr(settings, "SYSTEM_FILE", tmp_path / "absent.toml")
    monkeypatch.setenv("BASCULE_STATE_DIR", str(tmp_path / "state"))


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


WHOSE = ("--tenant", "acme", "--subject", "ann", "--issuer", ISSUER, "--audience", AUDIENCE)


@pytest.mark.parametrize("algorithm", ["HS256", "RS256", "ES256", "EdDSA"])
def test_a_made_token_is_let_in_as_inspect_says(tmp_path: Path, algorithm: str) -> None:
    """The key says by which algorithm; stdout is the token and nothing else."""
    issuer, config = Issuer(tmp_path / "keys", algorithm), tmp_path / "config.toml"
    config.write_text(issuer.toml(source="jwks_file"))
    key = ("--key-file", str(issuer.folder / "key.pem"), "--kid", "one")
    done = run("token", "create", "--jwt", *key, *WHOSE, "--ttl", "60", "--scope", "eval")
    assert done.exit_code == 0, done.stderr
    principal = JwtIssuer(issuer.config()).authenticate(done.stdout.strip())
    assert (principal.name, principal.scopes) == ("acme/ann", frozenset({"eval"}))
    assert principal.credential in done.stderr
    said = run("token", "inspect", done.stdout.strip(), "--config", str(config), "-o", "json")
    report = json.loads(said.stdout)
    assert (said.exit_code, report["let_in"], report["principal"]["subject"]) == (0, True, "ann")


def test_inspect_says_why_not_and_for_each_way(tmp_path: Path) -> None:
    """What a server never tells; in text that moves no terminal's cursor."""
    issuer, config, keys = Issuer(tmp_path / "keys", "ES256"), tmp_path / "config.toml", tmp_path / "keys.toml"
    config.write_text(f'auth.revocations_file = "{tmp_path / "revoked"}"\n{issuer.toml()}')
    (tmp_path / "revoked").write_text('tokens = ["gone"]')
    run("token", "create", "--tenant", "acme", "--subject", "ci", "--keys-file", str(keys))
    cases = {
        issuer.token(exp=1): "it expired", issuer.token(aud="other"): "`aud`", issuer.token(iss="x"): "`iss`",
        Issuer(tmp_path / "other", "ES256", "other").token(): "signature", issuer.token(jti="gone"): "but revoked",
        issuer.token(sub="\x1b[2Jann"): "no subject's name", issuer.token({"crit": ["x"]}): "'crit'",
        "bsk_x": "not known", "x" * 5000: "4096 characters",
    }  # fmt: skip
    for token, words in cases.items():
        done = run("token", "inspect", token, "--config", str(config), "--keys-file", str(keys))
        assert (done.exit_code, words in done.stdout) == (1, True), done.output
        assert done.stdout.startswith("refused\n")
        assert f"auth.keys_file {keys}: " in done.stdout
        assert "\x1b" not in done.stdout


def test_inspect_reads_the_token_from_stdin(tmp_path: Path) -> None:
    """So that it stands in no list of processes."""
    issuer, config = Issuer(tmp_path / "keys", "EdDSA"), tmp_path / "config.toml"
    config.write_text(issuer.toml())
    done = CliRunner().invoke(main, ("token", "inspect", "--config", str(config)), input=issuer.token() + "\n")
    assert (done.exit_code, done.stdout.splitlines()[0]) == (0, "let in")


@pytest.mark.parametrize(
    ("words", "meant", "status"),
    [
        (("--key-file", "k"), "go with --jwt", 2),
        (("--ttl", "60"), "go with --jwt", 2),
        (("--jwt",), "needs --key-file", 2),
        (("--jwt", "--key-file", "k", "--issuer", "i"), "needs --key-file, --issuer and --audience", 2),
        (
            ("--jwt", "--key-file", "{key}", "--issuer", "i", "--audience", "a", "--ttl", "86401"),
            "--ttl: 1 to 86400",
            2,
        ),
        (("--jwt", "--key-file", "{key}", "--issuer", "i", "--audience", "a", "--tenant", "a b"), "--tenant", 2),
        (("--jwt", "--key-file", "/nowhere", "--issuer", "i", "--audience", "a"), "No such file", 1),
        (("--jwt", "--key-file", "{public}", "--issuer", "i", "--audience", "a"), "no private key", 1),
    ],
)
def test_mistakes_in_making_a_token(tmp_path: Path, words: tuple[str, ...], meant: str, status: int) -> None:
    """Each names the argument or the file."""
    folder = Issuer(tmp_path / "keys", "EdDSA").folder
    filled = [word.format(key=folder / "key.pem", public=folder / "public.pem") for word in words]
    done = run("token", "create", "--tenant", "acme", "--subject", "ann", *filled)
    assert (done.exit_code, meant in done.stderr, done.stdout) == (status, True, ""), done.stderr


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

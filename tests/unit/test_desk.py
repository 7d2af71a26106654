"""The project's rules about itself: what the wheel carries, who may import what, sizes, provisioning, skips."""

import ast
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
PACKAGES = {
    "bascule": REPOSITORY / "clients" / "python" / "bascule",
    "orchestrator": REPOSITORY / "orchestrator",
    "replwire": REPOSITORY / "worker-image" / "replwire",
    "replworker": REPOSITORY / "worker-image" / "replworker",
}
MODULE_LINES_MAX = 300
FUNCTION_LINES_MAX = 40
BUILD_TIMEOUT_S = 60
# What the snapshot may import besides the standard library: inside functions only, when a tenant's values ask for it.
SNAPSHOT_EXTRAS = {"cloudpickle", "numpy"}


def _sources(*names: str) -> Iterator[tuple[str, Path]]:
    for name in names or PACKAGES:
        for path in sorted(PACKAGES[name].rglob("*.py")):
            module = ".".join((name, *path.relative_to(PACKAGES[name]).with_suffix("").parts))
            yield module.removesuffix(".__init__"), path


def _imported(nodes: Iterable[ast.AST]) -> Iterator[str]:
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            yield node.module.split(".")[0]


def test_the_wheel_carries_every_file_of_the_packages_and_nothing_else(tmp_path: Path) -> None:
    """An install from a wheel has the import names and the package data (scripts, py.typed) of the sources."""
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(command, cwd=REPOSITORY, check=True, capture_output=True, timeout=BUILD_TIMEOUT_S)
    (wheel,) = tmp_path.glob("*.whl")
    carried = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    expected = {
        f"{name}/{path.relative_to(folder)}"
        for name, folder in PACKAGES.items()
        for path in folder.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert carried == expected
    assert expected >= {"orchestrator/__init__.py", "replwire/py.typed", "replworker/py.typed"}


@pytest.mark.parametrize("package", ["replwire", "replworker"])
def test_the_sandboxed_packages_import_the_standard_library_only(package: str) -> None:
    """Both import the wire and the standard library; the snapshot a little more, but only once a value asks for it."""
    usual = sys.stdlib_module_names | {"replwire", package}
    for module, path in _sources(package):
        tree = ast.parse(path.read_text())
        at_start = set(_imported(tree.body)) - usual
        ever = set(_imported(ast.walk(tree))) - usual
        assert not at_start, f"{module} imports {sorted(at_start)}"
        extras = SNAPSHOT_EXTRAS if module.startswith("replworker.snapshot") else set()
        assert ever <= extras, f"{module} imports {sorted(ever - extras)}"


def test_modules_and_functions_stay_short_enough_to_read() -> None:
    """No module has more than 300 lines and no function more than 40."""
    long: list[str] = []
    for module, path in _sources():
        text = path.read_text()
        lines = text.count("\n")
        if lines > MODULE_LINES_MAX:
            long.append(f"{module}: {lines} lines")
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                length = (node.end_lineno or node.lineno) - node.lineno + 1
                if length > FUNCTION_LINES_MAX:
                    long.append(f"{module}.{node.name}: {length} lines")
    assert not long, "\n".join(long)


def _run_pytest(folder: Path, *, under_ci: bool) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if name != "CI"} | (
        {"CI": "true"} if under_ci else {}
    )
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", str(folder), str(folder)]
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=BUILD_TIMEOUT_S, check=False
    )


@pytest.mark.parametrize(
    "body",
    ["def test_it(require): require(False, 'no moon')", "import pytest\ndef test_it(): pytest.skip('no moon')"],
    ids=["require", "plain skip"],
)
def test_what_is_skipped_on_a_laptop_fails_under_ci(tmp_path: Path, body: str) -> None:
    """A missing service never passes for a green run under CI, however the test says that it is missing."""
    shutil.copy(REPOSITORY / "tests" / "conftest.py", tmp_path)
    places = " ".join(str(REPOSITORY / name) for name in (".", "worker-image", "tests"))
    (tmp_path / "pytest.ini").write_text(f"[pytest]\npythonpath = {places}\nmarkers =\n  docker\n")
    (tmp_path / "test_moon.py").write_text(body)
    laptop = _run_pytest(tmp_path, under_ci=False)
    ci = _run_pytest(tmp_path, under_ci=True)
    assert (laptop.returncode, ci.returncode) == (0, 1), laptop.stdout + ci.stdout
    assert "1 skipped" in laptop.stdout
    assert "no moon" in ci.stdout or "nothing may be" in ci.stdout


def test_whoever_is_not_root_is_told_the_line_that_installs(tmp_path: Path) -> None:
    """Provisioning without root changes nothing: it ends with status 1 and the apt-get line to run."""
    for name in ("bash", "dirname", "uname"):
        (tmp_path / name).symlink_to(shutil.which(name) or name)
    for name, script in {"id": "echo 1000", "apt-get": "echo must not run >&2; exit 9"}.items():
        (tmp_path / name).write_text(f"#!{shutil.which('bash')}\n{script}\n")
        (tmp_path / name).chmod(0o755)
    command = [str(tmp_path / "bash"), str(REPOSITORY / "tests" / "provision" / "packages"), "bubblewrap"]
    ended = subprocess.run(
        command, env={"PATH": str(tmp_path)}, capture_output=True, text=True, timeout=30, check=False
    )
    assert ended.returncode == 1
    assert "apt-get install --no-install-recommends bubblewrap" in ended.stderr
    assert "must not run" not in ended.stderr

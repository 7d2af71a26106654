# Shared by the scripts of this folder: where the state is, how a step says what it does, how a failure ends.
REPOSITORY="$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)"
# The engine's pid file and log. Ignored by git; `make clean` empties it once the engine has ended.
STATE_FOLDER="${BASCULE_TEST_STATE:-$REPOSITORY/.bascule-test}"
PATH="$PATH:/usr/sbin:/sbin"

say() { printf '== %s\n' "$*" >&2; }
fail() { printf '!! %s\n' "$*" >&2; exit 1; }
is_root() { [ "$(id -u)" -eq 0 ]; }
has() { command -v "$1" >/dev/null 2>&1; }
engine_answers() { has docker && timeout 10 docker version --format '{{.Server.Version}}' >/dev/null 2>&1; }
image_exists() { docker image inspect "$1" >/dev/null 2>&1; }

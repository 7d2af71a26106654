"""The plainest REPL there is: `exec` in a dict, output captured in memory. Standard library only, no imports of ours.

The bridge runs it in its own process; the bare containers and sandboxes run this file as a program, with one JSON text
a line in and one out: `{"code"}` gives `{"output", "stdout", "stderr", "error"}`.
"""

import ast
import contextlib
import io
import json
import sys
import traceback


def evaluate(code: str, namespace: dict[str, object]) -> dict[str, object]:
    """Run it; the last expression's value is the output."""
    written = io.StringIO()
    try:
        with contextlib.redirect_stdout(written):
            value = _run(code, namespace)
            output = None if value is None else repr(value)
    except BaseException as error:
        shown = {"name": type(error).__name__, "message": str(error), "traceback": []}
        return {"output": None, "stdout": written.getvalue(), "stderr": traceback.format_exc(), "error": shown}
    return {"output": output, "stdout": written.getvalue(), "stderr": "", "error": None}


def _run(code: str, namespace: dict[str, object]) -> object:
    tree = ast.parse(code)
    last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
    exec(compile(tree, "<eval>", "exec"), namespace)
    if not isinstance(last, ast.Expr):
        return None
    value: object = eval(compile(ast.Expression(last.value), "<eval>", "eval"), namespace)
    return value


def main() -> None:
    """Answer line by line until there are no more."""
    namespace: dict[str, object] = {"__name__": "__main__"}
    for line in sys.stdin:
        sys.stdout.write(json.dumps(evaluate(json.loads(line)["code"], namespace)) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()

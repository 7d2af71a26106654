"""Plays sessions for the tests: each step in a process of its own that restores what the step before left.

Run by path with the Python to test; reads jobs as JSON lines and answers each with one. A process is forked from this
one, which never imports anything of a tenant's, so it is as fresh as a worker's interpreter.
"""

import gc
import json
import os
import pickle
import resource
import sys
import traceback
import types
from typing import Any

from replworker import snapshot

resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


class Greeter:
    """An object of the interpreter's that can't be pickled: it holds a generator."""

    def __init__(self):
        self.secret = (letter for letter in "secret")

    def __call__(self):
        return "hello"


def fresh_namespace(injected):
    """The namespace of a new `__main__`."""
    module = types.ModuleType("__main__")
    sys.modules["__main__"] = module
    module.__dict__["__builtins__"] = __builtins__
    module.__dict__.update(injected)
    return module.__dict__


def checked(namespace, checks):
    """What each expression gives, as text; an exception is its name and message."""
    results = []
    for check in checks:
        try:
            results.append(repr(eval(check, namespace)))
        except BaseException as error:
            results.append(f"{type(error).__name__}: {error}")
    return results


def play(step, job, stored):
    """One step in this process: restore, checks, evals, checks, checkpoint."""
    injected = {"greet": Greeter()} if job.get("injected") else {}
    namespace = fresh_namespace(injected)
    folder = step.get("folder", job.get("folder"))
    if folder:
        os.chdir(folder)
    limits = snapshot.SnapshotLimits(**job.get("limits", {}))
    taker = snapshot.Snapshotter(namespace, work_folder=folder, limits=limits, injected=injected)
    answer: dict[str, Any] = {"takes": [], "errors": []}
    sources = {}
    if stored:
        report = snapshot.restore(
            stored["manifest"],
            stored["chunks"],
            namespace,
            work_folder=folder,
            injected=injected,
            reseed=step.get("reseed", False),
        )
        taker.restored(report.references)
        sources.update(report.sources)
        answer["restored"] = {"unsaved": report.unsaved, "names": report.names, "files": report.files}
    answer["before"] = checked(namespace, step.get("checks", ()))
    chunks = dict(stored["chunks"]) if stored else {}
    for number, source in enumerate(step.get("evals", ())):
        name = f"<eval {len(sources)}.{number}>"
        sources[name] = source
        try:
            exec(compile(source, name, "exec"), namespace)
        except BaseException:
            answer["errors"].append(traceback.format_exc())
        if step.get("take_each"):
            chunks = note(taker.take(sources), chunks, answer, stored)
    answer["after"] = checked(namespace, step.get("checks", ()))
    taken = taker.take(sources)
    chunks = note(taken, chunks, answer, stored)
    return answer, {"manifest": taken.manifest, "chunks": chunks}


def note(taken, chunks, answer, stored):
    """What the store would have after this checkpoint; a reference that it can't know is an error."""
    answer["takes"].append(
        {
            "unsaved": taken.unsaved,
            "state_bytes": taken.state_bytes,
            "manifest_bytes": len(taken.manifest),
            "new": sum(len(data) for _, data in taken.chunks),
            "chunks": len(taken.chunks),
            "references": len(taken.references),
        }
    )
    have = {**chunks, **dict(taken.chunks)}
    assert len(set(taken.references)) == len(taken.references)
    return {name: have[name] for name in taken.references}


def in_child(step, job, stored):
    """One step in a process of its own: its answer, and what the store has then."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        with os.fdopen(writing, "wb") as pipe:
            try:
                result = play(step, job, stored)
            except snapshot.RestoreError as error:
                result = ({"refused": error.code}, None)
            except BaseException:
                result = ({"failed": traceback.format_exc()}, None)
            pipe.write(pickle.dumps(result))
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        data = pipe.read()
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return pickle.loads(data) if data else ({"failed": f"the process ended with {status}"}, None)


def main():
    """Answer jobs until there are no more."""
    gc.freeze()
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    for line in sys.stdin:
        job = json.loads(line)
        stored = None
        steps = []
        for step in job["steps"]:
            answer, state = in_child(step, job, stored)
            steps.append(answer)
            if state is None:
                break
            stored = state
        answers.write(json.dumps(steps) + "\n")
        answers.flush()


if __name__ == "__main__":
    main()

"""The OpenAPI document against a real server: whatever it allows or forbids, the answer is one that it names."""

import asyncio
import copy
import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest

from orchestrator.transports.rest.openapi import document
from support.reckoning import Reckoning
from support.rest import Rest, rest_of
from support.server import TOKEN, Server

pytestmark = [pytest.mark.bubblewrap, pytest.mark.redis]

CASES_PER_OPERATION = 25
PATIENCE_S = 240
CHECKS = (
    "not_a_server_error", "status_code_conformance", "content_type_conformance", "response_headers_conformance",
    "response_schema_conformance", "negative_data_rejection", "missing_required_header", "unsupported_method",
    "allow_header_conformance", "ignored_auth",
)  # fmt: skip
ENDLESS = "listenToEvents"
"""A stream without an end is no case for a tool that waits for it; `test_events` has it."""


async def prepared(rest: Rest) -> dict[str, Any]:
    """The document with names of what is there, so that requests get past the address."""
    place, doomed = await rest.opened(), await rest.opened()
    await rest.eval(place, "x = 1; x", key="known")
    for name in ("a.txt", "b/c.bin"):
        assert (await rest.ask("PUT", f"{place}/files/{name}", data=b"0123456789")).status == 200
    found = copy.deepcopy(document())
    assert (await rest.ask("PUT", f"{place}/pins/lesson")).status == 200
    known = {"session": place, "request_id": "known", "path": "a.txt", "name": "lesson"}
    for item in found["paths"].values():
        for parameter in item.get("parameters", []):
            # Only the session may be nothing else: any other text is a good path, and may be an id.
            value = known[parameter["name"]].rsplit("/", 1)[-1]
            if parameter["name"] == "session":
                parameter["schema"]["enum"] = [value]
            parameter["example"] = value
    one = found["paths"]["/v1/sessions/{session}"]
    hole = copy.deepcopy(one["parameters"][0])
    hole["example"] = doomed.rsplit("/", 1)[-1]
    hole["schema"]["enum"] = [hole["example"]]
    one["delete"]["parameters"] = [hole]
    return found


async def test_no_answer_breaks_the_document(state: Path, reckoning: Reckoning) -> None:
    """Good and bad data for every operation; the number of cases is told at the end of the run, and none fails."""
    raised = ("requests_per_s_max", "request_burst_max", "auth_failures_max")
    rates = [word for name in raised for word in ("--set", f"server.{name}=100000")]
    server = Server(state / "state", "--embedded", *rates)
    await server.start()
    try:
        async with rest_of(server.url, TOKEN) as rest:
            source = state / "openapi.json"
            source.write_text(json.dumps(await prepared(rest)))
        tool = await asyncio.create_subprocess_exec(
            str(Path(sys.executable).with_name("schemathesis")), "run", str(source),
            "--url", server.url.replace("ws://", "http://"), "--header", f"Authorization: Bearer {TOKEN}",
            "--checks", ",".join(CHECKS), "--max-examples", str(CASES_PER_OPERATION),
            "--phases", "examples,coverage,fuzzing",
            "--exclude-operation-id", ENDLESS, "--seed", "7", "--continue-on-failure", "--warnings", "off",
            cwd=state, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip
        said = (await asyncio.wait_for(tool.communicate(), PATIENCE_S))[0].decode()
    finally:
        await server.stop()
    cases = re.search(r"(\d+) generated, (\d+) passed", said)
    assert cases is not None, said
    made, passed = int(cases[1]), int(cases[2])
    reckoning.add("schemathesis", made, made - passed)
    assert (tool.returncode, passed) == (0, made), said
    assert made > 300, said
    assert '"level": "error"' not in server.log()

"""The OpenAPI document: valid, fresh in the docs, whole, and understood by a generator of clients."""

import asyncio
import json
import sys
from pathlib import Path

import aiohttp
from openapi_spec_validator import validate

from orchestrator.transports.problems import STATUS_OF
from orchestrator.transports.rest.openapi import document, document_text, main
from orchestrator.transports.rest.routes import ROUTES
from orchestrator.transports.rest.service import OPERATIONS
from replwire.errors import ERROR_CODES
from support.front_door import front_door

PATIENCE_S = 60
COPY = Path(__file__).parents[3] / "docs/reference/openapi.json"


def test_it_is_a_valid_document() -> None:
    """By the rules of OpenAPI 3.1."""
    validate(document())


def test_the_copy_in_the_docs_is_fresh(tmp_path: Path) -> None:
    """And one that is not is found."""
    assert main(["--check", str(COPY)]) == 0
    stale = tmp_path / "openapi.json"
    stale.write_text("{}")
    assert main(["--check", str(stale)]) == 1
    assert main([str(stale)]) == 0
    assert stale.read_text() == document_text()


def test_every_route_is_served_and_every_code_has_a_status() -> None:
    """No row without a function, and no function without a row."""
    assert {route.name for route in ROUTES if not route.is_public} == set(OPERATIONS)
    assert len({route.name for route in ROUTES}) == len(ROUTES)
    assert set(ERROR_CODES) <= set(STATUS_OF)
    for route in ROUTES:
        assert route.name in document_text()


async def test_it_is_served_without_a_token() -> None:
    """As it lies in the docs."""
    async with front_door() as door, aiohttp.ClientSession() as http, http.get(f"{door.http}/openapi.json") as answer:
        assert (answer.status, answer.content_type) == (200, "application/json")
        assert await answer.text() == COPY.read_text(encoding="utf-8")


async def test_a_generator_makes_a_client_of_it(tmp_path: Path) -> None:
    """Without a warning, and what it makes can be imported."""
    source, made = tmp_path / "openapi.json", tmp_path / "client"
    source.write_text(document_text())
    command = ("generate", "--path", str(source), "--output-path", str(made), "--meta", "none", "--fail-on-warning")
    program = Path(sys.executable).with_name("openapi-python-client")
    config = tmp_path / "config.json"
    config.write_text(json.dumps({"post_hooks": []}))
    generator = await asyncio.create_subprocess_exec(
        str(program),
        *command,
        "--config",
        str(config),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await asyncio.wait_for(generator.communicate(), PATIENCE_S)
    assert generator.returncode == 0, said.decode()
    code = "import client.api.evals.run_eval as run, client.models as m; m.EvalRequest(code='1'); assert run.asyncio"
    importer = await asyncio.create_subprocess_exec(sys.executable, "-W", "error", "-c", code, cwd=tmp_path)
    assert await asyncio.wait_for(importer.wait(), PATIENCE_S) == 0

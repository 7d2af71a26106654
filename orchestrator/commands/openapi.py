"""`bascule openapi`: the document of the HTTP interface."""

from __future__ import annotations

import click

from orchestrator.commands.calling import say


@click.command()
def openapi() -> None:
    """Print the OpenAPI document of this version, as a server has it at /openapi.json."""
    from orchestrator.transports.rest.openapi import document_text

    say(document_text())

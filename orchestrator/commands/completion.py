"""`bascule completion`: what makes a shell complete the command line."""

from __future__ import annotations

from typing import Final

import click
from click.shell_completion import get_completion_class

from orchestrator.commands.calling import say

PROGRAM: Final = "bascule"
VARIABLE: Final = "_BASCULE_COMPLETE"


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print a script that makes Tab complete commands, options and their values.

    \b
    bash:  eval "$(bascule completion bash)"                          in ~/.bashrc
    zsh:   eval "$(bascule completion zsh)"                           in ~/.zshrc
    fish:  bascule completion fish > ~/.config/fish/completions/bascule.fish
    """
    made = get_completion_class(shell)
    assert made is not None, shell
    say(made(context.find_root().command, {}, PROGRAM, VARIABLE).source())

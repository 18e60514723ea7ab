"""``streamsparse completion``: the script that completes commands, options and paths in a shell."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from streamsparse.cli.command import Command

_SHELLS = ("bash", "zsh", "fish")
_PROGRAM = "streamsparse"
# Where click looks for what the script asks.
_VARIABLE = "_STREAMSPARSE_COMPLETE"


@click.command(
    cls=Command,
    short_help="Print the script that completes commands in a shell.",
    epilog="""\b
Examples, each to be run once; new shells then complete:
  echo 'eval "$(streamsparse completion bash)"' >> ~/.bashrc
  echo 'eval "$(streamsparse completion zsh)"' >> ~/.zshrc
  streamsparse completion fish > ~/.config/fish/completions/streamsparse.fish
""",
)
@click.argument("shell", type=click.Choice(_SHELLS))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print the script that completes streamsparse in SHELL.

    Commands, options, their choices and paths are completed. Bash must be 4.4 or
    newer.
    """
    script = get_completion_class(shell)
    if script is None:
        raise click.UsageError(f"click cannot complete in {shell}")
    click.echo(script(ctx.find_root().command, {}, _PROGRAM, _VARIABLE).source())

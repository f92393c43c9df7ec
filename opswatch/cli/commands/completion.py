"""`opswatch completion`: the script with which a shell completes commands and options."""

import click
from click.shell_completion import get_completion_class

from opswatch.cli.exit_codes import EXIT_SUCCESS

_PROGRAM, _VARIABLE = "opswatch", "_OPSWATCH_COMPLETE"  # click derives the second from the first
_EPILOG = """\b
Where it goes:
  bash        eval "$(opswatch completion bash)" in ~/.bashrc
  zsh         eval "$(opswatch completion zsh)" in ~/.zshrc, after compinit
  fish        opswatch completion fish > ~/.config/fish/completions/opswatch.fish
  powershell  opswatch completion powershell | Out-String | Invoke-Expression
              in the file that $PROFILE names

\b
Examples:
  opswatch completion bash
  opswatch completion powershell
"""


@click.command(epilog=_EPILOG)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish", "powershell"]))
@click.pass_context
def command(ctx: click.Context, shell: str) -> int:
    """Print the completion script of a shell."""
    completion = get_completion_class(shell)
    if completion is None:
        raise click.UsageError(f"click cannot complete in {shell}")
    script = completion(ctx.find_root().command, {}, _PROGRAM, _VARIABLE).source()
    click.echo(script.encode(), nl=False)  # as bytes: Windows' text output would change line ends
    return EXIT_SUCCESS

"""The group of commands, with `help` and `--version`; a command is imported when it is needed."""

from importlib import import_module

import click
from click.shell_completion import CompletionItem

from opswatch import __version__
from opswatch.cli import COMMANDS
from opswatch.cli.exit_codes import EXIT_CODES

_EXIT_CODES = "exit-codes"  # a topic of `help`


class LazyGroup(click.Group):
    """A group that lists its commands without importing them: some of them import a lot."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of the commands."""
        return [*COMMANDS, *super().list_commands(ctx)]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a command; return None if there is none of that name."""
        if cmd_name not in COMMANDS:
            return super().get_command(ctx, cmd_name)
        command: click.Command = import_module(f"opswatch.cli.commands.{cmd_name}").command
        return command

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Return the commands and options that begin so, without importing the commands."""
        names = [name for name in self.list_commands(ctx) if name.startswith(incomplete)]
        own = [CompletionItem(name, help=COMMANDS.get(name)) for name in names]
        return own + click.Command.shell_complete(self, ctx, incomplete)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the commands with their summaries."""
        own = {
            name: self.commands[name].get_short_help_str() for name in super().list_commands(ctx)
        }
        with formatter.section("Commands"):
            formatter.write_dl(list((COMMANDS | own).items()))


@click.group(
    cls=LazyGroup,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="`opswatch help COMMAND` and `opswatch COMMAND --help` explain a command, "
    "`opswatch help exit-codes` the exit codes.",
)
@click.option("--version", "is_version", is_flag=True, help="Print the version and exit.")
@click.pass_context
def group(ctx: click.Context, is_version: bool) -> None:
    """Watch Azure Resource Manager operations to their end, and call webhooks back."""
    if is_version:
        click.echo(f"opswatch {__version__}")
        ctx.exit()
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())


@group.command("help")
@click.argument(
    "name",
    metavar="COMMAND",
    required=False,
    shell_complete=lambda _, __, begun: [
        name for name in (*COMMANDS, _EXIT_CODES) if name.startswith(begun)
    ],
)
@click.pass_context
def print_help(ctx: click.Context, name: str | None) -> None:
    """List the commands, or explain one."""
    of_group = ctx.find_root()
    if name is None:
        click.echo(of_group.get_help())
        return
    if name == _EXIT_CODES:
        click.echo("\n".join(f"{code:>3}  {meaning}" for code, meaning in EXIT_CODES.items()))
        return
    command = group.get_command(of_group, name)
    if command is None:
        raise click.UsageError(f"No such command {name!r}", of_group)
    click.echo(click.Context(command, info_name=name, parent=of_group).get_help())

"""The terminal: the group `opswatch`, which imports the module of a command when it is needed."""

import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.metadata import version

import click
from click.shell_completion import CompletionItem

from opswatch.cli.exit_codes import EXIT_INTERRUPTED, EXIT_SUCCESS

# name -> summary; `commands` has a module of that name, with the click command `command`
COMMANDS = {
    "dev": "Run the function app without Core Tools.",
    "simulate": "Run a simulated ARM.",
    "demo": "Run everything on this machine, from post to callback.",
    "post": "Post an operation to be watched.",
    "show": "Show an operation and its deliveries.",
    "list": "List operations, newest first.",
    "tail": "Follow operations as they change.",
    "stop": "Stop watching an operation.",
    "redeliver": "Send settled deliveries again.",
    "secret": "Generate a secret that callbacks are signed with.",
    "listen": "Receive callbacks on this machine and print them.",
    "verify": "Send a test event to a receiver and explain each layer.",
    "doctor": "Check settings, storage, token and ARM.",
    "completion": "Print the completion script of a shell.",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; return its exit code."""
    arguments = sys.argv[1:] if argv is None else list(argv)
    try:
        code: int | None = group.main(arguments, prog_name="opswatch", standalone_mode=False)
    except click.UsageError as error:
        command = error.ctx.command_path if error.ctx else "opswatch"
        message = error.format_message().rstrip(".")
        click.echo(f"{message} (see `{command} --help`)", err=True)
        return error.exit_code
    except click.ClickException as error:
        click.echo(error.format_message(), err=True)
        return error.exit_code
    except click.Abort:
        return EXIT_INTERRUPTED
    return EXIT_SUCCESS if code is None else code


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
    epilog="`opswatch help COMMAND` and `opswatch COMMAND --help` explain a command.",
)
@click.option("--version", "is_version", is_flag=True, help="Print the version and exit.")
@click.pass_context
def group(ctx: click.Context, is_version: bool) -> None:
    """Watch Azure Resource Manager operations to their end, and call webhooks back."""
    if is_version:
        click.echo(f"opswatch {version('opswatch')}")
        ctx.exit()
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())


@group.command("help")
@click.argument(
    "name",
    metavar="COMMAND",
    required=False,
    shell_complete=lambda _, __, begun: [name for name in COMMANDS if name.startswith(begun)],
)
@click.pass_context
def print_help(ctx: click.Context, name: str | None) -> None:
    """List the commands, or explain one."""
    of_group = ctx.find_root()
    if name is None:
        click.echo(of_group.get_help())
        return
    command = group.get_command(of_group, name)
    if command is None:
        raise click.UsageError(f"No such command {name!r}", of_group)
    click.echo(click.Context(command, info_name=name, parent=of_group).get_help())

"""The command group: finds subcommands without importing the others, and turns our errors into exit codes.

0  done, or stopped when asked to       3  start-up failed: port, lock, disk
1  the operation failed                 4  the configuration is invalid
2  wrong usage
"""

from __future__ import annotations

import sys
from importlib import import_module
from typing import Any, Final, NoReturn

import click

import kbroker
from kbroker.config import ConfigError
from kbroker.real.files import FileUnreadable
from kbroker.real.process import forget_stdout

EXIT_FAILED: Final = 1
EXIT_STARTUP: Final = 3
EXIT_CONFIG: Final = 4

_COMMANDS: Final = {
    "serve": ("kbroker.cli.serve", "serve", "Run a broker."),
    "storage": ("kbroker.cli.storage", "storage", "Format log directories, and look at them."),
    "check": ("kbroker.cli.check", "check", "See whether log directories are sound."),
    "dump": ("kbroker.cli.dump", "dump", "Show what a frame or a file of a data directory says."),
}


class CommandFailed(Exception):
    """The command can't do what was asked: one line for the user, and the exit code."""

    def __init__(self, message: str, exit_code: int = EXIT_FAILED) -> None:
        super().__init__(message)
        self.exit_code = exit_code


class _LazyGroup(click.Group):
    """Subcommands by name, imported on use."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names of all commands."""
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of that name; None if there is none."""
        if cmd_name not in _COMMANDS:
            return None
        module, attribute, _ = _COMMANDS[cmd_name]
        command: click.Command = getattr(import_module(module), attribute)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The list in --help, without importing any of them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, summary) for name, (_, _, summary) in _COMMANDS.items()])


@click.group(cls=_LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(kbroker.__version__, message="kbroker %(version)s")
def command() -> None:
    """A Kafka broker in pure Python.

    Exit codes: 0 done or stopped when asked to, 1 failed, 2 wrong usage, 3 start-up failed (port, lock, disk),
    4 invalid configuration.
    """


def main(arguments: list[str] | None = None) -> NoReturn:
    """Run the command with `arguments`, else the process's own, and leave with its exit code."""
    sys.exit(run(arguments))


def run(arguments: list[str] | None = None) -> int:
    """Run the command and return its exit code; a user's mistake is one line on stderr."""
    try:
        code: Any = command.main(arguments, prog_name="kbroker", standalone_mode=False)
    except click.exceptions.Abort:
        return EXIT_FAILED
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except ConfigError as error:
        return _complain(str(error), EXIT_CONFIG)
    except FileUnreadable as error:
        return _complain(str(error), EXIT_FAILED)
    except CommandFailed as error:
        return _complain(str(error), error.exit_code)
    except BrokenPipeError:
        forget_stdout()
        return EXIT_FAILED
    return code if isinstance(code, int) else 0


def _complain(message: str, code: int) -> int:
    click.echo(f"kbroker: {message}", err=True)
    return code

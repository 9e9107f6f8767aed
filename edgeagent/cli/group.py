"""A click group that imports a command when it is used, and the one place that handles errors."""

from __future__ import annotations

import importlib
import os
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import click

from edgeagent.errors import INTERRUPTED_EXIT_CODE, EdgeAgentError

UNEXPECTED_EXIT_CODE = 70
"""EX_SOFTWARE of sysexits.h: an error in this program itself."""


class LazyGroup(click.Group):
    """Commands from a table of name, `module:attribute` and help line.

    Help is written from the table alone. Used as a program (`standalone_mode`), it turns errors
    into one line on stderr and the exit codes that `edgeagent.errors` documents.
    """

    def __init__(
        self, *args: Any, commands_table: Mapping[str, tuple[str, str]], **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        self._table = commands_table

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names in the order of the table, which is the order of use."""
        return list(self._table)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the command, `None` if there is none of that name."""
        if cmd_name not in self._table:
            return None
        module, _, attribute = self._table[cmd_name][0].partition(":")
        try:
            command = getattr(importlib.import_module(module), attribute)
        except ModuleNotFoundError as error:
            if error.name != module:
                raise
            raise click.ClickException(
                f"This installation lacks the command {cmd_name!r}."
            ) from error
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands without importing any of them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in self._table.items()])

    def main(  # type: ignore[override]
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        *,
        standalone_mode: bool = True,
        **extra: Any,
    ) -> Any:
        """Run the command line; as a program it ends the process with an exit code."""

        def run() -> Any:
            return super(LazyGroup, self).main(args, prog_name, standalone_mode=False, **extra)

        if not standalone_mode:
            return run()
        _tolerate_narrow_encodings()
        sys.exit(_exit_code_of(run))


def _exit_code_of(run: Callable[[], Any]) -> int:
    """Run a command; show what goes wrong as one line and return the exit code."""
    try:
        result = run()
        sys.stdout.flush()
    except EdgeAgentError as error:
        _show(str(error), error)
        return error.exit_code
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (KeyboardInterrupt, click.Abort):
        click.echo("interrupted", err=True)
        return INTERRUPTED_EXIT_CODE
    except BrokenPipeError:
        # Whoever read the output has enough, as in `edgeagent models list | head -1`.
        _discard_output()
        return 1
    except Exception as error:
        what = f"{type(error).__name__}: {error}".splitlines()[0]
        _show(
            f"Something unexpected happened ({what}); please report it, with what"
            " EDGEAGENT_DEBUG=1 shows for the same command.",
            error,
        )
        return UNEXPECTED_EXIT_CODE
    return result if isinstance(result, int) else 0


def _show(message: str, error: Exception) -> None:
    if os.environ.get("EDGEAGENT_DEBUG") == "1":
        click.echo("".join(traceback.format_exception(error)), err=True, nl=False)
    click.echo(f"error: {message}", err=True)


def _tolerate_narrow_encodings() -> None:
    """Let a console that cannot show a character show `?` instead of failing (Windows, LANG=C)."""
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="replace")


def _discard_output() -> None:
    """Point stdout to nowhere, so that the flush at exit does not fail a second time."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, sys.stdout.fileno())
    os.close(null)

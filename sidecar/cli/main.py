"""The command `haltline`: its commands, and the one place where a command ends badly.

Rules:
- Exit codes: 0 approved or ok, 1 denied or active, 2 usage, 3 unreachable.
- A refusal goes to stderr with its way out; with `--json` it is one JSON value on stdout.
"""

import json
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Final

import click

from sidecar import __version__
from sidecar.cli.failures import CommandFailed, Exit

_MODULE_OF_COMMAND: Final = {
    "serve": "serve",
    "safety": "safety",
    "kill": "stopping",
    "reset": "starting",
    "ease": "starting",
    "orders": "orders",
    "release": "orders",
    "account": "orders",
    "watch": "watch",
    "check": "check",
    "config": "configuration",
    "audit": "audit",
    "init": "init",
    "store": "store",
}


class Commands(click.Group):
    """Imports a command's module only when it is asked for: a kill waits for nothing else."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names, in the order of the help."""
        del ctx
        return list(_MODULE_OF_COMMAND)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return the command, or None where there is none of that name."""
        del ctx
        module = _MODULE_OF_COMMAND.get(cmd_name)
        if module is None:
            return None
        command = getattr(import_module(f"sidecar.cli.{module}"), cmd_name)
        return command if isinstance(command, click.Command) else None


@click.command(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="haltline")
def haltline() -> None:
    """Trading safety: kill switch, circuit breaker and position limits, asked before every order.

    Stopping needs no secret; starting again needs KILL_SWITCH_SECRET (or KILL_SWITCH_RESET_SECRET)
    in the environment, or an operator's certificate (--credentials). Exit codes: 0 approved or ok,
    1 denied or active, 2 usage, 3 unreachable.
    """


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command and exit with its code. `arguments` are those of the process if absent."""
    words = [_as_text(word) for word in (sys.argv[1:] if arguments is None else arguments)]
    try:
        haltline(words, prog_name="haltline", standalone_mode=False)
    except CommandFailed as failure:
        report(failure, as_json="--json" in words)
        sys.exit(failure.code)
    except click.ClickException as problem:
        problem.show()
        sys.exit(Exit.USAGE)
    except (click.Abort, KeyboardInterrupt):
        click.echo("interrupted", err=True)
        sys.exit(Exit.DENIED)
    except OSError as problem:  # such as a full disk behind stdout; what was done stays done
        click.echo(f"haltline: {problem}", err=True)
        sys.exit(Exit.DENIED)


def _as_text(word: str) -> str:
    """Return `word` with U+FFFD for bytes that are no UTF-8: no name in Latin-1 stops a kill."""
    return "".join("\ufffd" if "\ud800" <= char <= "\udfff" else char for char in word)


def report(failure: CommandFailed, *, as_json: bool) -> None:
    """Print why the command ended, and the way out."""
    if as_json:
        click.echo(json.dumps(failure.to_plain(), indent=2))
        return
    reason = f" [{failure.reason}]" if failure.reason else ""
    click.echo(f"haltline: {failure.message}{reason}", err=True)
    if failure.way_out:
        click.echo(f"  Way out: {failure.way_out}", err=True)

"""The command `haltline`: its commands, and the one place where a command ends badly.

Rules:
- Exit codes: 0 approved or ok, 1 denied or active, 2 usage, 3 unreachable.
- A refusal goes to stderr with its way out; with `--json` it is one JSON value on stdout.
"""

import json
import sys

import click

from sidecar.cli.check import check
from sidecar.cli.configuration import config
from sidecar.cli.failures import CommandFailed, Exit
from sidecar.cli.orders import account, orders, release
from sidecar.cli.safety import safety
from sidecar.cli.serve import serve
from sidecar.cli.starting import ease, reset
from sidecar.cli.stopping import kill
from sidecar.cli.watch import watch


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def haltline() -> None:
    """Trading safety: kill switch, circuit breaker and position limits, asked before every order.

    Stopping needs no secret; starting again needs KILL_SWITCH_SECRET (or KILL_SWITCH_RESET_SECRET)
    in the environment. Exit codes: 0 approved or ok, 1 denied or active, 2 usage, 3 unreachable.
    """


for _command in (serve, safety, kill, reset, ease, orders, release, account, watch, check, config):
    haltline.add_command(_command)


def main() -> None:
    """Run one command and exit with its code."""
    try:
        haltline(standalone_mode=False)
    except CommandFailed as failure:
        report(failure, as_json="--json" in sys.argv)
        sys.exit(failure.code)
    except click.ClickException as problem:
        problem.show()
        sys.exit(Exit.USAGE)
    except (click.Abort, KeyboardInterrupt):
        click.echo("interrupted", err=True)
        sys.exit(Exit.DENIED)


def report(failure: CommandFailed, *, as_json: bool) -> None:
    """Print why the command ended, and the way out."""
    if as_json:
        click.echo(json.dumps(failure.to_plain(), indent=2))
        return
    reason = f" [{failure.reason}]" if failure.reason else ""
    click.echo(f"haltline: {failure.message}{reason}", err=True)
    if failure.way_out:
        click.echo(f"  Way out: {failure.way_out}", err=True)

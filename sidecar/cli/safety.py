"""`haltline safety`: what is stopped, why, and how to start it again.

Rules:
- With the sidecar down it reads the data directory, changes nothing there, and says so.
- Exit code 1 while anything is stopped, 3 where nothing is but the sidecar is down: only 0 means
  that trading goes on.
"""

import click

from sidecar.cli.connection import connect
from sidecar.cli.failures import CommandFailed, Exit
from sidecar.cli.offline import read_stopped
from sidecar.cli.options import Common, common_options, to_plain
from sidecar.cli.status_text import details, is_stopped, safety_block


@click.command()
@common_options
def safety(common: Common) -> None:
    """Print the status of the three layers; exit code 1 while anything is stopped."""
    opening = ""
    try:
        with connect(common.target, common.timeout_seconds, common.tls) as connection:
            status = connection.status()
    except CommandFailed as failure:
        if failure.code is not Exit.UNREACHABLE or common.is_target_given:
            raise
        stopped = read_stopped(common.directory, failure)
        status, opening = stopped.status, stopped.opening
    text = f"{safety_block(status)}\n{opening}{details(status)}"
    plain = to_plain(status) | {"is_sidecar_running": not opening}
    common.print(text, plain)
    if is_stopped(status):
        raise SystemExit(Exit.DENIED)
    if opening:
        raise SystemExit(Exit.UNREACHABLE)

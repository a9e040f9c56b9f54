"""`haltline config`: check a file, print the defaults, show what is in force."""

from dataclasses import asdict
from pathlib import Path

import click
from haltline.v1 import config_pb2

from sidecar.cli.connection import connect
from sidecar.cli.failures import Exit
from sidecar.cli.options import Common, common_options, to_plain
from sidecar.config import (
    ConfigurationError,
    config_hash,
    load,
    print_defaults,
    print_reference,
    to_thresholds,
)


@click.group()
def config() -> None:
    """Check a configuration file, print the defaults, show what is in force."""


@config.command("check")
@common_options
@click.argument("file", type=click.Path(path_type=Path))
def check_file(common: Common, *, file: Path) -> None:
    """Say everything that is wrong with FILE, or its hash; exit code 2 on any fault."""
    try:
        configuration = load(file)
    except ConfigurationError as problem:
        faults = [asdict(fault) for fault in problem.faults]
        common.print(str(problem), {"file": str(file), "faults": faults})
        raise SystemExit(Exit.USAGE) from problem
    digest = config_hash(to_thresholds(configuration))
    plain = {"file": str(file), "faults": [], "config_hash": digest}
    common.print(f"{file}: ok, hash {digest}", plain)


@config.command("defaults")
@common_options
@click.option("--markdown", is_flag=True, help="As the page docs/configuration.md.")
def defaults(common: Common, *, markdown: bool) -> None:
    """Print every key with its default, as a commented file."""
    text = print_reference() if markdown else print_defaults()
    common.print(text.removesuffix("\n"), {"text": text})


@config.command("show")
@common_options
def show(common: Common) -> None:
    """Print the configuration a running sidecar decides by."""
    with connect(common.target, common.timeout_seconds) as connection:
        answer = connection.call(connection.operator.GetConfig, config_pb2.GetConfigRequest())
    text = f"# in force at {common.target}, hash {answer.config_hash}\n{answer.toml}"
    common.print(text.removesuffix("\n"), to_plain(answer))

"""`haltline serve`: run a sidecar until it is told to stop.

Rules:
- What was not said is filled in here, from the name and the environment, and nowhere later.
- The data directory is never the working directory.
"""

import asyncio
import logging
import os
import time
from decimal import Decimal
from pathlib import Path
from typing import Final

import click
import uvloop

from sidecar.auth import Secrets, SecretsError
from sidecar.cli.compose import Plan, run
from sidecar.cli.failures import CommandFailed, Exit
from sidecar.cli.hangups import hold
from sidecar.cli.json_logs import Speaker
from sidecar.cli.key_files import judge_key_file
from sidecar.cli.logs import begin_logging
from sidecar.cli.places import (
    DEFAULT_HTTP,
    DEFAULT_NAME,
    DEFAULT_TCP,
    SOCKET_PATH_BYTES_MAX,
    data_directory,
    socket_path,
)
from sidecar.config import Configuration, ConfigurationError, load
from sidecar.core.numbers import is_name, parse_decimal
from sidecar.outgoing import Target, TargetsError, read_targets
from sidecar.telemetry.environment import SERVICE_NAME_DEFAULT, read_environment
from sidecar.telemetry.token import ScrapeToken
from sidecar.webhook_secrets import WebhookSecrets

LOG: Final = logging.getLogger("sidecar.serve")


@click.command()
@click.option("--config", "file", type=click.Path(path_type=Path), help="A TOML file.")
@click.option("--name", default=DEFAULT_NAME, show_default=True, help="Names this sidecar.")
@click.option(
    "--data-dir", type=click.Path(readable=False, path_type=Path), help="Where it remembers."
)
@click.option("--listen", multiple=True, help="unix:PATH or HOST:PORT; repeatable.")
@click.option("--http", "http_address", help="HOST:PORT of health, webhooks and the page.")
@click.option("--no-http", is_flag=True, help="Serve no HTTP.")
@click.option(
    "--http-behind-proxy",
    "is_behind_proxy",
    is_flag=True,
    help="Plain HTTP, from the proxies in [http] trusted_hosts alone.",
)
@click.option("--equity", help="Equity to start with, while the store has never known one.")
@click.option("--existing", is_flag=True, help="Refuse to make a new store.")
@click.option("--assume-flat", is_flag=True, help="Take the account as holding nothing.")
@click.option(
    "--log-format",
    type=click.Choice(["text", "json"]),
    default="text",
    show_default=True,
    help="json: one object a line, with the ids of the trace it belongs to.",
)
@click.option(
    "--clock",
    "clock_kind",
    type=click.Choice(["wall", "driven"]),
    default="wall",
    show_default=True,
    help="driven: replays only; the calls say what time it is.",
)
def serve(  # noqa: PLR0913 - one argument for each option
    *,
    file: Path | None,
    name: str,
    data_dir: Path | None,
    listen: tuple[str, ...],
    http_address: str | None,
    no_http: bool,
    is_behind_proxy: bool,
    equity: str | None,
    existing: bool,
    assume_flat: bool,
    clock_kind: str,
    log_format: str,
) -> None:
    """Run a sidecar; prints one line `ready ...`. SIGTERM drains and stops it, SIGHUP
    has it read its file again.
    """
    hold()
    otlp = read_environment(os.environ)
    speaker = Speaker(service=otlp.service_name or SERVICE_NAME_DEFAULT, name=name)
    begin_logging(speaker if log_format == "json" else None)
    if http_address is not None and no_http:
        raise click.UsageError("--http and --no-http: give one")
    configuration = _read_configuration(file)
    _judge_key(configuration)
    directory = (data_dir or data_directory(_read_name(name), os.environ)).absolute()
    addresses = listen or configuration.server.listen or _default_addresses(name, directory)
    if not no_http:
        http_address = http_address or configuration.http.listen or _default_http(name)
    if is_behind_proxy and http_address is None:
        raise click.UsageError("--http-behind-proxy: give --http HOST:PORT too")
    plan = Plan(
        name=name,
        directory=directory,
        configuration=configuration,
        # A reload reads the very file of the start, wherever the process stands by then.
        configuration_file=None if file is None else file.absolute(),
        addresses=tuple(addresses),
        http_address=http_address,
        is_behind_proxy=is_behind_proxy,
        clock_kind="driven" if clock_kind == "driven" else "wall",
        equity=_read_equity(equity) if equity is not None else configuration.account.equity,
        must_exist=existing,
        is_assumed_flat=assume_flat,
        secrets=_read_secrets(),
        webhook_secrets=_read_webhook_secrets(),
        targets=_read_targets(configuration),
        started_at_ns=time.time_ns(),
        otlp=otlp,
        speaker=speaker,
        scrape_token=_read_scrape_token(),
    )
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        code = runner.run(run(plan))
    if code:
        raise SystemExit(code)


def _read_configuration(file: Path | None) -> Configuration:
    if file is None:
        return Configuration()
    try:
        return load(file)
    except ConfigurationError as problem:
        raise CommandFailed(
            Exit.USAGE,
            str(problem),
            reason="CONFIGURATION",
            way_out=f"mend the file; `haltline config check {file}` reads it without starting",
        ) from problem


def _judge_key(configuration: Configuration) -> None:
    """Say that others may read the private key. Raises CommandFailed where they could write it."""
    tls = configuration.server.tls
    warning = "" if tls is None else judge_key_file(Path(tls.key_file))
    if warning:
        LOG.warning("%s", warning)


def _read_name(name: str) -> str:
    if not is_name(name) or "/" in name or name.startswith("."):
        raise click.UsageError(f"--name: must be visible ASCII without a slash, was {name!r}")
    return name


def _read_equity(text: str) -> Decimal:
    equity = parse_decimal(text)
    if equity is None or equity <= 0:
        raise click.UsageError(f"--equity: must be a decimal > 0 such as 100000, was {text!r}")
    return equity


def _read_secrets() -> Secrets:
    try:
        return Secrets.from_environment(os.environ)
    except SecretsError as problem:
        raise CommandFailed(Exit.USAGE, str(problem), reason="SECRETS") from problem


def _read_targets(configuration: Configuration) -> tuple[Target, ...]:
    try:
        return read_targets(configuration.outgoing, os.environ)
    except TargetsError as problem:
        raise CommandFailed(Exit.USAGE, str(problem), reason="OUTGOING") from problem


def _default_http(name: str) -> str | None:
    return DEFAULT_HTTP if name == DEFAULT_NAME else None


def _read_scrape_token() -> ScrapeToken:
    try:
        return ScrapeToken.from_environment(os.environ)
    except SecretsError as problem:
        raise CommandFailed(Exit.USAGE, str(problem), reason="SECRETS") from problem


def _read_webhook_secrets() -> WebhookSecrets:
    try:
        return WebhookSecrets.from_environment(os.environ)
    except SecretsError as problem:
        raise CommandFailed(Exit.USAGE, str(problem), reason="SECRETS") from problem


def _default_addresses(name: str, directory: Path) -> tuple[str, ...]:
    """Return the directory's socket, and for `default` its port too."""
    path = socket_path(directory)
    length = len(os.fsencode(path))
    if length > SOCKET_PATH_BYTES_MAX:
        raise CommandFailed(
            Exit.USAGE,
            f"{path}: the path of a socket is at most {SOCKET_PATH_BYTES_MAX} bytes, is {length}",
            reason="ADDRESS",
            way_out="give a shorter --data-dir, or --listen unix:PATH",
        )
    unix = f"unix:{path}"
    return (unix, DEFAULT_TCP) if name == DEFAULT_NAME else (unix,)

"""Options every command takes, and how a command prints.

Rules:
- `--json` prints one JSON value on stdout and nothing else there.
- Text that came from somebody else is printed without its control characters.
"""

import functools
import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Concatenate, Final, ParamSpec

import click
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message
from haltline.tls import Tls

from sidecar.cli.places import DEFAULT_NAME, data_directory, default_target
from sidecar.cli.tls_options import AskedTls, tls_options

TIMEOUT_SECONDS_DEFAULT: Final = 5.0
COUNT: Final = click.IntRange(min=0, max=2**64 - 1)
"""An epoch or a sequence, as the contract carries it."""
Parameters = ParamSpec("Parameters")


@dataclass(frozen=True, slots=True, kw_only=True)
class Common:
    """What the person said about which sidecar, and how to print."""

    target: str
    directory: Path
    is_target_given: bool
    as_json: bool
    timeout_seconds: float
    tls: Tls | None = None

    def print(self, text: str, plain: object) -> None:
        """Print `text` for people, or `plain` for programs."""
        click.echo(json.dumps(plain, indent=2) if self.as_json else text)


def common_options(
    command: Callable[Concatenate[Common, Parameters], None],
) -> Callable[Parameters, None]:
    """Give a command the options that say which sidecar and how, as its first argument."""

    @click.option("--target", envvar="HALTLINE_TARGET", help="unix:PATH or HOST:PORT.")
    @click.option("--name", default=DEFAULT_NAME, show_default=True, help="The sidecar's name.")
    @click.option(
        "--data-dir",
        type=click.Path(readable=False, path_type=Path),  # who reads it says what is wrong, better
        help="Its data directory.",
    )
    @click.option(
        "--timeout",
        "timeout_seconds",
        type=click.FloatRange(min=0, min_open=True, max=600),
        default=TIMEOUT_SECONDS_DEFAULT,
        show_default=True,
        help="Seconds to wait for an answer.",
    )
    @click.option("--json", "as_json", is_flag=True, help="Print one JSON value.")
    @tls_options
    @functools.wraps(command)
    def run(
        target: str | None,
        name: str,
        data_dir: Path | None,
        timeout_seconds: float,
        asked_tls: AskedTls,
        as_json: bool,  # noqa: FBT001 - click passes by keyword
        *args: Parameters.args,
        **kwargs: Parameters.kwargs,
    ) -> None:
        directory = (data_dir or data_directory(name, os.environ)).absolute()
        found = target or (
            f"unix:{directory}/run/haltline.sock" if data_dir else default_target(name, directory)
        )
        common = Common(
            target=found,
            directory=directory,
            is_target_given=target is not None,
            as_json=as_json,
            timeout_seconds=timeout_seconds,
            tls=asked_tls.for_target(found),
        )
        command(common, *args, **kwargs)

    return run


def to_plain(message: Message) -> dict[str, object]:
    """Return a message as JSON-able values, every field present, names as in the contract."""
    return MessageToDict(
        message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )


def printable(text: str) -> str:
    """Return `text` with everything a terminal could obey written out instead."""
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode() for char in text
    )

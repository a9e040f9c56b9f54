"""`haltline config`: check a file, print the defaults, show what is in force, reload the file.

Rules:
- A reload is signed where a secret is in the environment; without one it can only tighten.
- What the file on disk would change is asked of the sidecar: it alone knows which file it reads.
"""

from dataclasses import asdict
from pathlib import Path

import click
from haltline.v1 import config_pb2

from sidecar.cli.connection import Connection, connect, has_secret
from sidecar.cli.failures import CommandFailed, Exit
from sidecar.cli.options import Common, common_options, printable, to_plain
from sidecar.cli.send_test import send_test
from sidecar.cli.starting import stands_now
from sidecar.cli.target_words import target_words
from sidecar.cli.words import word
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
    """Check a configuration file, print the defaults, show what is in force, reload it."""


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
    targets = [target_words(*item) for item in sorted(configuration.outgoing.items())]
    plain = {"file": str(file), "faults": [], "config_hash": digest, "outgoing": targets}
    lines = [f"{file}: ok, hash {digest}", *(f"  {words}" for words in targets)]
    common.print("\n".join(lines), plain)


config.add_command(send_test)


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
    """Print the configuration a running sidecar decides by, and whether its file says the same."""
    with connect(common.target, common.timeout_seconds, common.tls) as connection:
        answer = connection.call(connection.operator.GetConfig, config_pb2.GetConfigRequest())
        plain, line = _ask_about_file(connection)
    lines = [f"# in force at {common.target}, hash {answer.config_hash}", f"# {line}", answer.toml]
    common.print("\n".join(lines).removesuffix("\n"), {**to_plain(answer), "file": plain})


def _ask_about_file(connection: Connection) -> tuple[dict[str, object], str]:
    """Return what the sidecar's file would change now, for programs and in a line."""
    request = config_pb2.ReloadConfigRequest(dry_run=True)
    try:
        answer = connection.call(connection.operator.ReloadConfig, request)
    except CommandFailed as failed:
        return failed.to_plain(), f"its file was not compared: {failed.message.splitlines()[0]}"
    if not answer.changes:
        return to_plain(answer), "its file says the same"
    count = len(answer.changes) + answer.unlisted_changes_count
    line = f"its file differs in {count} keys: `haltline config reload --dry-run` names them"
    return to_plain(answer), line


@config.command("reload")
@common_options
@click.option("--dry-run", is_flag=True, help="Say what would change, and change nothing.")
@click.option("--by", "by", default="", help="Who reloads it.")
@click.option("--reason", default="", help="Why.")
@click.option("--expect", help="The hash of the file you looked at; default: as just read.")
def reload(common: Common, *, dry_run: bool, by: str, reason: str, expect: str | None) -> None:
    """Have a running sidecar read its file again; what loosens needs its secret."""
    if not dry_run and not (by.strip() and reason.strip()):
        raise click.UsageError("--by and --reason: give both (or --dry-run)")
    with connect(common.target, common.timeout_seconds, common.tls) as connection:
        if dry_run:
            request = config_pb2.ReloadConfigRequest(dry_run=True)
            answer = connection.call(connection.operator.ReloadConfig, request)
        else:
            request = config_pb2.ReloadConfigRequest(
                reloaded_by=by,
                reason=reason,
                expected_config_hash=_hash_on_disk(connection) if expect is None else expect,
            )
            answer = _reload(connection, request)
    common.print("\n".join(_reload_lines(answer, is_dry_run=dry_run)), to_plain(answer))


def _hash_on_disk(connection: Connection) -> str:
    """Return the hash of the file as it is; that of no file where it cannot be used."""
    request = config_pb2.ReloadConfigRequest(dry_run=True)
    try:
        return connection.call(connection.operator.ReloadConfig, request).config_hash
    except CommandFailed as failed:
        if failed.code is Exit.UNREACHABLE:
            raise
        return ""  # the reload itself is refused for the same, and the sidecar notes that one


def _reload(
    connection: Connection, request: config_pb2.ReloadConfigRequest
) -> config_pb2.ReloadConfigResponse:
    method = connection.operator.ReloadConfig
    if not has_secret():
        return connection.call(method, request)
    store_id = connection.status().store_id
    return connection.call_as_operator(method, "ReloadConfig", request, store_id)


def _reload_lines(answer: config_pb2.ReloadConfigResponse, *, is_dry_run: bool) -> list[str]:
    if not answer.changes:
        return [f"The file says what is in force already, hash {answer.config_hash}"]
    old, new = answer.previous_config_hash, answer.config_hash
    lines = [f"{'Would change' if is_dry_run else 'Configuration in force'}: {new}, was {old}"]
    lines += [
        f"  {word(change, 'direction')}: {printable(change.key)}: {printable(change.before)} -> "
        f"{printable(change.after)} ({change.why})"
        for change in answer.changes
    ]
    if answer.unlisted_changes_count:
        lines.append(f"  and {answer.unlisted_changes_count} more")
    if is_dry_run:
        lines.append(_needed(answer))
        return lines
    if answer.durable:
        lines.append(f"  Record {answer.sequence} in store {answer.store_id}")
    else:
        lines.append("  NOT DURABLE: it holds in memory, and the disk refused to remember it")
    return [*lines, *stands_now(answer.status)]


def _needed(answer: config_pb2.ReloadConfigResponse) -> str:
    if answer.needs_restart:
        return "  Needs a restart: a reload would be refused"
    if answer.needs_proof:
        return "  Needs operator proof: not everything tightens"
    return "  Needs no proof: everything tightens"

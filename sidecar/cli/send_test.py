"""`haltline config send-test`: whether webhooks arrive, before the night they are needed.

Rule: it sends what a sidecar on the same file would, from here and with the variables set here.
"""

import asyncio
import os
import secrets
import time
from pathlib import Path
from typing import Final

import click

from sidecar.cli.failures import CommandFailed, Exit
from sidecar.cli.options import Common, common_options
from sidecar.config import ConfigurationError, load
from sidecar.outgoing import Target, TargetsError, read_targets
from sidecar.outgoing.posting import Poster
from sidecar.outgoing.retries import Answer, Outcome
from sidecar.outgoing.sender import headers_of

_SECOND_NS: Final = 1_000_000_000


@click.command("send-test")
@common_options
@click.argument("file", type=click.Path(path_type=Path))
@click.argument("names", nargs=-1)
def send_test(common: Common, *, file: Path, names: tuple[str, ...]) -> None:
    """Send a test message to the targets of FILE, or to NAMES alone; exit code 1 if one fails."""
    targets = _targets(file, names)
    answers = asyncio.run(_send_all(targets))
    lines = [
        f"webhook {target.name}: {answer.outcome.value} ({answer.detail})"
        for target, answer in zip(targets, answers, strict=True)
    ]
    plain = {
        target.name: {"outcome": answer.outcome.value, "detail": answer.detail}
        for target, answer in zip(targets, answers, strict=True)
    }
    common.print("\n".join(lines), plain)
    if any(answer.outcome is not Outcome.DELIVERED for answer in answers):
        raise SystemExit(Exit.DENIED)


def _targets(file: Path, names: tuple[str, ...]) -> list[Target]:
    try:
        sections = load(file).outgoing
        unknown = [name for name in names if name not in sections]
        if unknown or not sections:
            there = ", ".join(sorted(sections)) or "none"
            raise click.UsageError(f"{file}: no target {', '.join(unknown)}; there are: {there}")
        return list(read_targets({name: sections[name] for name in names or sections}, os.environ))
    except ConfigurationError as problem:
        raise CommandFailed(Exit.USAGE, str(problem), reason="CONFIGURATION") from problem
    except TargetsError as problem:
        raise CommandFailed(Exit.USAGE, str(problem), reason="OUTGOING") from problem


async def _send_all(targets: list[Target]) -> list[Answer]:
    poster = Poster()
    return await asyncio.gather(*(_send(poster, target) for target in targets))


async def _send(poster: Poster, target: Target) -> Answer:
    now = time.time_ns()
    body = target.trial_body(now)
    message_id = f"msg_test_{secrets.token_hex(12)}"
    return await poster.post(target, body, headers_of(target, message_id, now // _SECOND_NS, body))

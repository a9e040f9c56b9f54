"""`haltline audit`: verify, export, follow and drop the journal.

Rules:
- A fault names the first sequence that cannot be believed and what that means; exit code 1.
- An export says everything a verifier needs but one thing: the public key that the reader trusts.
- With the sidecar down the data directory is read, unchanged, and that is said.
"""

import contextlib
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Final

import click

from sidecar.audit.keys import AuditKeyError, read_public_key
from sidecar.audit.verify import AuditFault, Expected, Verified, Verifier
from sidecar.cli.audit_drop import drop_records
from sidecar.cli.audit_file import new_file, write_export
from sidecar.cli.audit_source import Source, from_file, open_source
from sidecar.cli.audit_tail import tail_records
from sidecar.cli.failures import CommandFailed, Exit
from sidecar.cli.options import COUNT, Common, common_options

_ROOT_DIGITS_COUNT: Final = 64


@click.group()
def audit() -> None:
    """Verify, export and follow the journal of decisions."""


@audit.command()
@common_options
@click.option("--expect", metavar="SIZE:ROOT", help="A receipt you kept.")
@click.option("--file", type=click.Path(path_type=Path), help="An exported file.")
@click.option("--public-key", type=click.Path(path_type=Path), help="audit.pub, kept elsewhere.")
def verify(
    common: Common, *, expect: str | None, file: Path | None, public_key: Path | None
) -> None:
    """Prove chain, tree and signed heads; exit code 1 where something does not hold."""
    expected = None if expect is None else _read_expected(expect)
    key = None if public_key is None else _read_key(public_key)
    with _faults_told(), _source(common, file) as source:
        verifier = Verifier(source.opening, public_key=key, expected=expected)
        verified = verifier.take_all(source.items)
    common.print(_verified_text(verified, source), _verified_plain(verified, source))


@audit.command()
@common_options
@click.option("--output", type=click.Path(path_type=Path), help="A new file; absent: stdout.")
def export(common: Common, *, output: Path | None) -> None:
    """Write every record and signed head as JSON lines, enough to verify elsewhere."""
    with _faults_told(), open_source(common) as source, new_file(output) as file:
        end = write_export(source.opening, source.items, file)
    click.echo(
        f"exported records {source.opening.base.size + 1} to {end.tree.size}, {source.described}\n"
        f"receipt {end.tree.size}:{end.tree.root.hex()}",
        err=True,
    )


@audit.command()
@common_options
@click.option("--from", "from_sequence", type=COUNT, help="The first record.")
@click.option("--lines", type=COUNT, default=20, show_default=True, help="How many of the newest.")
@click.option("--no-follow", is_flag=True, help="End at the newest record.")
def tail(common: Common, *, from_sequence: int | None, lines: int, no_follow: bool) -> None:
    """Print the newest records, then each as it comes; with the sidecar down those it left."""
    with _faults_told():
        tail_records(common, from_sequence, lines, is_following=not no_follow)


@audit.command()
@common_options
@click.option("--before", type=COUNT, required=True, help="The first record that stays.")
@click.option(
    "--export", "file", type=click.Path(path_type=Path), required=True, help="A new file."
)
@click.option("--by", required=True, help="Who drops.")
@click.option("--reason", required=True, help="Why.")
@click.option("--audit-key", type=click.Path(path_type=Path), help="Absent: the directory's.")
def drop(
    common: Common, *, before: int, file: Path, by: str, reason: str, audit_key: Path | None
) -> None:
    """Export the oldest records of a stopped sidecar, prove the file, then forget them."""
    with _faults_told():
        text, plain = drop_records(
            common.directory, before, file, by=by, reason=reason, key_path=audit_key
        )
    common.print(text, plain)


def _source(common: Common, file: Path | None) -> AbstractContextManager[Source]:
    return open_source(common) if file is None else from_file(file)


@contextlib.contextmanager
def _faults_told() -> Iterator[None]:
    """Turn what is wrong with the journal into the command's end."""
    try:
        yield
    except AuditFault as fault:
        raise CommandFailed(
            Exit.DENIED,
            f"sequence {fault.sequence}: {fault.what}",
            reason="AUDIT_BROKEN",
            way_out=f"{fault.meaning}. Keep this directory or file as it is; compare with an "
            "export, a backup or a receipt kept elsewhere",
        ) from None


def _read_expected(text: str) -> Expected:
    size, _, root = text.partition(":")
    is_size = size.isascii() and size.isdigit() and int(size) > 0
    try:
        expected = Expected(int(size) if is_size else 0, bytes.fromhex(root))
    except ValueError:
        is_size = False
    if not is_size or len(root) != _ROOT_DIGITS_COUNT:
        raise click.UsageError(
            f"--expect: must be SIZE:ROOT of a receipt, ROOT in {_ROOT_DIGITS_COUNT} hexadecimal "
            f"digits, was {text!r}"
        )
    return expected


def _read_key(path: Path) -> bytes:
    try:
        return read_public_key(path)
    except AuditKeyError as error:
        raise CommandFailed(
            Exit.USAGE, str(error), reason="PUBLIC_KEY", way_out="give the sidecar's audit.pub"
        ) from error


def _verified_text(verified: Verified, source: Source) -> str:
    tree = verified.tree
    unsigned = tree.size - verified.signed_size
    lines = [
        f"VERIFIED: records {verified.first_sequence} to {tree.size} of store {verified.store_id}",
        f"  {source.described}",
    ]
    if verified.first_sequence > 1:
        lines.append(
            f"  Records up to {verified.first_sequence - 1} were dropped; their signed head holds"
        )
    if verified.signed_size:
        lines.append(
            f"  {verified.heads_count} signed heads hold, the last over {verified.signed_size} "
            f"records at {verified.signed_at}"
        )
        if unsigned:
            lines.append(f"  The {unsigned} records after it are chained, not signed yet")
    else:
        lines.append("  UNSIGNED: nothing here is signed; the chain alone proves little")
    if not verified.is_key_given:
        lines.append(
            "  The public key is the source's own word: --public-key FILE takes one kept elsewhere"
        )
    if verified.is_expected_met:
        lines.append("  Your receipt holds: nothing before it was rewritten or cut")
    else:
        lines.append(
            "  A tail cut or a roll-back shows only against a receipt kept: --expect SIZE:ROOT"
        )
    lines.append(f"receipt {tree.size}:{tree.root.hex()}")
    return "\n".join(lines)


def _verified_plain(verified: Verified, source: Source) -> dict[str, object]:
    return {
        "is_verified": True,
        "store_id": verified.store_id,
        "first_sequence": verified.first_sequence,
        "size": verified.tree.size,
        "root": verified.tree.root.hex(),
        "chain_hash": verified.tree.chain_hash.hex(),
        "heads_count": verified.heads_count,
        "signed_size": verified.signed_size,
        "signed_at": verified.signed_at,
        "public_key": verified.public_key.hex(),
        "is_public_key_given": verified.is_key_given,
        "is_expected_met": verified.is_expected_met,
        "is_sidecar_running": source.is_running,
        "source": source.described,
    }

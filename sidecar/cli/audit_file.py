"""An exported file: new, whole and synced, or not there at all."""

import contextlib
import os
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

from sidecar.audit.items import End, Item, Opening
from sidecar.audit.lines import encode_item, encode_opening
from sidecar.audit.verify import AuditFault
from sidecar.cli.failures import CommandFailed, Exit


@contextlib.contextmanager
def new_file(output: Path | None) -> Iterator[BinaryIO]:
    """Give stdout, or a file that was not there; one that could not be finished is removed."""
    if output is None:
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    try:
        descriptor = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        raise CommandFailed(
            Exit.USAGE,
            f"{output}: {error.strerror or error}",
            reason="FILE",
            way_out="name a file that is not there yet",
        ) from error
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        output.unlink(missing_ok=True)
        raise


def write_export(opening: Opening, items: Iterable[Item], file: BinaryIO) -> End:
    """Write a whole export and return its end. Raises CommandFailed, AuditFault."""
    file.write(encode_opening(opening))
    for item in items:
        try:
            line = encode_item(item)
        except ValueError as error:
            sequence = getattr(item, "sequence", getattr(item, "size", 0))
            raise AuditFault(sequence, str(error), "it was not written by a sidecar") from None
        file.write(line)
        if isinstance(item, End):
            return item
    raise AuditFault(opening.base.size + 1, "the source has no end", "it was cut")

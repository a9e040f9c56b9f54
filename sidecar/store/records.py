"""What is true of records in every store: their order, their bounds, their chain.

Rules:
1. Sequences are contiguous and start at 1.
2. hash(n) = SHA-256(hash(n-1), n as eight big-endian bytes, record n); hash(0) is 32 zero bytes.
   A record changed, moved, left out or put in breaks every hash from there on.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from sidecar.store.errors import StoreLimitError, StoreSequenceError
from sidecar.store.store import RECORD_BYTES_MAX

EMPTY_CHAIN_HASH = bytes(32)
SEQUENCE_BYTES_COUNT = 8


def chain_hash_after(previous: bytes, sequence: int, record: bytes) -> bytes:
    """Return the chain's hash after `record`, 32 bytes."""
    return hashlib.sha256(
        previous + sequence.to_bytes(SEQUENCE_BYTES_COUNT, "big") + record
    ).digest()


def chain_records(
    records: Sequence[tuple[int, bytes]], last_sequence: int, chain_hash: bytes
) -> list[tuple[int, bytes, bytes]]:
    """Return (sequence, hash of the chain up to it, record) of `records`, checked and in order.

    Raises StoreSequenceError or StoreLimitError unless all of them may follow `last_sequence`.
    """
    rows = []
    for sequence, record in records:
        last_sequence += 1
        if sequence != last_sequence:
            raise StoreSequenceError(f"records: expected sequence {last_sequence}, was {sequence}")
        if len(record) > RECORD_BYTES_MAX:
            raise StoreLimitError(
                f"record {sequence}: must be at most {RECORD_BYTES_MAX} bytes, was {len(record)}"
            )
        chain_hash = chain_hash_after(chain_hash, sequence, record)
        rows.append((sequence, chain_hash, record))
    return rows


def refuse_head_unless_durable(size: int, durable_sequence: int) -> None:
    """Raise StoreSequenceError for a signed head over records that a loss of power could take."""
    if not 0 < size <= durable_sequence:
        raise StoreSequenceError(
            f"signed head: must be over 1 to {durable_sequence} records, the power-durable ones, "
            f"was {size}"
        )

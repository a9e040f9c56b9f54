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


def check_records(records: Sequence[tuple[int, bytes]], last_sequence: int) -> None:
    """Raise StoreSequenceError or StoreLimitError unless `records` may follow `last_sequence`."""
    expected = last_sequence
    for sequence, record in records:
        expected += 1
        if sequence != expected:
            raise StoreSequenceError(f"records: expected sequence {expected}, was {sequence}")
        if len(record) > RECORD_BYTES_MAX:
            raise StoreLimitError(
                f"record {sequence}: must be at most {RECORD_BYTES_MAX} bytes, was {len(record)}"
            )

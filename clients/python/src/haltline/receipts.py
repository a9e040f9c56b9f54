"""Receipts of the sidecar's journal, as a line of text to be kept elsewhere.

Rules:
- The text is what `haltline audit verify --expect` takes: SIZE:ROOT, the root in lower-case hex.
- An answer without a receipt has none: empty, never made up.
"""

from typing import Any

from haltline.v1 import audit_pb2


def receipt_text(answer: Any) -> str:  # noqa: ANN401 -- any message that may carry a receipt
    """Return the receipt in an answer or status; empty where it carries none."""
    receipt = getattr(answer, "receipt", None)
    if not isinstance(receipt, audit_pb2.Receipt) or not answer.HasField("receipt"):
        return ""
    return f"{receipt.size}:{receipt.root.hex()}"

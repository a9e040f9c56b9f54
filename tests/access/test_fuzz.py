"""Ten thousand inputs of garbage: nothing breaks, nothing is approved that should not (issue 4)."""

from __future__ import annotations

import logging
import secrets
from pathlib import Path
from typing import Any, Final

import pytest
from haltline.v1 import order_pb2

from tests.access.fuzz import campaign, why_not
from tests.server.harness import an_order

COUNT: Final = 10_000


async def test_garbage_breaks_nothing_and_is_never_approved(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """No unhandled exception, no approval of garbage, and a kill is taken at the end (issue 4)."""
    seed = secrets.randbelow(2**32)
    print(f"fuzz: {COUNT} inputs, seed {seed} (make fuzz N={COUNT} SEED={seed} repeats them)")  # noqa: T201 - the seed of a random test
    outcome = await campaign(tmp_path, COUNT, seed)
    print(f"fuzz: {outcome}")  # noqa: T201 - the figures of the report
    assert not outcome.faults, "\n".join(outcome.faults[:20])
    errors = [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR]
    assert not errors, errors[:5]
    assert outcome.codes.total() == COUNT
    assert outcome.approvals, "nothing was approved: the inputs are not near enough to right ones"


@pytest.mark.parametrize(
    "changes",
    [
        {"order_id": ""},
        {"symbol": "A B"},
        {"strategy": "x" * 129},
        {"side": order_pb2.SIDE_UNSPECIFIED},
        {"side": 7},
        {"order_type": 0},
        {"quantity": "0"},
        {"quantity": "-1"},
        {"quantity": "NaN"},
        {"quantity": "1e5"},
        {"quantity": "1" * 21},
        {"limit_price": None},
        {"order_type": order_pb2.ORDER_TYPE_MARKET},
        {"order_type": order_pb2.ORDER_TYPE_STOP, "limit_price": None},
        {"reference_price": "x"},
        {"quantity": "301"},
    ],
)
def test_the_fuzzer_would_see_garbage_approved(changes: dict[str, Any]) -> None:
    """The judge of the fuzzer, which knows the specification and not our code, finds each fault."""
    assert not why_not(an_order())
    assert why_not(an_order(**changes))

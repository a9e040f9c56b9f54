"""Every call x every way in x every proof: who is let in, and that nobody else left a trace (S11).

The table is `table.py`, the ways in are `callers.py`. The expectation of a cell is computed here
from the role alone, by rules a person can read in one look.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any, Final

import grpc
import pytest
from google.protobuf.message import Message
from haltline.v1 import order_pb2

from sidecar.service import Role
from tests.access.callers import WAYS, Way, arrived, changes_since
from tests.access.table import SERVED_ERRORS, TABLE, Call, Who, calls, methods
from tests.server.harness import WAIT_SECONDS, Sidecar, call_error_of

SERVED: Final = "served"
NOT_ALLOWED: Final = "ROLE_NOT_ALLOWED"
NO_PROOF: Final = "OPERATOR_PROOF_REQUIRED"
WRONG_PROOF: Final = "OPERATOR_PROOF_WRONG"
PROOFS: Final = ("no proof", "a proof", "a wrong proof")
CELLS_MIN: Final = 900
"""What the table held when it was made; it only grows."""


def expected(who: Who, role: Role, proof: str) -> str:
    """Return how a call must end for whoever came with `role` and `proof`."""
    if who is Who.ANYONE:
        return SERVED
    if who in {Who.OPERATOR, Who.BOT_OR_PROOF}:
        if proof == "a wrong proof":
            return WRONG_PROOF
        if proof == "a proof" or role is Role.OPERATOR:
            return SERVED
    if who is Who.OPERATOR:
        return NO_PROOF
    return NOT_ALLOWED if role is Role.OBSERVER else SERVED


async def outcome_of(channel: grpc.aio.Channel, call: Call, metadata: Any) -> str:  # noqa: ANN401 - gRPC's own type has no name
    """Make one call and return how it ended: SERVED, or the reason it was refused."""
    method = call.descriptor
    try:
        async with asyncio.timeout(WAIT_SECONDS):
            answer = await _first_answer(channel, call, metadata)
    except grpc.aio.AioRpcError as error:
        reason = call_error_of(error).reason
        return SERVED if reason in SERVED_ERRORS else reason
    if isinstance(answer, order_pb2.CheckOrderStreamResponse) and answer.HasField("error"):
        return answer.error.reason
    assert answer is not None, f"{method.full_name} ended without an answer"
    return SERVED


async def _first_answer(channel: grpc.aio.Channel, call: Call, metadata: Any) -> Message | None:  # noqa: ANN401 - as above
    method = call.descriptor
    sides = [
        "stream" if is_streaming else "unary"
        for is_streaming in (method.client_streaming, method.server_streaming)
    ]
    make: Any = getattr(channel, "_".join(sides))
    stub = make(
        call.path,
        request_serializer=type(call.row.request).SerializeToString,
        response_deserializer=call.answer_kind.FromString,
    )
    request = iter([call.row.request]) if method.client_streaming else call.row.request
    running = stub(request, metadata=metadata)
    if not method.server_streaming:
        answer: Message = await running
        return answer
    found = await running.read()
    running.cancel()
    if found is grpc.aio.EOF:
        raise grpc.aio.AioRpcError(
            await running.code(), None, await running.trailing_metadata(), await running.details()
        )
    return found  # type: ignore[no-any-return] # what the stream yields


def proof_of(sidecar: Sidecar, call: Call, proof: str) -> tuple[tuple[str, str], ...]:
    """Return the metadata of one kind of proof for this very call."""
    if proof == "no proof":
        return ()
    changes = {"path": call.path}
    if proof == "a wrong proof":
        changes["secret"] = "another secret, just as long"
    return sidecar.proof("", call.row.request, **changes)


@pytest.mark.parametrize("proof", PROOFS)
@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.name)
async def test_a_call_is_served_to_whom_the_table_says(
    way: Way, proof: str, tmp_path: Path
) -> None:
    """Each call is served, or refused for exactly the reason of its cell (S1.1, S11).

    A refused call leaves no record but that it was tried (S13). A call that starts, releases or
    reports is never served to a role that may not, whatever the transport.
    """
    faults = []
    async with arrived(way, tmp_path) as (sidecar, channel):
        for call in calls():
            before = sidecar.store.last_sequence
            want = expected(call.row.who, way.role, proof)
            got = await outcome_of(channel, call, proof_of(sidecar, call, proof))
            if got != want:
                faults.append(f"{call.name}: {got}, must be {want}")
            if want != SERVED and changes_since(sidecar.store, before):
                faults.append(f"{call.name}: refused, and yet something was recorded")
    assert not faults, "\n".join(faults)


async def test_the_table_would_see_a_role_too_many(tmp_path: Path) -> None:
    """Were an observer taken for an operator, every call that asks for more would say so."""
    [way] = [each for each in WAYS if each.name == "mTLS observer"]
    seen = set()
    async with arrived(way, tmp_path) as (_, channel):
        for call in calls():
            want = expected(call.row.who, Role.OPERATOR, "no proof")
            if await outcome_of(channel, call, ()) != want:
                seen.add(call.name)
    assert seen == {call.name for call in calls() if call.row.who is not Who.ANYONE}


def test_every_call_has_its_row() -> None:
    """A call nobody thought about when it was added is found here (issue 4)."""
    missing = [
        method.full_name
        for method in methods()
        if method.name not in TABLE.get(method.containing_service.full_name, {})
    ]
    assert not missing, f"no row in tests/access/table.py: {missing}"
    served = {(method.containing_service.full_name, method.name) for method in methods()}
    rows = {(service, name) for service, table in TABLE.items() for name in table}
    assert rows <= served, f"rows of calls that are no more: {rows - served}"


def test_every_request_of_the_table_is_of_its_call() -> None:
    """A row asks with the message its call takes, so that a refusal is about who, not what."""
    for call in calls():
        assert call.row.request.DESCRIPTOR is call.descriptor.input_type, call.name


def test_the_table_has_grown_not_shrunk() -> None:
    """The size of the table, printed for whoever reports it."""
    cells = len(calls()) * len(WAYS) * len(PROOFS)
    print(f"access table: {len(calls())} calls x {len(WAYS)} ways x {len(PROOFS)} proofs = {cells}")  # noqa: T201 - the figure of the report
    assert cells >= CELLS_MIN

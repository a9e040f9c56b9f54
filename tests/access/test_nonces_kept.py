"""A proof used once stays used, whatever happens to the process (S11)."""

from __future__ import annotations

import asyncio
import signal
from dataclasses import replace
from pathlib import Path
from typing import Final

import grpc
from haltline.v1 import operator_pb2, status_pb2

from tests.access.proofs import Metadata, Proof
from tests.cli.running import SECRET, RunningSidecar, running
from tests.server.harness import WAIT_SECONDS, call_error_of

PATH: Final = "/haltline.v1.OperatorService/ResetKill"
REQUEST: Final = operator_pb2.ResetKillRequest(reset_by="tester", reason="flood")
COUNT: Final = 2_000
AT_ONCE: Final = 128


async def store_id_of(sidecar: RunningSidecar) -> str:
    """Return which store answers."""
    async with grpc.aio.insecure_channel(target_of(sidecar)) as channel:
        ask = channel.unary_unary(
            "/haltline.v1.SafetyService/GetStatus",
            request_serializer=status_pb2.GetStatusRequest.SerializeToString,
            response_deserializer=status_pb2.GetStatusResponse.FromString,
        )
        answer = await ask(status_pb2.GetStatusRequest(), timeout=WAIT_SECONDS)
    found: str = answer.status.store_id
    return found


def target_of(sidecar: RunningSidecar) -> str:
    """Return the address of its socket."""
    return f"unix:{sidecar.directory}/run/haltline.sock"


async def send_all(
    sidecar: RunningSidecar, proofs: list[Metadata], *, kill_after: int = COUNT + 1
) -> dict[Metadata, str]:
    """Send a reset with each proof; return how each ended: `served`, a reason, or `lost`.

    With the answer `kill_after` the process is killed; what is sent after that is lost.
    """
    ended: dict[Metadata, str] = {}
    waiting = iter(proofs)
    async with grpc.aio.insecure_channel(target_of(sidecar)) as channel:
        call = channel.unary_unary(
            PATH,
            request_serializer=operator_pb2.ResetKillRequest.SerializeToString,
            response_deserializer=operator_pb2.ResetKillResponse.FromString,
        )

        async def send() -> None:
            for metadata in waiting:
                if len(ended) > kill_after + AT_ONCE:
                    return
                try:
                    await call(REQUEST, metadata=metadata, timeout=6 * WAIT_SECONDS)
                except grpc.aio.AioRpcError as error:
                    is_ours = "haltline-error-bin" in dict(error.trailing_metadata() or ())
                    ended[metadata] = call_error_of(error).reason if is_ours else "lost"
                else:
                    ended[metadata] = "served"
                    if len(ended) == kill_after:
                        await asyncio.to_thread(sidecar.stop, signal.SIGKILL)

        await asyncio.gather(*(send() for _ in range(AT_ONCE)))
    return ended


async def test_a_used_proof_stays_used_over_kill_9(tmp_path: Path) -> None:
    """Of two thousand proofs, killed amid them, none that was acknowledged passes again (S11)."""
    with running(tmp_path / "d", "--equity", "100000") as sidecar:
        proof = Proof(
            audience=await store_id_of(sidecar),
            path=PATH,
            body=REQUEST.SerializeToString(),
            secret=SECRET,
        )
        proofs = [replace(proof, nonce=f"flood-{number:020}").metadata() for number in range(COUNT)]
        before = await send_all(sidecar, proofs, kill_after=COUNT // 2)
        used = [metadata for metadata, how in before.items() if how == "served"]
        assert len(used) >= COUNT // 2
        assert set(before.values()) <= {"served", "lost"}
        await asyncio.to_thread(sidecar.start)
        again = await send_all(sidecar, used)
        assert set(again.values()) == {"OPERATOR_PROOF_REPEATED"}
        print(f"nonce flood: {len(used)} acknowledged before kill -9, all refused after it")  # noqa: T201 - the figure of the report

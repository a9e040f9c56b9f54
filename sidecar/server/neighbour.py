"""Who already listens on a port we wanted: asked politely, with a short deadline."""

from __future__ import annotations

from typing import Final

import grpc
from haltline.v1 import status_pb2

from sidecar.addresses import TcpAddress

_DEADLINE_SECONDS: Final = 0.5


async def describe_neighbour(address: TcpAddress) -> str:
    """Return who listens there, as a clause; never raises for what the neighbour does."""
    channel = grpc.aio.insecure_channel(str(address))
    try:
        ask = channel.unary_unary(
            "/haltline.v1.SafetyService/GetStatus",
            request_serializer=status_pb2.GetStatusRequest.SerializeToString,
            response_deserializer=status_pb2.GetStatusResponse.FromString,
        )
        answer = await ask(status_pb2.GetStatusRequest(), timeout=_DEADLINE_SECONDS)
    except grpc.aio.AioRpcError:
        return "it is in use by another program, not yours to use, or no address of this machine"
    finally:
        await channel.close()
    status = answer.status
    return (
        f"a haltline sidecar {status.version} holds it, store {status.store_id}, "
        f"instance {status.instance_id}"
    )

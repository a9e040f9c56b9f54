"""What an operator calls, for asyncio: start again, ease, release, accept (S11).

Rules:
- Every call reads the store's id first and signs for that store. `store_id` pins the one meant.
- An answer is the contract's message; a refusal is CallFailed with the sidecar's own words.
- The secret shows nowhere.
"""

from collections.abc import Iterable
from types import TracebackType
from typing import Any, final

import grpc

from haltline import operator_requests as requests
from haltline.aio.guard import open_channel
from haltline.errors import CallFailed, read_rpc_error
from haltline.operator_requests import AnswerT, OperatorCall, Prover
from haltline.tls import TlsOption, credentials_of
from haltline.v1 import config_pb2, operator_pb2, status_pb2
from haltline.words import DrawdownKind


@final
class Operator:
    """Gives back what a stop took. Use it as a context manager, or close it.

    `secret` is the sidecar's KILL_SWITCH_SECRET (one of them while rotating); without it `tls`
    (or `credentials`) must hold a client certificate with the operator role, which is proof alone.
    """

    def __init__(
        self,
        target: str,
        *,
        secret: str | None = None,
        store_id: str = "",
        tls: TlsOption = None,
        credentials: grpc.ChannelCredentials | None = None,
        timeout_seconds: float = requests.TIMEOUT_SECONDS,
        channel: Any = None,  # noqa: ANN401 -- a grpc.aio.Channel, made elsewhere
    ) -> None:
        self._target = target
        credentials = credentials_of(tls, credentials)
        self._prover = Prover(secret=requests.secret_of(secret, credentials), store_id=store_id)
        self._timeout_seconds = timeout_seconds
        self._channel = channel or open_channel(target, credentials)
        self._is_channel_ours = channel is None

    def __repr__(self) -> str:
        return f"Operator({self._target!r})"

    async def close(self) -> None:
        """End the connection."""
        if self._is_channel_ours:
            await self._channel.close()

    async def __aenter__(self) -> "Operator":
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def reset_kill(
        self,
        *,
        reset_by: str,
        reason: str,
        strategy: str = "",
        symbol: str = "",
        expected_epoch: int | None = None,
    ) -> operator_pb2.ResetKillResponse:
        """End kills: of one strategy or symbol, otherwise every one."""
        return await self._prove_and_send(
            requests.reset_kill(
                reset_by=reset_by,
                reason=reason,
                strategy=strategy,
                symbol=symbol,
                expected_epoch=expected_epoch,
            )
        )

    async def ease_kill(
        self,
        *,
        reset_by: str,
        reason: str,
        strategy: str = "",
        symbol: str = "",
        expected_epoch: int | None = None,
    ) -> operator_pb2.EaseKillResponse:
        """Turn HALT into REDUCE_ONLY, so that positions can be left."""
        return await self._prove_and_send(
            requests.ease_kill(
                reset_by=reset_by,
                reason=reason,
                strategy=strategy,
                symbol=symbol,
                expected_epoch=expected_epoch,
            )
        )

    async def reset_breaker(
        self,
        *,
        reset_by: str,
        reason: str,
        rebase: Iterable[DrawdownKind] = (),
    ) -> operator_pb2.ResetBreakerResponse:
        """Close the breaker; refused while a drawdown stands that `rebase` does not name."""
        return await self._prove_and_send(
            requests.reset_breaker(reset_by=reset_by, reason=reason, rebase=rebase)
        )

    async def reset_all(
        self,
        *,
        reset_by: str,
        reason: str,
        strategy: str = "",
        symbol: str = "",
        expected_epoch: int | None = None,
        rebase: Iterable[DrawdownKind] = (),
    ) -> operator_pb2.ResetAllResponse:
        """End kills, as `reset_kill`, and close the breaker in one step, or neither."""
        return await self._prove_and_send(
            requests.reset_all(
                reset_by=reset_by,
                reason=reason,
                strategy=strategy,
                symbol=symbol,
                expected_epoch=expected_epoch,
                rebase=rebase,
            )
        )

    async def release_order(
        self,
        order_id: str,
        *,
        released_by: str,
        reason: str,
    ) -> operator_pb2.ReleaseOrderResponse:
        """End the reservation of an order that is known to be over."""
        return await self._prove_and_send(
            requests.release_order(order_id, released_by=released_by, reason=reason)
        )

    async def accept_recovery(
        self,
        *,
        accepted_by: str,
        reason: str,
    ) -> operator_pb2.AcceptRecoveryResponse:
        """Say that the venue was compared: reconciliation is no longer asked for."""
        return await self._prove_and_send(
            requests.accept_recovery(accepted_by=accepted_by, reason=reason)
        )

    async def accept_clock(
        self,
        *,
        accepted_by: str,
        reason: str,
    ) -> operator_pb2.AcceptClockResponse:
        """Take the wall clock as it is after a jump."""
        return await self._prove_and_send(
            requests.accept_clock(accepted_by=accepted_by, reason=reason)
        )

    async def reload_config(
        self,
        *,
        reloaded_by: str,
        reason: str,
        dry_run: bool = False,
        expected_config_hash: str | None = None,
    ) -> config_pb2.ReloadConfigResponse:
        """Have the file read again; with `dry_run` say what would change, and change nothing.

        `expected_config_hash` is of the file that was looked at: another one is refused.
        """
        call = requests.reload_config(
            dry_run=dry_run,
            reloaded_by=reloaded_by,
            reason=reason,
            expected_config_hash=expected_config_hash,
        )
        if dry_run:
            return await self._send(call, ())
        return await self._prove_and_send(call)

    async def get_config(self) -> config_pb2.GetConfigResponse:
        """Read the configuration in force."""
        return await self._send(requests.get_config(), ())

    async def get_status(self) -> status_pb2.Status:
        """Ask how everything stands now."""
        rpc = self._channel.unary_unary(
            requests.GET_STATUS,
            request_serializer=status_pb2.GetStatusRequest.SerializeToString,
            response_deserializer=status_pb2.GetStatusResponse.FromString,
        )
        try:
            answer = await rpc(
                status_pb2.GetStatusRequest(subscriber="operator"), timeout=self._timeout_seconds
            )
        except grpc.RpcError as error:
            raise CallFailed("GetStatus", read_rpc_error(error)) from None
        status: status_pb2.Status = answer.status
        return status

    async def _prove_and_send(self, call: OperatorCall[AnswerT]) -> AnswerT:
        """Sign for the store that is there, and call."""
        status = await self.get_status()
        return await self._send(call, self._prover.metadata(call, status))

    async def _send(
        self, call: OperatorCall[AnswerT], metadata: tuple[tuple[str, str], ...]
    ) -> AnswerT:
        """Call with the very bytes that were signed."""
        rpc = self._channel.unary_unary(
            call.path,
            request_serializer=requests.as_it_is,
            response_deserializer=call.answer_type.FromString,
        )
        try:
            answer: AnswerT = await rpc(call.body, timeout=self._timeout_seconds, metadata=metadata)
        except grpc.RpcError as error:
            raise CallFailed(call.name, read_rpc_error(error)) from None
        return answer

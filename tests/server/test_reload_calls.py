"""ReloadConfig over the wire: who may, what a bad proof refuses, what decisions then say."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import grpc
import pytest
from haltline.v1 import config_pb2, order_pb2, short_status_pb2, status_pb2

from sidecar.config import Configuration, config_hash, parse, to_thresholds
from sidecar.server import ServerOptions
from sidecar.service import ConfigurationSource, Role
from tests.server.harness import Sidecar, an_order, call_error_of, sidecar_on

CALL = "OperatorService/ReloadConfig"
TIGHTER = "[position_limits]\nper_symbol_ratio = 0.005\n"
LOOSER = "[position_limits]\nmax_positions = 11\n"
FAULTY = "[position_limits]\nper_symbol_ratio = 3\nmax_position = 1\n"


class File:
    """A configuration file in memory; the sidecar was started with an empty one."""

    text = ""

    def read(self) -> Configuration:
        """Return what it says now."""
        return parse(self.text)


def hash_of(text: str) -> str:
    """Return the hash of what a file says."""
    return config_hash(to_thresholds(parse(text)))


@asynccontextmanager
async def reloading(
    directory: Path, options: ServerOptions | None = None
) -> AsyncIterator[tuple[Sidecar, File]]:
    """Run a sidecar that was started with the file."""
    file = File()
    source = ConfigurationSource(configuration=Configuration(), read=file.read)
    async with sidecar_on(directory, source=source, options=options) as sidecar:
        yield sidecar, file


def a_reload(**changes: object) -> config_pb2.ReloadConfigRequest:
    """Return a reload by somebody, for a reason."""
    fields: dict[str, object] = {"reloaded_by": "tester", "reason": "checked", **changes}
    return config_pb2.ReloadConfigRequest(**fields)  # type: ignore[arg-type] # fields by name


@pytest.mark.parametrize("role", [Role.BOT, Role.OBSERVER])
async def test_anyone_has_a_tighter_file_read(tmp_path: Path, role: Role) -> None:
    """No proof and no words are needed; decisions, status and GetConfig follow at once (S1.1)."""
    async with reloading(tmp_path, ServerOptions(loopback_role=role)) as (sidecar, file):
        bot, operator = sidecar.safety(), sidecar.operator()
        file.text = TIGHTER
        answer = await operator.ReloadConfig(config_pb2.ReloadConfigRequest())
        assert (answer.changed, answer.durable, answer.needs_proof) == (True, True, False)
        (change,) = answer.changes
        assert change.key == "position_limits.per_symbol_ratio"
        assert change.direction == config_pb2.CONFIG_CHANGE_DIRECTION_TIGHTENS
        assert (change.before, change.after) == ("0.3", "0.005")
        assert (answer.previous_config_hash, answer.config_hash) == ("c0ffee", hash_of(TIGHTER))
        assert answer.store_id == sidecar.service.store_id
        assert answer.status.trading_mode == short_status_pb2.TRADING_MODE_NORMAL
        assert answer.sequence == sidecar.store.last_sequence
        status = (await bot.GetStatus(status_pb2.GetStatusRequest())).status
        shown = await operator.GetConfig(config_pb2.GetConfigRequest())
        assert status.config_hash == shown.config_hash == hash_of(TIGHTER)
        assert "per_symbol_ratio = 0.005" in shown.toml
        if role is Role.BOT:
            decision = await bot.CheckOrder(an_order())
            assert decision.verdict == order_pb2.VERDICT_DENIED
            assert decision.config_hash == hash_of(TIGHTER)


async def test_a_reader_of_the_status_hears_of_it(tmp_path: Path) -> None:
    """The new hash is pushed: a change of rules is a change (S14)."""
    async with reloading(tmp_path) as (sidecar, file):
        stream = sidecar.safety().StreamStatus(status_pb2.StreamStatusRequest())
        first = await stream.read()
        assert isinstance(first, status_pb2.StreamStatusResponse)
        file.text = TIGHTER
        await sidecar.operator().ReloadConfig(a_reload())
        while True:
            frame = await stream.read()
            assert isinstance(frame, status_pb2.StreamStatusResponse)
            if frame.status.config_hash == hash_of(TIGHTER):
                break
        stream.cancel()


async def test_without_proof_a_looser_file_is_refused_by_key(tmp_path: Path) -> None:
    """UNAUTHENTICATED, naming what loosens; a proof makes the same call good (S11)."""
    async with reloading(tmp_path) as (sidecar, file):
        file.text = LOOSER
        operator, request = sidecar.operator(), a_reload()
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await operator.ReloadConfig(request)
        assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED
        error = call_error_of(caught.value)
        assert error.reason == "OPERATOR_PROOF_REQUIRED"
        assert [item.field for item in error.field_violations] == ["position_limits.max_positions"]
        assert "LOOSENS from 10 to 11" in error.field_violations[0].description
        answer = await operator.ReloadConfig(request, metadata=sidecar.proof(CALL, request))
        assert answer.changed
        assert sidecar.service.config_hash == hash_of(LOOSER)


async def test_a_bad_proof_refuses_only_what_needs_one(tmp_path: Path) -> None:
    """Stopping is easy: a wrong signature keeps nobody from tightening (S1.1)."""
    async with reloading(tmp_path) as (sidecar, file):
        operator, request = sidecar.operator(), a_reload()
        wrong = sidecar.proof(CALL, request, secret="another secret, just as long")
        file.text = LOOSER
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await operator.ReloadConfig(request, metadata=wrong)
        assert caught.value.code() is grpc.StatusCode.PERMISSION_DENIED
        error = call_error_of(caught.value)
        assert error.reason == "OPERATOR_PROOF_WRONG"
        assert [item.field for item in error.field_violations] == ["position_limits.max_positions"]
        file.text = TIGHTER
        assert (await operator.ReloadConfig(request, metadata=wrong)).changed


async def test_a_proof_loosens_once(tmp_path: Path) -> None:
    """A captured reload is no licence to loosen again (S11)."""
    async with reloading(tmp_path) as (sidecar, file):
        operator, request = sidecar.operator(), a_reload()
        proof = sidecar.proof(CALL, request)
        file.text = LOOSER
        assert (await operator.ReloadConfig(request, metadata=proof)).changed
        file.text = ""
        assert (await operator.ReloadConfig(a_reload())).changed
        file.text = LOOSER
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await operator.ReloadConfig(request, metadata=proof)
        assert call_error_of(caught.value).reason == "OPERATOR_PROOF_REPEATED"
        assert sidecar.service.config_hash == hash_of("")


@pytest.mark.parametrize(
    ("text", "request_of", "code", "reason"),
    [
        (FAULTY, a_reload, grpc.StatusCode.FAILED_PRECONDITION, "CONFIGURATION_FAULTY"),
        (
            '[server]\nlisten = ["127.0.0.1:1"]\n',
            a_reload,
            grpc.StatusCode.FAILED_PRECONDITION,
            "RESTART_REQUIRED",
        ),
        (
            TIGHTER,
            lambda: a_reload(reason="x" * 513, reloaded_by="y" * 129),
            grpc.StatusCode.INVALID_ARGUMENT,
            "MALFORMED_REQUEST",
        ),
    ],
)
async def test_a_reload_that_cannot_be_names_every_fault(
    tmp_path: Path,
    text: str,
    request_of: Callable[[], config_pb2.ReloadConfigRequest],
    code: grpc.StatusCode,
    reason: str,
) -> None:
    """In the trailing metadata, each with its key; nothing changed."""
    async with reloading(tmp_path) as (sidecar, file):
        file.text = text
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await sidecar.operator().ReloadConfig(request_of())
        assert (caught.value.code(), call_error_of(caught.value).reason) == (code, reason)
        named = [item.field for item in call_error_of(caught.value).field_violations]
        if reason == "RESTART_REQUIRED":
            assert named == ["server.listen"]
        else:
            assert len(named) == 2
        assert sidecar.service.config_hash == "c0ffee"


async def test_a_dry_run_lists_a_bounded_number_of_changes(tmp_path: Path) -> None:
    """What needs proof comes first, the rest is counted (contract.md)."""
    async with reloading(tmp_path) as (sidecar, file):
        lines = [f'[symbols."S{number}"]\nper_symbol_ratio = 0.1\n' for number in range(1_200)]
        file.text = "".join(lines) + '[symbols."Z"]\nmultiplier = 2\n'
        answer = await sidecar.operator().ReloadConfig(a_reload(dry_run=True))
        assert (len(answer.changes), answer.unlisted_changes_count) == (1_000, 201)
        assert answer.changes[0].key == 'symbols."Z".multiplier'
        assert answer.needs_proof
        assert sidecar.service.config_hash == "c0ffee"

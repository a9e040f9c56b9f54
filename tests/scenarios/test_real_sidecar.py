"""What somebody in a hurry, in error or in anger does to a running sidecar, over its socket."""

import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from haltline.v1 import (
    circuit_breaker_pb2,
    kill_switch_pb2,
    order_pb2,
    reports_pb2,
    reservations_pb2,
    status_pb2,
)

from tests.cli.running import RunningSidecar, running
from tests.scenarios.real_sidecar import (
    APPROVED,
    CALL_SECONDS_MAX,
    Line,
    a_fill,
    a_reset,
    an_order,
    fault_of,
    line_to,
)

START = ("--equity", "100000", "--assume-flat")
BAD_NUMBERS = (
    "NaN", "-NaN", "sNaN", "Infinity", "1e400", "1E-5", "-0", "0", "0.000", "-1", "", " 1", "1 ",
    "1\n", "1\0", "+1", "1_000", ".5", "5.", "0x10", "\u0661", "\uff11", "9" * 21,
    "1" * 11 + "." + "1" * 18,
)  # fmt: skip


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningSidecar]:
    """A sidecar shared by tests that leave it NORMAL."""
    with running(tmp_path_factory.mktemp("shared") / "d", *START) as sidecar:
        yield sidecar


@pytest.fixture
def line(shared: RunningSidecar) -> Iterator[Line]:
    """A connection to the shared sidecar; whatever was tried, it still decides afterwards."""
    with line_to(shared) as connection:
        yield connection
        assert connection.check(an_order(quantity="1", dry_run=True)).verdict == APPROVED
        assert not connection.status().store.poisoned


@pytest.mark.parametrize("field", ["quantity", "limit_price", "reference_price"])
def test_what_is_no_number_is_named_and_never_judged(line: Line, field: str) -> None:
    """NaN, 1e400, -0, empty, 29 digits and their kin are INVALID_ARGUMENT (S2.1)."""
    before = line.status().last_sequence
    for text in BAD_NUMBERS:
        with pytest.raises(grpc.RpcError) as caught:
            line.check(an_order(**{field: text}))
        fault = fault_of(caught.value)
        assert fault.code == "INVALID_ARGUMENT", repr(text)
        assert [item.field for item in fault.field_faults] == [field], repr(text)
    assert line.status().last_sequence == before, "a malformed order is not journalled (S4.1)"


@pytest.mark.parametrize("name", ["", " ", "a b", "\u00e9", "a\0b", "a\n", "x" * 129, "\x7f"])
@pytest.mark.parametrize("field", ["order_id", "strategy", "symbol"])
def test_what_is_no_name_is_refused(line: Line, field: str, name: str) -> None:
    """Ids and names are 1 to 128 visible ASCII characters (S2.1)."""
    order = an_order()
    setattr(order, field, name)
    with pytest.raises(grpc.RpcError) as caught:
        line.check(order)
    assert [item.field for item in fault_of(caught.value).field_faults] == [field]


def test_the_largest_of_everything_is_answered(line: Line) -> None:
    """Numbers, names and times at their bounds are judged exactly and poison nothing (S2.1)."""
    largest = "9" * 10 + "." + "9" * 18
    decision = line.check(an_order("~" * 128, quantity=largest, limit_price=largest))
    assert decision.verdict == order_pb2.VERDICT_DENIED
    smallest = "0." + "0" * 17 + "1"
    order = an_order("!" * 128, quantity=smallest, limit_price=smallest)
    order.good_till.CopyFrom(Timestamp(seconds=8_999_999_999, nanos=999_999_999))
    assert line.check(order).verdict == APPROVED
    line.report(a_fill(order, "z" * 128, note="\x00\u00e9" * 10_000))


@pytest.mark.parametrize("seconds", [9_000_000_000, 253_402_300_799, -1, 2**62])
def test_no_time_poisons_the_store(line: Line, seconds: int) -> None:
    """A good_till in the year 9999 once ended all trading until a restart (S4.1)."""
    with pytest.raises(grpc.RpcError) as caught:
        line.check(an_order(good_till=Timestamp(seconds=seconds)))
    assert [item.field for item in fault_of(caught.value).field_faults] == ["good_till"]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xff\xff",
        b"\x00" * 50,
        b"\x0a\x02\xff\xfe",
        b"\x0a\x03\xed\xa0\x80",
        bytes(range(256)) * 20,
        kill_switch_pb2.TriggerKillRequest(reason="r" * 3_900_000).SerializeToString(),
        kill_switch_pb2.TriggerKillRequest(
            scope=kill_switch_pb2.KillScope(symbol="\u00e9\x1b[31m")
        ).SerializeToString(),
    ],
    ids=["nothing", "garbage", "zeros", "no-utf8", "surrogate", "all-bytes", "long", "no-name"],
)
def test_no_bytes_make_a_kill_fail(line: Line, body: bytes) -> None:
    """Whatever a trigger holds, everything stops (S10.1)."""
    answer = kill_switch_pb2.TriggerKillResponse.FromString(line.raw("TriggerKill", body))
    assert answer.activation.mode == kill_switch_pb2.KILL_MODE_HALT
    assert answer.activation.scope.all
    assert answer.durable
    assert line.check(an_order(symbol="ELSEWHERE")).verdict == order_pb2.VERDICT_DENIED
    assert line.reset_kill()


def test_callers_who_give_up_leave_whole_decisions(line: Line) -> None:
    """Deadlines of a millisecond and cancelled calls end no other call (design, one order)."""
    for at in range(50):
        call = line.safety.CheckOrder.future(an_order(quantity="0.001"), timeout=0.001)
        if at % 2:
            call.cancel()
    order = an_order(quantity="0.001")
    assert line.check(order).verdict == APPROVED
    assert line.check(order).replayed


def test_no_more_than_the_rate_pass_however_many_ask_at_once(tmp_path: Path) -> None:
    """Forty threads at once under a rate of ten: ten pass, not seventeen (S5)."""
    (tmp_path / "c.toml").write_text("[order_rules]\nmax_orders_per_window = 10\n")
    verdicts: list[int] = []
    with running(tmp_path / "d", *START, "--config", str(tmp_path / "c.toml")) as sidecar:
        ready = threading.Barrier(40)

        def ask() -> None:
            with line_to(sidecar) as line:
                ready.wait(CALL_SECONDS_MAX)
                verdicts.append(line.check(an_order(quantity="1")).verdict)

        threads = [threading.Thread(target=ask) for _ in range(40)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(CALL_SECONDS_MAX)
    assert len(verdicts) == 40
    assert verdicts.count(APPROVED) == 10


def test_a_restart_after_kill_9_keeps_everything(tmp_path: Path) -> None:
    """Kill, breaker, positions, reservations, ids and used proofs outlive the process (S3, S12)."""
    held, working = an_order("held"), an_order("working", quantity="7")
    report = a_fill(held, "fill")
    with running(tmp_path / "d", *START) as sidecar:
        with line_to(sidecar) as line:
            assert line.check(held).verdict == APPROVED
            line.report(report)
            assert line.check(working).verdict == APPROVED
            for at in range(3):
                error = reports_pb2.ReportApiErrorRequest(report_id=f"e{at}", api="place")
                line.safety.ReportApiError(error, timeout=CALL_SECONDS_MAX)
            line.raw("TriggerKill", b"")
            proof = line.proof("ResetKill", a_reset())
            assert line.reset_kill(proof)
            line.raw("TriggerKill", b"")
            before = line.status()
        sidecar.close()
        sidecar.start()
        with line_to(sidecar) as line:
            after = line.status()
            assert after.kill_switch == before.kill_switch
            assert after.stop_epoch == before.stop_epoch
            assert after.circuit_breaker.state == circuit_breaker_pb2.CIRCUIT_BREAKER_STATE_OPEN
            assert after.circuit_breaker.causes == before.circuit_breaker.causes
            assert after.position_limits == before.position_limits
            assert after.account.equity == before.account.equity
            listed = line.safety.ListOrders(
                reservations_pb2.ListOrdersRequest(page_size=10), timeout=CALL_SECONDS_MAX
            )
            assert [order.order_id for order in listed.orders] == ["working"]
            assert line.report(report).duplicate
            with pytest.raises(grpc.RpcError) as caught:
                line.report(a_fill(held, "fill", fill_quantity="11"))
            assert fault_of(caught.value).code == "ALREADY_EXISTS"
            with pytest.raises(grpc.RpcError) as caught:
                line.check(an_order("working", quantity="8"))
            assert fault_of(caught.value).code == "ALREADY_EXISTS"
            with pytest.raises(grpc.RpcError) as caught:
                line.reset_kill(proof)
            assert fault_of(caught.value).reason == "OPERATOR_PROOF_REPEATED"


def test_a_proof_for_one_sidecar_starts_no_other(tmp_path: Path) -> None:
    """Two sidecars with one secret: the store's id is signed, so the proof is wrong here (S11)."""
    with (
        running(tmp_path / "a", *START) as one,
        running(tmp_path / "b", *START) as other,
        line_to(one) as line,
        line_to(other) as elsewhere,
    ):
        line.raw("TriggerKill", b"")
        with pytest.raises(grpc.RpcError) as caught:
            line.reset_kill(elsewhere.proof("ResetKill", a_reset()))
        assert fault_of(caught.value).reason == "OPERATOR_PROOF_WRONG"
        assert line.check(an_order()).verdict == order_pb2.VERDICT_DENIED


def test_a_breaker_needs_nobody_to_call_it(tmp_path: Path) -> None:
    """A bot that holds something and falls silent trips it by time alone (S9)."""
    (tmp_path / "c.toml").write_text("[circuit_breaker]\nbot_silence_seconds = 1\n")
    with (
        running(tmp_path / "d", *START, "--config", str(tmp_path / "c.toml")) as sidecar,
        line_to(sidecar) as line,
    ):
        assert line.check(an_order()).verdict == APPROVED
        frames = line.safety.StreamStatus(
            status_pb2.StreamStatusRequest(subscriber="test"), timeout=CALL_SECONDS_MAX
        )
        opened = circuit_breaker_pb2.CIRCUIT_BREAKER_STATE_OPEN
        assert any(frame.status.circuit_breaker.state == opened for frame in frames)
        frames.cancel()


def test_readers_who_never_read_hold_up_nobody(tmp_path: Path) -> None:
    """Two hundred unread status streams: orders, a kill and SIGTERM are answered (S14)."""
    with (
        running(tmp_path / "d", *START) as sidecar,
        line_to(sidecar) as line,
        line_to(sidecar) as readers,
    ):
        request = status_pb2.StreamStatusRequest(subscriber="never reads")
        unread = [readers.safety.StreamStatus(request) for _ in range(200)]
        for _ in range(200):
            assert line.check(an_order(quantity="0.01")).verdict == APPROVED
        line.raw("TriggerKill", b"")
        assert line.check(an_order()).verdict == order_pb2.VERDICT_DENIED
        assert sidecar.stop() == 0
        assert len(unread) == 200


def test_a_directory_deleted_under_it_halts_and_is_not_called_durable(tmp_path: Path) -> None:
    """What nobody can ever read again was not remembered, and nothing more is approved (S1.2)."""
    with running(tmp_path / "d", *START) as sidecar:
        with line_to(sidecar) as line:
            assert line.check(an_order()).verdict == APPROVED
            shutil.rmtree(sidecar.directory)
            answer = kill_switch_pb2.TriggerKillResponse.FromString(line.raw("TriggerKill", b""))
            assert not answer.durable
            assert line.check(an_order()).verdict == order_pb2.VERDICT_DENIED
            assert line.status().store.poisoned
        assert sidecar.stop() == 1

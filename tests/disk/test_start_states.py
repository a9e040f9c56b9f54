"""CLEAN, RECOVERED, RECONCILE, DAMAGED, each from a real process to a real process (S12.4).

Rules:
- A reboot is told by the two places that remember the boot: the database and the watermark are
  made to name another one. The sidecar reads the kernel's own id and has no other ear for it, so
  nothing in production can tell it a boot that was not.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc
import pytest
from haltline.v1 import account_pb2, denial_pb2, operator_pb2, order_pb2, status_pb2

from sidecar.store.examination import META_BOOT_ID
from sidecar.store.sqlite_database import META_SQL, WAL_FILE_NAME, open_connection
from sidecar.store.watermark import WATERMARK_FILE_NAME, encode, read_marks
from tests.cli.running import SECRET, RunningSidecar, haltline, running
from tests.disk.images import write_private
from tests.scenarios.real_sidecar import (
    APPROVED,
    CALL_SECONDS_MAX,
    Line,
    a_fill,
    an_order,
    fault_of,
    line_to,
)

RECONCILE = status_pb2.RECOVERY_STATE_RECONCILE
RECOVERED = status_pb2.RECOVERY_STATE_RECOVERED
BY = ("--by", "me", "--reason", "compared with the venue")


@pytest.fixture(autouse=True)
def _secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    """The operator has the secret; the machine's own are nobody's business."""
    monkeypatch.delenv("KILL_SWITCH_RESET_SECRET", raising=False)
    monkeypatch.delenv("HALTLINE_TARGET", raising=False)
    monkeypatch.setenv("KILL_SWITCH_SECRET", SECRET)


@pytest.fixture
def sidecar(tmp_path: Path) -> Iterator[RunningSidecar]:
    """A sidecar that holds ten of ACME and has an order out."""
    with running(tmp_path / "d", "--equity", "100000", "--assume-flat") as started:
        with line_to(started) as line:
            order = an_order()
            assert line.check(order).verdict == APPROVED
            line.report(a_fill(order))
            assert line.check(an_order("out")).verdict == APPROVED
        yield started


def reboot(directory: Path) -> None:
    """Make everything in the directory say that it was written before the machine's last start."""
    connection = open_connection(directory)
    connection.execute(META_SQL, (META_BOOT_ID, "an earlier boot"))
    connection.close()
    marks = read_marks(directory)
    assert marks is not None
    write_private(
        directory / WATERMARK_FILE_NAME, encode(replace(marks, boot_id="an earlier boot"))
    )


def an_exit() -> order_pb2.CheckOrderRequest:
    """Return a sale of half of what is held."""
    return an_order(side=order_pb2.SIDE_SELL, quantity="5")


def a_report(line: Line, **fields: Any) -> account_pb2.ReportAccountRequest:  # noqa: ANN401 - fields by name
    """Return what the venue holds, complete and as of now, with `fields` changed."""
    given: dict[str, Any] = {
        "report_id": "reconcile",
        "positions": [
            account_pb2.AccountPosition(
                strategy="momentum", symbol="ACME", quantity="10", average_price="100"
            )
        ],
        "positions_complete": True,
        "open_orders_complete": True,
        "as_of_sequence": line.status().last_sequence,
        **fields,
    }
    request = account_pb2.ReportAccountRequest(**given)
    request.as_of_venue_time.GetCurrentTime()
    return request


def test_a_clean_stop_starts_clean_and_says_nothing_more(sidecar: RunningSidecar) -> None:
    """CLEAN: the line `ready` counts the records, nothing is owed, also after a reboot."""
    assert sidecar.stop() == 0
    reboot(sidecar.directory)
    ready = sidecar.start()
    assert "recovered " in ready
    assert "recovery" not in ready
    assert "trading mode NORMAL" in ready
    with line_to(sidecar) as line:
        recovery = line.status().recovery
    assert recovery.state == status_pb2.RECOVERY_STATE_CLEAN
    assert (recovery.way_out, recovery.denies_reducing) == ("", False)
    assert "Recovery" not in haltline("safety", *sidecar.at).out
    assert sidecar.stop() == 0


def test_a_crash_starts_recovered_and_says_how_much_was_cut(sidecar: RunningSidecar) -> None:
    """RECOVERED: the tail that was never acknowledged is cut and counted; trading goes on."""
    sidecar.close()
    wal = sidecar.directory / WAL_FILE_NAME
    data = wal.read_bytes()
    wal.write_bytes(data + data[-4_120:][:100])
    ready = sidecar.start()
    told = "the process ended without a clean stop; nothing written was lost"
    assert "recovery RECOVERED since 20" in ready
    assert "1 unfinished writes at the tail were cut" in ready
    assert told in ready
    assert "trading mode NORMAL" in ready
    with line_to(sidecar) as line:
        recovery = line.status().recovery
        assert recovery.state == RECOVERED
        assert recovery.since.seconds > 1_700_000_000
        assert told in recovery.detail
        assert "1 unfinished writes at the tail were cut" in recovery.detail
        assert recovery.way_out == ""
        assert line.check(an_order()).verdict == APPROVED
    safety = haltline("safety", *sidecar.at)
    assert safety.code == 0
    assert "Recovery: RECOVERED since 20" in safety.out
    assert told in safety.out
    assert sidecar.stop() == 0


def test_a_reboot_reconciles_first_and_only_a_complete_report_or_proof_ends_it(
    sidecar: RunningSidecar,
) -> None:
    """RECONCILE: exits pass, nothing else does, over restarts, until the books are compared."""
    sidecar.close()
    reboot(sidecar.directory)
    ready = sidecar.start()
    assert "recovery RECONCILE since 20" in ready
    assert "way out: send a ReportAccount with complete positions" in ready
    assert "trading mode REDUCE_ONLY" in ready
    with line_to(sidecar) as line:
        assert_reconciling(sidecar, line)
        for attempt in nothing_of_this_ends_it(line):
            assert line.status().recovery.state == RECONCILE, attempt
    assert sidecar.stop() == 0
    sidecar.start()
    with line_to(sidecar) as line:
        assert_reconciling(sidecar, line)
    sidecar.close()
    sidecar.start()
    with line_to(sidecar) as line:
        assert_reconciling(sidecar, line)
        line.safety.ReportAccount(a_report(line), timeout=CALL_SECONDS_MAX)
        recovery = line.status().recovery
        assert (recovery.state, recovery.way_out) == (RECOVERED, "")
        assert line.check(an_order()).verdict == APPROVED
    assert sidecar.stop() == 0
    assert "recovery" not in sidecar.start()
    assert sidecar.stop() == 0


def test_an_operator_with_proof_ends_a_reconcile(sidecar: RunningSidecar) -> None:
    """AcceptRecovery: named in the status, durable over the next restart (S12.4)."""
    sidecar.close()
    reboot(sidecar.directory)
    sidecar.start()
    assert haltline("reset", "recovery", *sidecar.at, *BY).code == 0
    with line_to(sidecar) as line:
        recovery = line.status().recovery
        assert (recovery.state, recovery.way_out) == (RECOVERED, "")
        assert "ended by me: compared with the venue" in recovery.detail
        assert line.check(an_order()).verdict == APPROVED
    sidecar.close()
    assert "RECONCILE" not in sidecar.start()
    assert sidecar.stop() == 0


def assert_reconciling(sidecar: RunningSidecar, line: Line) -> None:
    """Only exits pass; status and `safety` say which, since when and the way out."""
    recovery = line.status().recovery
    assert recovery.state == RECONCILE
    assert recovery.since.seconds > 1_700_000_000
    assert "the machine went down without a clean stop" in recovery.detail
    assert "haltline reset recovery" in recovery.way_out
    assert not recovery.denies_reducing
    denied = line.check(an_order())
    assert denied.verdict != APPROVED
    assert denied.violations[0].code == denial_pb2.DENIAL_CODE_RECOVERY_RECONCILE_REQUIRED
    safety = haltline("safety", *sidecar.at)
    assert safety.code == 1
    assert "Recovery: RECONCILE since 20" in safety.out
    assert "Way out: send a ReportAccount" in safety.out


def nothing_of_this_ends_it(line: Line) -> Iterator[str]:
    """Yield the name of each thing tried, after it was."""
    assert line.check(an_exit()).verdict == APPROVED
    yield "an exit"
    line.report(a_fill(an_order("out"), fill_quantity="1"))
    yield "a fill"
    changes: dict[str, dict[str, Any]] = {
        "positions alone": {"open_orders_complete": False},
        "open orders alone": {"positions_complete": False, "positions": []},
        "an old look at the venue": {"as_of_sequence": 1},
    }
    for name, fields in changes.items():
        report = a_report(line, report_id=name.replace(" ", "-"), **fields)
        line.safety.ReportAccount(report, timeout=CALL_SECONDS_MAX)
        yield name
    equity = account_pb2.ReportAccountRequest(report_id="equity-alone", equity="100000")
    line.safety.ReportAccount(equity, timeout=CALL_SECONDS_MAX)
    yield "equity alone"
    line.reset_kill()
    yield "a reset of the kill switch"
    accept = operator_pb2.AcceptRecoveryRequest(accepted_by="me", reason="no proof")
    with pytest.raises(grpc.RpcError) as refused:
        line.operator.AcceptRecovery(accept, timeout=CALL_SECONDS_MAX)
    assert fault_of(refused.value).reason == "OPERATOR_PROOF_REQUIRED"
    yield "AcceptRecovery without proof"


def test_a_damaged_journal_starts_halted_and_nothing_ends_it(sidecar: RunningSidecar) -> None:
    """DAMAGED: no exit passes, the record and the way out are named; the files stay as found."""
    sidecar.close()
    wal = sidecar.directory / WAL_FILE_NAME
    data = bytearray(wal.read_bytes())
    data[len(data) // 2] ^= 1
    wal.write_bytes(data)
    ready = sidecar.start()
    assert "recovery DAMAGED since" in ready
    assert "trading mode HALTED" in ready
    assert "way out: stop the sidecar and run `haltline store repair`" in ready
    with line_to(sidecar) as line:
        recovery = line.status().recovery
        assert recovery.state == status_pb2.RECOVERY_STATE_DAMAGED
        assert "the journal is damaged at record " in recovery.detail
        assert "haltline store repair" in recovery.way_out
        assert recovery.denies_reducing
        for order in (an_order(), an_exit()):
            assert line.check(order).verdict != APPROVED
        with pytest.raises(grpc.RpcError) as refused:
            line.safety.ReportAccount(a_report(line), timeout=CALL_SECONDS_MAX)
        assert fault_of(refused.value).reason == "STORE_UNAVAILABLE"
        assert line.status().recovery.state == status_pb2.RECOVERY_STATE_DAMAGED
    safety = haltline("safety", *sidecar.at)
    assert "Recovery: DAMAGED" in safety.out
    assert "Way out: stop the sidecar and run `haltline store repair`" in safety.out
    assert "Way out: mend the disk" not in safety.out
    assert haltline("reset", "recovery", *sidecar.at, *BY).code == 1
    assert sidecar.stop() == 1
    assert wal.read_bytes() == bytes(data)
    stopped = haltline("safety", *sidecar.at)
    assert stopped.code == 1
    assert "The next start on this machine will be DAMAGED" in stopped.out

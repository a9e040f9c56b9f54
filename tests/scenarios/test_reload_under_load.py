"""A real process whose rules change while bots ask: each is judged by what was in force."""

import threading
import time
from pathlib import Path
from signal import SIGKILL
from typing import Final, Self

import grpc
from haltline.v1 import config_pb2, denial_pb2, order_pb2, reservations_pb2

from sidecar.config import config_hash, load, to_thresholds
from sidecar.core.events import ConfigurationApplied
from sidecar.service.records import Record, decode_record
from sidecar.store.read_only import open_read_only
from tests.cli.running import RunningSidecar, running
from tests.scenarios.real_sidecar import (
    APPROVED,
    CALL_SECONDS_MAX,
    Line,
    an_order,
    fault_of,
    line_to,
)

BOTS: Final = 4
RELOADS: Final = 12
WAIT_SECONDS_MAX: Final = 60.0
TIGHT: Final = "[order_rules]\nmax_order_quantity = 10\n"
LOOSE: Final = "[order_rules]\nmax_order_quantity = 100\n"
Asked = tuple[order_pb2.CheckOrderRequest, order_pb2.CheckOrderResponse, int]


class Load:
    """Bots that ask until told to stop, and the newest reload that was answered."""

    def __init__(self, sidecar: RunningSidecar) -> None:
        """Nobody asked yet."""
        self._sidecar = sidecar
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._ask) for _ in range(BOTS)]
        self.acknowledged = 0
        self.asked: list[Asked] = []

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()

    def _ask(self) -> None:
        with line_to(self._sidecar) as line:
            while not self._over.is_set():
                for quantity in ("5", "50"):
                    after = self.acknowledged
                    order = an_order(quantity=quantity, limit_price="1")
                    self.asked.append((order, line.check(order), after))

    def wait_for(self, count: int) -> None:
        """Return once so many more orders were asked."""
        target = len(self.asked) + count
        until = time.monotonic() + WAIT_SECONDS_MAX
        while len(self.asked) < target:
            assert time.monotonic() < until, "the bots are not answered"
            self._over.wait(0.005)


def reload(line: Line, *, is_proved: bool) -> config_pb2.ReloadConfigResponse:
    """Have the file read again."""
    request = config_pb2.ReloadConfigRequest(reloaded_by="tester", reason="load")
    proof = line.proof("ReloadConfig", request) if is_proved else ()
    return line.operator.ReloadConfig(request, metadata=proof, timeout=CALL_SECONDS_MAX)


def journal(sidecar: RunningSidecar) -> list[Record]:
    """Return the records of a sidecar that is down."""
    with open_read_only(sidecar.directory) as store:
        return [decode_record(payload) for _, payload in store.read(1)]


def in_force(records: list[Record]) -> dict[int, str]:
    """Return what was in force at each record, and hold the record to it."""
    found: dict[int, str] = {}
    now = ""
    for record in records:
        for event in record.events:
            if isinstance(event, ConfigurationApplied):
                assert event.previous_hash == now
                now = event.config_hash
        assert record.config_hash == now, record
        found[record.sequence] = now
    return found


def test_each_order_is_judged_by_what_was_in_force_at_its_record(tmp_path: Path) -> None:
    """By sequence and by answer, over tightening and loosening, and in the state after kill -9."""
    file = tmp_path / "haltline.toml"
    file.write_text(LOOSE, "utf-8")
    options = ("--equity", "100000000", "--assume-flat", "--config", str(file))
    hashes = {}
    with running(tmp_path / "d", *options) as sidecar:
        with line_to(sidecar) as line, Load(sidecar) as load_of_bots:
            for number in range(RELOADS):
                text = LOOSE if number % 2 else TIGHT
                file.write_text(text, "utf-8")
                hashes[text] = config_hash(to_thresholds(load(file)))
                if text == LOOSE:
                    refused = _refused(line)
                    assert refused == "OPERATOR_PROOF_REQUIRED"
                answer = reload(line, is_proved=text == LOOSE)
                assert answer.changed
                load_of_bots.acknowledged = answer.sequence
                load_of_bots.wait_for(20)
        sidecar.stop(SIGKILL)
        at = in_force(journal(sidecar))
        approved = 0
        for order, decision, acknowledged in load_of_bots.asked:
            is_small = order.quantity == "5"
            is_approved = decision.verdict == APPROVED
            if is_approved or decision.sequence:
                # A denial among many alike may have no record of its own (S12.6).
                assert decision.sequence > acknowledged
                assert decision.config_hash == at[decision.sequence]
            assert is_approved is (is_small or decision.config_hash == hashes[LOOSE])
            if not is_approved:
                (violation,) = decision.violations
                assert violation.code == denial_pb2.DENIAL_CODE_MAX_ORDER_QUANTITY
            approved += is_approved
        assert 0 < approved < len(load_of_bots.asked)
        assert _held_after_restart(sidecar, options) == approved


def _refused(line: Line) -> str:
    try:
        reload(line, is_proved=False)
    except grpc.RpcError as error:
        return fault_of(error).reason
    return ""


def _held_after_restart(sidecar: RunningSidecar, options: tuple[str, ...]) -> int:
    """Return how many reservations a start on the journal finds."""
    sidecar.start(*options)
    count, token = 0, ""
    with line_to(sidecar) as line:
        while True:
            request = reservations_pb2.ListOrdersRequest(page_token=token)
            page = line.safety.ListOrders(request, timeout=CALL_SECONDS_MAX)
            count += len(page.orders)
            token = page.next_page_token
            if not token:
                return count

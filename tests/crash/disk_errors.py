"""A real sidecar whose disk says no: what it may still do, and what it must not (S12.3).

Rules:
- The sidecar trades, reports, stops and starts until the injected error shows, and everything it
  acknowledges is kept. From then on nothing may be acknowledged as durable.
- A poisoned one approves exits from memory, denies the rest, takes kills in memory and by the KILL
  file, refuses reports and resets, says so in its health, and ends with an exit code that is not 0.
- The next start, on a disk that works again, remembers everything acknowledged, and where the store
  had been poisoned it lets nothing pass, exits included, before an operator's word.
"""

import json
import shutil
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc  # type: ignore[import-untyped] # ships no types
from haltline.v1 import (
    account_pb2,
    denial_pb2,
    kill_switch_pb2,
    operator_pb2,
    order_pb2,
    reports_pb2,
    status_pb2,
)

from tests.cli.running import START_SECONDS_MAX, RunningSidecar
from tests.crash.disk_table import Case
from tests.crash.tracing import INJECTED_WORD, Injection, entry_command
from tests.scenarios.real_sidecar import (
    APPROVED,
    CALL_SECONDS_MAX,
    Line,
    a_fill,
    an_order,
    fault_of,
    line_to,
)

CHECKPOINT_PAGES_COUNT: Final = 12
OPTIONS: Final = ("--equity", "1000000", "--assume-flat")
HELD: Final = (("momentum", "ACME"), ("value", "BOLT"))
EVERYTHING: Final = ""
"""The symbol of a kill that names none."""
ROUNDS_MAX: Final = 12
SELL: Final = order_pb2.SIDE_SELL
WAIT_SECONDS_MAX: Final = 10.0


@dataclass(slots=True)
class Told:
    """What was acknowledged."""

    reports: dict[str, reports_pb2.ReportTradeRequest] = field(default_factory=dict)
    flows: dict[str, account_pb2.ReportAccountRequest] = field(default_factory=dict)
    killed: set[str] = field(default_factory=set)
    """Symbols whose kill was acknowledged as durable, and whose reset was never asked for."""


@dataclass(slots=True)
class Outcome:
    """What one injected error did."""

    case: Case
    became: str = ""
    reason: str = ""
    next_start: str = ""
    differences: list[str] = field(default_factory=list)

    def expect(self, what: str, found: object, expected: object) -> None:
        """Note a difference, if it is one."""
        if found != expected:
            self.differences.append(f"{what}: {found}, expected {expected}")


def prepare(directory: Path) -> None:
    """Make a store that holds a position of two strategies, stopped cleanly."""
    sidecar = RunningSidecar(directory=directory)
    try:
        sidecar.start(*OPTIONS)
        with line_to(sidecar) as line:
            for strategy, symbol in HELD:
                order = an_order(strategy=strategy, symbol=symbol, quantity="1000")
                assert line.check(order).verdict == APPROVED
                line.report(a_fill(order))
        assert sidecar.stop() == 0, sidecar.logs
    finally:
        sidecar.close()


def try_case(case: Case, prepared: Path, directory: Path) -> Outcome:
    """Run the case on a copy of `prepared` and return what came of it."""
    return _Trial(case, prepared, directory).run()


class _Trial:
    def __init__(self, case: Case, prepared: Path, directory: Path) -> None:
        self.told = Told()
        self.outcome = Outcome(case)
        shutil.copytree(prepared, directory / "d", ignore=shutil.ignore_patterns("run"))
        memory = directory / "memory"
        memory.mkdir()
        self.command = entry_command(
            json.dumps(
                {
                    "checkpoint_pages_count": CHECKPOINT_PAGES_COUNT,
                    "memory_directory": str(memory),
                }
            )
        )
        self.sidecar = RunningSidecar(directory=directory / "d")
        path = None if case.file is None else self.sidecar.directory / case.file
        when = str(case.count) if case.is_once else f"{case.count}+"
        self.injection = Injection(
            calls=case.call,
            what=f"error={case.error}:when={when}",
            log=directory / "strace.log",
            path=path,
        )

    def run(self) -> Outcome:
        """Run it; the process is gone afterwards."""
        self.sidecar.command = self.injection.command(self.command)
        try:
            was_poisoned = self._run_injected()
            self.sidecar.command = self.command
            self._run_after(was_poisoned=was_poisoned)
        finally:
            self.sidecar.close()
        return self.outcome

    def _run_injected(self) -> bool:
        """Run until the error shows, then stop; return whether a reconcile must follow."""
        outcome, sidecar = self.outcome, self.sidecar
        sidecar.launch(*OPTIONS)
        assert sidecar.process is not None
        assert sidecar.process.stdout is not None
        line_ready = sidecar.process.stdout.readline()
        if not line_ready.startswith("ready "):
            _, logs = sidecar.process.communicate(timeout=START_SECONDS_MAX)
            outcome.became = "did not start"
            outcome.reason = logs.strip().splitlines()[-1] if logs.strip() else ""
            outcome.expect("exit code", sidecar.process.returncode, 1)
            outcome.expect("traceback", "Traceback" in logs, False)  # noqa: FBT003 - the two sides of a comparison
            return False
        with line_to(sidecar) as line:
            is_poisoned = self._trade_until_poisoned(line)
            if is_poisoned:
                self._hold_poisoned(line)
        code = sidecar.stop(signal.SIGTERM)
        logs = sidecar.logs[-1]
        outcome.expect("traceback", "Traceback" in logs, False)  # noqa: FBT003 - as above
        if is_poisoned:
            outcome.became = "poisoned"
            outcome.expect("exit code", code, 1)
            return True
        was_met = bool(self.injection.seen(INJECTED_WORD))
        outcome.became = "went on" if was_met else "never came there"
        if code != 0:
            outcome.became = "poisoned by the stop"
            outcome.reason = logs.strip().splitlines()[-1]
            outcome.expect("the stop says why", " failed: " in outcome.reason, expected=True)
        return code != 0

    # Before.

    def _trade_until_poisoned(self, line: Line) -> bool:
        """Take rounds of everything there is, until something is refused; say whether it was."""
        for at in range(ROUNDS_MAX):
            try:
                is_well = self._take_round(line, at)
            except grpc.RpcError as error:
                fault = fault_of(error)
                is_expected = fault.reason in {"STORE_UNAVAILABLE", "OPERATOR_PROOF_UNREMEMBERED"}
                self.outcome.expect("refused as", (fault.reason, is_expected), (fault.reason, True))
                is_well = False
            if not is_well or line.status().store.poisoned:
                return self._is_shown_poisoned(line)
        return False

    def _is_shown_poisoned(self, line: Line) -> bool:
        status = line.status()
        self.outcome.reason = status.store.poisoned_why
        self.outcome.expect("status shows it", status.store.poisoned, expected=True)
        return status.store.poisoned

    def _take_round(self, line: Line, at: int) -> bool:
        """Approve, fill, flow, kill and reset; False at the first answer that is not durable."""
        order = an_order(f"o{at}", strategy="growth", symbol="CORE", quantity="1")
        decision = line.check(order)
        if decision.verdict != APPROVED or not decision.durable:
            codes = [denial_pb2.DenialCode.Name(item.code) for item in decision.violations]
            self.outcome.expect("denied as", codes[:1], ["DENIAL_CODE_STORE_UNAVAILABLE"])
            return False
        fill = a_fill(order, f"r{at}")
        line.report(fill)
        self.told.reports[fill.report_id] = fill
        flow = account_pb2.ReportAccountRequest(report_id=f"f{at}")
        flow.cash_flows.add(flow_id=f"f{at}", amount="10")
        line.safety.ReportAccount(flow, timeout=CALL_SECONDS_MAX)
        self.told.flows[flow.report_id] = flow
        symbol = f"K{at}"
        kill = _kill(line, symbol)
        if not kill.durable:
            return False
        self.told.killed.add(symbol)
        if at % 2:
            self.told.killed.discard(symbol)
            reset = operator_pb2.ResetKillRequest(reset_by="ann", reason=symbol)
            reset.scope.symbol = symbol
            proof = line.proof("ResetKill", reset)
            line.operator.ResetKill(reset, metadata=proof, timeout=CALL_SECONDS_MAX)
        return True

    # While.

    def _hold_poisoned(self, line: Line) -> None:
        """Hold a poisoned sidecar to S12.3 and S4.2, kills last."""
        outcome = self.outcome
        raising = line.check(an_order(symbol="DUNE", quantity="1"))
        outcome.expect("raising", _codes(raising), ["STORE_UNAVAILABLE"])
        exit_order = an_order(side=SELL, quantity="10")
        leaving = line.check(exit_order)
        # Where not even the start could be written, nothing is believed, and no exit passes.
        is_start_lost = line.status().recovery.state == status_pb2.RECOVERY_STATE_DAMAGED
        expected = (order_pb2.VERDICT_DENIED if is_start_lost else APPROVED, False)
        outcome.expect("exit", (leaving.verdict, leaving.durable), expected)
        self._expect_refused(
            "a report", "STORE_UNAVAILABLE", lambda: line.report(a_fill(exit_order))
        )
        self._expect_refused(
            "its repetition", "STORE_UNAVAILABLE", lambda: line.report(a_fill(exit_order))
        )
        self._expect_refused("a reset", "OPERATOR_PROOF_UNREMEMBERED", line.reset_kill)
        outcome.expect("health", _health(line), "NOT_SERVING")
        kill = _kill(line, "ACME")
        outcome.expect("kill durable", kill.durable, expected=False)
        outcome.expect("kill in force", "ACME" in _stopped(line), expected=True)
        (self.sidecar.directory / "KILL").touch()
        deadline = time.monotonic() + WAIT_SECONDS_MAX
        while EVERYTHING not in _stopped(line) and time.monotonic() < deadline:
            pass
        outcome.expect("the KILL file is obeyed", EVERYTHING in _stopped(line), expected=True)
        if not is_start_lost:
            for strategy, symbol in HELD:
                order = an_order(strategy=strategy, symbol=symbol, side=SELL, quantity="1")
                codes = _codes(line.check(order))
                outcome.expect(f"exit of {symbol} under kills", codes, ["KILL_SWITCH_HALT"])
        outcome.expect("still poisoned", line.status().store.poisoned, expected=True)

    def _expect_refused(self, what: str, reason: str, call: Callable[[], object]) -> None:
        try:
            call()
        except grpc.RpcError as error:
            self.outcome.expect(what, fault_of(error).reason, reason)
            return
        self.outcome.differences.append(f"{what} was acknowledged by a poisoned store")

    # After.

    def _run_after(self, *, was_poisoned: bool) -> None:
        """Start on a disk that works again, and hold it to what was acknowledged."""
        outcome = self.outcome
        (self.sidecar.directory / "KILL").unlink(missing_ok=True)
        self.sidecar.start("--existing")
        with line_to(self.sidecar) as line:
            status = line.status()
            state = status_pb2.RecoveryState.Name(status.recovery.state)
            outcome.next_start = state.removeprefix("RECOVERY_STATE_")
            outcome.expect("damage", outcome.next_start == "DAMAGED", expected=False)
            outcome.expect("kills forgotten", self.told.killed - _stopped(line), set())
            for report in self.told.reports.values():
                outcome.expect(report.report_id, line.report(report).duplicate, expected=True)
            for flow in self.told.flows.values():
                again = line.safety.ReportAccount(flow, timeout=CALL_SECONDS_MAX)
                outcome.expect(flow.report_id, again.duplicate, expected=True)
            if was_poisoned:
                outcome.expect("next start", outcome.next_start, "RECONCILE")
            if outcome.next_start == "RECONCILE":
                self._hold_reconcile(line)
        outcome.expect("last exit code", self.sidecar.stop(), 0)

    def _hold_reconcile(self, line: Line) -> None:
        outcome = self.outcome
        exit_order: dict[str, Any] = {"side": SELL, "quantity": "5"}
        waiting = line.check(an_order(**exit_order))
        outcome.expect("exit before the word", _codes(waiting), ["RECOVERY_RECONCILE_REQUIRED"])
        accept_recovery(line)
        codes = _codes(line.check(an_order(**exit_order)))
        outcome.expect("exit after it", codes in ([], ["KILL_SWITCH_HALT"]), expected=True)


def accept_recovery(line: Line) -> None:
    """Say, as an operator, that the books are right."""
    request = operator_pb2.AcceptRecoveryRequest(accepted_by="ann", reason="compared")
    proof = line.proof("AcceptRecovery", request)
    line.operator.AcceptRecovery(request, metadata=proof, timeout=CALL_SECONDS_MAX)


def _kill(line: Line, symbol: str) -> kill_switch_pb2.TriggerKillResponse:
    request = kill_switch_pb2.TriggerKillRequest(reason=symbol, triggered_by="tester")
    request.scope.symbol = symbol
    answer: kill_switch_pb2.TriggerKillResponse = line.safety.TriggerKill(
        request, timeout=CALL_SECONDS_MAX
    )
    return answer


def _stopped(line: Line) -> set[str]:
    return {item.scope.symbol for item in line.status().kill_switch.activations}


def _codes(decision: order_pb2.CheckOrderResponse) -> list[str]:
    prefix = "DENIAL_CODE_"
    return [
        denial_pb2.DenialCode.Name(item.code).removeprefix(prefix) for item in decision.violations
    ]


def _health(line: Line) -> str:
    stub: Any = health_pb2_grpc.HealthStub(line.channel)
    answer = stub.Check(health_pb2.HealthCheckRequest(), timeout=CALL_SECONDS_MAX)
    name: str = health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status)
    return name

"""Remembers what was acknowledged, and asks every later life for it. Lives in the test alone.

Rules:
1. What a call was told is a promise: the record of its sequence, byte for byte, as durable as its
   kind. A kill -9 may take back nothing that was written, a power cut no power-durable promise.
2. A restart gives a journal that is a prefix of what was written, reads back to the very state,
   and - where approvals may be forgotten - a stop epoch above theirs and a reconcile owed.
3. What only chance decided (a reset in flight, an answer nobody got) binds nobody.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from sidecar.auth import NonceOutcome
from sidecar.core import engine
from sidecar.core.answers import (
    AccountAnswer,
    ApiErrorAnswer,
    BatchResult,
    KillAnswer,
    OrderDecision,
    StartAnswer,
    TradeAnswer,
)
from sidecar.core.commands import (
    AcceptRecovery,
    CheckOrder,
    KillMode,
    KillScope,
    ReportAccount,
    ReportApiError,
    ReportTrade,
    ScopeKind,
    TriggerKill,
)
from sidecar.core.denial import CallRefused
from sidecar.core.events import (
    AccountReported,
    ApiErrorReported,
    KillActivated,
    KillRepeated,
    OrderApprovalRepeated,
    OrderApproved,
    TradeReported,
)
from sidecar.core.state import State, to_plain
from sidecar.service import Service
from sidecar.service.records import Record, decode_record
from tests.voyage import law
from tests.voyage.calls import Call, state_of
from tests.voyage.disk import Ending
from tests.voyage.operators import is_refusal_final
from tests.voyage.sea import Sea

KILL_STARTS: Final = frozenset({"ResetKill", "EaseKill", "ResetAll"})

IN_NO_RECORD: Final = 10**9
"""The sequence of what was approved from memory: no journal reaches it."""

Key = tuple[str, str, str]
"""RPC, order id, report id."""


@dataclass(slots=True)
class GivenOut:
    """An approval somebody holds: its record and its stop epoch."""

    sequence: int
    stop_epoch: int


@dataclass(slots=True)
class Life:
    """What one life of the sidecar wrote and said."""

    written: list[bytes]
    attempted: list[bytes]
    power_sequence: int = 0
    approvals: list[GivenOut] = field(default_factory=list)
    was_started: bool = False
    was_poisoned: bool = False
    was_stopped: bool = False
    is_disk_gone: bool = False


@dataclass(frozen=True, slots=True)
class KnownKill:
    """A kill that was acknowledged, and that no start can have undone."""

    mode: KillMode
    is_durable: bool


class Oracle:
    """The acknowledgements of one voyage."""

    def __init__(self, sea: Sea, *, approvals_need_power: bool) -> None:
        """Nothing was promised yet."""
        self._sea = sea
        self._approvals_need_power = approvals_need_power
        self._acknowledged: dict[Key, int] = {}
        self._answers_count = 0
        self._nonces: dict[str, int] = {}
        self._is_owed = False
        self._denies_reducing = False
        self._kills: dict[str, KnownKill] = {}
        self._starts_count = 0
        self._starts_open: set[int] = set()
        self._forgotten: list[GivenOut] = []
        self._folded: law.Folded | None = None
        self.life = Life([], [])

    # While a life lasts.

    def note_append(self, records: Sequence[tuple[int, bytes]]) -> None:
        """Take note of records handed to the store."""
        self.life.attempted += [bytes(record) for _, record in records]

    def note_written(self) -> None:
        """Take note that the store took them."""
        self.life.written = list(self.life.attempted)

    def sent(self, call: Call) -> None:
        """Take note of a call; a start that is under way makes kills uncertain."""
        is_statement = isinstance(call.command, ReportAccount) and call.command.positions_complete
        if is_statement or isinstance(call.command, AcceptRecovery):
            self._is_owed = self._denies_reducing = False
        if call.name in KILL_STARTS:
            self._kills.clear()
            self._starts_count += 1
            self._starts_open.add(call.number)
        call.starts_count = self._starts_count
        call.answers_count = self._answers_count
        call.known_halts = frozenset(
            key for key, kill in self._kills.items() if kill.mode is KillMode.HALT
        )

    def answered(self, call: Call, answer: Any, service: Service) -> None:  # noqa: ANN401 - any answer
        """Hold an answer to what was said before, and keep what it promises."""
        self._answers_count += 1
        self._starts_open.discard(call.number)
        if isinstance(answer, OrderDecision):
            self._decided(call, call.command, answer, service)
        elif isinstance(answer, list):
            for command, item in zip(self._items(call.command), answer, strict=True):
                if isinstance(item, BatchResult):
                    if item.decision is not None:
                        self._decided(call, command, item.decision, service)
                elif isinstance(item, TradeAnswer):
                    self._reported(call, command, item)
        elif isinstance(answer, (TradeAnswer, ApiErrorAnswer, AccountAnswer)):
            self._reported(call, call.command, answer)
        elif isinstance(answer, KillAnswer):
            self._killed(call, answer)
        elif isinstance(answer, StartAnswer):
            self._promise(answer.sequence, is_power=True)
            self._require_healthy(call)
        elif isinstance(answer, NonceOutcome):
            self._nonce(call, answer)

    def refused(self, call: Call, refused: CallRefused) -> None:
        """Count a refusal; it promises nothing."""
        self._starts_open.discard(call.number)
        self._sea.met[f"refused {refused.reason}"] += 1
        if call.name.startswith(("Reset", "Ease")) and not is_refusal_final(refused):
            self._sea.met["starts refused for the store"] += 1

    @staticmethod
    def _items(command: object) -> Sequence[object]:
        return command if isinstance(command, tuple) else ()

    def _decided(
        self, call: Call, command: object, decision: OrderDecision, service: Service
    ) -> None:
        sea = self._sea
        if not decision.is_approved:
            sea.met["denials"] += 1
            return
        assert isinstance(command, CheckOrder)
        what = f"{call.words} {decision.order_id} approved at epoch {decision.stop_epoch}"
        sea.require(
            "S4.7 the epoch after the last await",
            f"{what}, the sidecar is at {service.stop_epoch}",
            holds=decision.stop_epoch == service.stop_epoch,
        )
        scopes = {"ALL", f"STRATEGY {command.strategy}", f"SYMBOL {command.symbol}"}
        if call.starts_count == self._starts_count:
            covering = sorted(scopes & call.known_halts)
            sea.require("S4.7 by time", f"{what} under HALT of {covering}", holds=not covering)
        if not decision.durable:
            sea.met["approvals from memory"] += 1
            self._decided_from_memory(command, what, service)
            self.life.approvals.append(GivenOut(IN_NO_RECORD, decision.stop_epoch))
            return
        sea.require("S4.2", f"{what} by a poisoned store", holds=not call.was_poisoned)
        sea.met["approvals"] += 1
        sea.met["approvals repeated"] += decision.replayed
        record = self._promise(decision.sequence, is_power=self._approvals_need_power)
        self.life.approvals.append(GivenOut(decision.sequence, decision.stop_epoch))
        approved = law.events_of(record, OrderApproved) + law.events_of(
            record, OrderApprovalRepeated
        )
        named = {event.order_id for event in approved}
        sea.require("S12.1", f"{what} without a record", holds=decision.order_id in named)

    def _decided_from_memory(self, command: CheckOrder, what: str, service: Service) -> None:
        """Only reducing orders, and none while the start itself is not reconciled (S4.2, S12.4)."""
        state = state_of(service)
        symbol = state.symbols.get(command.symbol)
        book = symbol.books.get(command.strategy) if symbol is not None else None
        is_opening = book is None or law.is_opening(book.position, command.side, command.quantity)
        self._sea.require("S4.2", f"{what} from memory, not reducing", holds=not is_opening)
        self._sea.require("S12.4", f"{what} from memory", holds=not self._denies_reducing)

    def _reported(
        self, call: Call, command: object, answer: TradeAnswer | ApiErrorAnswer | AccountAnswer
    ) -> None:
        self._require_healthy(call)
        record = self._promise(answer.sequence, is_power=True)
        key = _key_of(command)
        if self._acknowledged.get(key, self._answers_count) <= call.answers_count:
            self._sea.met["reports repeated"] += 1
            self._sea.require(
                "S7.2 idempotent", f"{call.words} {key} counts twice", holds=answer.duplicate
            )
        self._acknowledged.setdefault(key, self._answers_count)
        if not answer.duplicate:
            found = {_key_of_event(event) for event in record.events}
            self._sea.require("S12.1", f"{call.words} without a record", holds=key in found)

    def _killed(self, call: Call, answer: KillAnswer) -> None:
        assert isinstance(call.command, TriggerKill)
        activation = answer.activation
        if not self._starts_open:
            kill = KnownKill(activation.mode, answer.durable)
            self._kills[_scope_key(activation.scope)] = kill
        if not answer.durable:
            self._sea.met["kills not durable"] += 1
            return
        self._sea.require(
            "S12.3", f"{call.words} durable though poisoned", holds=not call.was_poisoned
        )
        self._sea.met["kills acknowledged"] += 1
        record = self._promise(answer.sequence, is_power=True)
        kills = law.events_of(record, KillActivated) + law.events_of(record, KillRepeated)
        reasons = {event.reason for event in kills}
        self._sea.require(
            "S12.1", f"{call.words} without a record", holds=call.command.reason in reasons
        )

    def _nonce(self, call: Call, answer: NonceOutcome) -> None:
        nonce = str(call.command)
        until_ns = self._nonces.get(nonce, 0)
        if answer is NonceOutcome.FRESH:
            self._sea.require("S11", f"{nonce} is taken twice", holds=until_ns <= call.sent_ns)
            self._nonces[nonce] = call.sent_ns + 600 * 10**9
            self._sea.met["nonces taken"] += 1
            self._require_healthy(call)
        elif answer is NonceOutcome.SEEN:
            self._sea.met["nonces seen again"] += 1

    def _require_healthy(self, call: Call) -> None:
        self._sea.require(
            "S12.3 nothing succeeds after poison",
            f"{call.words} was acknowledged by a poisoned store",
            holds=not call.was_poisoned,
        )

    def _promise(self, sequence: int, *, is_power: bool) -> Record:
        life, sea = self.life, self._sea
        is_written = 0 < sequence <= len(life.written)
        sea.require("S12.1", f"record {sequence} is answered, not written", holds=is_written)
        if is_power:
            life.power_sequence = max(life.power_sequence, sequence)
        return decode_record(life.written[sequence - 1])

    # Between two lives.

    def begin_life(self, ending: Ending, survived: list[bytes]) -> None:
        """Begin with what the start found; remember what the last life left to do."""
        before = self.life
        if before.was_started and ending is Ending.CUT and not before.was_stopped:
            self._is_owed = True
        if before.was_started and before.was_poisoned:
            # A disk that takes nothing any more does not take the word of it either; the
            # machine's memory does, until power goes.
            self._is_owed = True
            self._denies_reducing |= not before.is_disk_gone or ending is not Ending.CUT
        self._forgotten += [each for each in before.approvals if each.sequence > len(survived)]
        self.life = Life(list(survived), list(survived))
        self._starts_open.clear()
        self._kills = {key: kill for key, kill in self._kills.items() if kill.is_durable}

    def hold_journal(self, ending: Ending, survived: list[bytes], opened: State) -> None:
        """Hold what a start found to what was promised before (rules 1 and 2)."""
        sea, life = self._sea, self.life
        count = len(survived)
        is_cut = ending is Ending.CUT and not life.was_stopped
        promised = life.power_sequence if is_cut else len(life.written)
        sea.require(
            "S12.1 nothing acknowledged is lost",
            f"{count} records after a {ending.value}, {promised} were promised",
            holds=count >= promised,
        )
        sea.require(
            "S12.4 a prefix",
            f"the {count} records found are not those that were written",
            holds=survived == life.attempted[:count],
        )
        folded = self._fold(life.attempted, count)
        sea.require("S4 by sequence", "; ".join(folded.faults[:3]), holds=not folded.faults)
        expected = folded.plain_at.get(count, to_plain(State()))
        sea.require(
            "S3 replay equals what was opened",
            _difference(expected, to_plain(opened)),
            holds=expected == to_plain(opened),
        )
        if count < len(life.written):
            sea.met["cuts that took records"] += 1
        self._hold_starts(folded, count)

    def _fold(self, payloads: list[bytes], looked_at: int) -> law.Folded:
        """Fold, unless the very same was just done to hold the memory to it."""
        known, self._folded = self._folded, None
        is_same = known is not None and len(known.records) == len(payloads) == looked_at
        return known if known is not None and is_same else law.fold(payloads, looked_at=looked_at)

    def _hold_starts(self, folded: law.Folded, count: int) -> None:
        """No approval was given out on the strength of a start that did not last (S10.3)."""
        lost = [r.sequence for r in folded.records[count:] if law.is_start(r)]
        for approval in self.life.approvals:
            if approval.sequence == IN_NO_RECORD:
                continue
            early = [sequence for sequence in lost if sequence < approval.sequence]
            self._sea.require(
                "S10.3 durable first, then effective",
                f"approval {approval.sequence} was given out after start {early}, which was lost",
                holds=not early,
            )

    def hold_memory(self, service: Service) -> None:
        """What the service had in memory is what its journal says (S3); between two steps only."""
        state = state_of(service)
        folded = law.fold(self.life.written, looked_at=len(self.life.written))
        self._folded = folded
        if state.last_sequence != len(self.life.written):
            self._sea.fail(
                "S3", f"memory is at {state.last_sequence}, not {len(self.life.written)}"
            )
        now = max(state.now, folded.state.now)
        for each in (state, folded.state):
            # A look at the clock leaves no record; both take the same one.
            engine.begin(each, each.last_sequence + 1, now)
        self._sea.require(
            "S3 memory equals replay",
            _difference(to_plain(folded.state), to_plain(state)),
            holds=folded.plain == to_plain(state),
        )

    def hold_start(self, service: Service) -> None:
        """Hold a start to what it owes: a reconcile, and an epoch above what was forgotten."""
        sea = self._sea
        recovery = service.status().view.recovery
        sea.met[f"starts {recovery.state.value}"] += 1
        if self._is_owed:
            sea.require("S12.4", "no reconcile is asked for", holds=bool(recovery.way_out))
        if self._denies_reducing:
            sea.require("S12.4", "reducing is not denied", holds=recovery.denies_reducing)
        for approval in self._forgotten:
            sea.met["approvals forgotten"] += 1
            sea.require(
                "S4.6 a forgotten approval is not valid any more",
                f"approval {approval.sequence} of epoch {approval.stop_epoch} is forgotten, "
                f"the sidecar is at {service.stop_epoch} again",
                holds=approval.stop_epoch < service.stop_epoch,
            )
        self._forgotten.clear()


def _key_of(command: object) -> Key:
    if isinstance(command, ReportTrade):
        return ("ReportTrade", command.order_id, command.report_id)
    assert isinstance(command, (ReportApiError, ReportAccount))
    return (type(command).__name__, "", command.report_id)


def _key_of_event(event: object) -> Key | None:
    if isinstance(event, TradeReported):
        return _key_of(event.report)
    if isinstance(event, ApiErrorReported):
        return _key_of(event.report)
    if isinstance(event, AccountReported):
        return ("ReportAccount", "", event.report_id)
    return None


def _scope_key(scope: KillScope) -> str:
    return scope.kind.value if scope.kind is ScopeKind.ALL else f"{scope.kind.value} {scope.name}"


def _difference(expected: object, found: object, path: str = "") -> str:
    """Return where two plain states part."""
    if isinstance(expected, list) and isinstance(found, list) and len(expected) == len(found):
        for at, (one, two) in enumerate(zip(expected, found, strict=True)):
            if one != two:
                return _difference(one, two, f"{path}[{at}]")
    if isinstance(expected, dict) and isinstance(found, dict) and expected.keys() == found.keys():
        for key, one in expected.items():
            if one != found[key]:
                return _difference(one, found[key], f"{path}[{key!r}]")
    return f"at {path}: {str(expected)[:200]} became {str(found)[:200]}"

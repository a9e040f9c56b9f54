"""The last life of a voyage: no fault, no early end; all is delivered and compared.

Rules:
1. Every report is repeated until it is acknowledged; the sidecar then holds what the venue holds.
2. Whatever is left to reconcile ends with one complete report, and trading can be started again.
"""

from __future__ import annotations

from decimal import Decimal

from tests.voyage.calls import Call, Outcome, state_of
from tests.voyage.disk import KILL_FILE, Disk, Ending
from tests.voyage.life import Life, Plan, Ship
from tests.voyage.venue import Venue

ROUNDS_MAX = 200


class Homecoming(Life):
    """Sails home."""

    def __init__(self, ship: Ship, venue: Venue, disk: Disk, before: Ending) -> None:
        """`venue` is what the sidecar must agree with."""
        super().__init__(ship, disk, Plan(ending=Ending.STOP, calls_count=0), before)
        self._venue = venue

    def _use(self) -> None:
        super()._use()
        fleet, service = self._ship.fleet, self._service
        assert service is not None
        (self._disk.directory / KILL_FILE).unlink(missing_ok=True)
        fleet.drop_approvals()
        rounds = 0
        while (call := fleet.next_due()) is not None:
            self._await(call)
            rounds += 1
            self._sea.require("liveness", "reports stay undelivered", holds=rounds < ROUNDS_MAX)
        self._compare("after every report")
        self._await(fleet.state(service))
        self._compare("after a complete report")
        self._sea.require(
            "S12.4",
            f"a reconcile stays owed: {service.status().view.recovery.detail}",
            holds=not service.status().view.recovery.way_out,
        )
        self._await(self._ship.operators.reset_all(service))

    def _await(self, call: Call) -> None:
        self.send(call, may_be_canceled=False)
        while call.outcome is Outcome.OPEN and self._step():
            pass

    def _compare(self, when: str) -> None:
        assert self._service is not None
        ours = {
            (book.strategy, book.symbol): book.position
            for book in state_of(self._service).book_list
            if book.position
        }
        theirs = {book: held for book, held in self._venue.positions.items() if held != Decimal(0)}
        self._sea.require(
            "S7 positions are the venue's",
            f"{when} ours {ours}, theirs {theirs}",
            holds=ours == theirs,
        )

"""The people: they kill, reset, ease and accept, put a KILL file down, and set the clock.

Rules:
1. Every kill and start has a reason of its own, by which its record is known again.
2. They look first: a reset names the drawdowns that stand, a release only what ended unfilled,
   and a recovery is accepted only where the books are the venue's.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from sidecar.clock import SECOND_NS
from sidecar.core.commands import (
    AcceptRecovery,
    Drawdown,
    EaseKill,
    KillMode,
    KillScope,
    ReleaseOrder,
    RequestedAction,
    ResetAll,
    ResetBreaker,
    ResetKill,
    ScopeKind,
    TriggerKill,
)
from sidecar.core.denial import CallRefused
from sidecar.service import Service
from tests.voyage.calls import BOT, OPERATOR, Call, state_of
from tests.voyage.disk import KILL_FILE, Disk
from tests.voyage.fleet import STRATEGIES
from tests.voyage.sea import Sea
from tests.voyage.venue import SYMBOLS, Venue

NONCE_LIFE_NS: Final = 600 * SECOND_NS
WALL_STEPS_NS: Final = tuple(
    seconds * SECOND_NS for seconds in (-86_400, -3_600, -61, -2, 2, 61, 3_600, 86_400)
)


class Operators:
    """Everyone with a hand on the switch."""

    def __init__(self, sea: Sea, venue: Venue) -> None:
        """Nothing was done yet."""
        self._venue = venue
        self._sea = sea
        self._numbers = 0

    def draw_call(self, service: Service) -> Call:
        """Return the next call of some person."""
        makers: tuple[tuple[Callable[[Service], Call], int], ...] = (
            (self._kill, 8),
            (self.reset_kill, 5),
            (self._ease, 2),
            (self.reset_breaker, 3),
            (self.reset_all, 4),
            (self._accept_clock, 1),
            (self._release, 2),
            (self._use_nonce, 1),
        )
        chosen, weights = zip(*makers, strict=True)
        maker: Callable[[Service], Call] = self._sea.chance.choices(chosen, weights)[0]
        return maker(service)

    def meddle(self, disk: Disk) -> None:
        """Set the wall, or put the KILL file down or take it away."""
        sea, path = self._sea, disk.directory / KILL_FILE
        if sea.happens(0.5):
            step = sea.chance.choice(WALL_STEPS_NS)
            sea.shift_wall(step)
            sea.met["wall stepped back" if step < 0 else "wall stepped forward"] += 1
            sea.say(f"the wall steps by {step // SECOND_NS} s")
        elif path.exists():
            path.unlink()
            sea.say("the KILL file is removed")
        elif sea.happens(0.4):
            path.touch()
            sea.met["KILL files"] += 1
            sea.say("a KILL file is put down")

    def _reason(self, what: str) -> str:
        self._numbers += 1
        return f"{what}-{self._numbers}"

    def _kill(self, service: Service) -> Call:
        del service
        chance = self._sea.chance
        scope_kind = chance.choice(("", "", ScopeKind.STRATEGY.value, ScopeKind.SYMBOL.value))
        names = STRATEGIES if scope_kind == ScopeKind.STRATEGY.value else SYMBOLS
        kill = TriggerKill(
            reason=self._reason("kill"),
            triggered_by="alice",
            mode=chance.choice(list(KillMode)).value,
            scope_kind=scope_kind,
            scope_name=chance.choice(names) if scope_kind else "",
            requested_action=chance.choice(list(RequestedAction)).value,
        )
        return Call(
            f"TriggerKill {kill.mode} {kill.scope_kind or 'ALL'} {kill.scope_name}",
            kill,
            lambda sidecar: sidecar.trigger_kill(kill, BOT),
        )

    def _epoch(self, service: Service) -> int | None:
        """Draw the epoch a reset expects: mostly none, now and then the newest."""
        return service.stop_epoch if self._sea.happens(0.3) else None

    def _scope(self) -> KillScope | None:
        if self._sea.happens(0.7):
            return None
        return KillScope(ScopeKind.STRATEGY, self._sea.chance.choice(STRATEGIES))

    def reset_kill(self, service: Service) -> Call:
        """Return a reset of kills."""
        command = ResetKill(
            reset_by="alice",
            reason=self._reason("reset"),
            scope=self._scope(),
            expected_epoch=self._epoch(service),
        )
        return Call("ResetKill", command, lambda sidecar: sidecar.reset_kill(command, OPERATOR))

    def _ease(self, service: Service) -> Call:
        command = EaseKill(
            reset_by="alice",
            reason=self._reason("ease"),
            scope=self._scope(),
            expected_epoch=self._epoch(service),
        )
        return Call("EaseKill", command, lambda sidecar: sidecar.ease_kill(command, OPERATOR))

    def reset_breaker(self, service: Service) -> Call:
        """Return a reset of the breaker that names what stands."""
        command = ResetBreaker(
            reset_by="alice", reason=self._reason("close"), rebase=_standing(service)
        )
        return Call(
            "ResetBreaker", command, lambda sidecar: sidecar.reset_breaker(command, OPERATOR)
        )

    def reset_all(self, service: Service) -> Call:
        """Return a reset of both latches."""
        command = ResetAll(reset_by="alice", reason=self._reason("all"), rebase=_standing(service))
        return Call("ResetAll", command, lambda sidecar: sidecar.reset_all(command, OPERATOR))

    def _accept_clock(self, service: Service) -> Call:
        del service
        reason = self._reason("clock")
        return Call(
            "AcceptClock", reason, lambda sidecar: sidecar.accept_clock("alice", reason, OPERATOR)
        )

    def may_accept(self, service: Service) -> bool:
        """Say whether the books, compared with the venue's, are right."""
        state = state_of(service)
        ours = {
            (book.strategy, book.symbol): book.position for book in state.book_list if book.position
        }
        theirs = {book: held for book, held in self._venue.positions.items() if held}
        is_known = all(
            order_id in state.open_orders
            for order_id, known in self._venue.orders.items()
            if known.is_open
        )
        return is_known and ours == theirs

    def accept_recovery(self) -> Call:
        """Return the word of a person that the books are right."""
        command = AcceptRecovery(accepted_by="alice", reason=self._reason("accept"))
        return Call(
            "AcceptRecovery", command, lambda sidecar: sidecar.accept_recovery(command, OPERATOR)
        )

    def _release(self, service: Service) -> Call:
        """Release an order that ended at the venue without a fill, or one nobody knows."""
        del service
        ended = [
            order_id
            for order_id, known in self._venue.orders.items()
            if not known.is_open and not known.filled
        ]
        order_id = self._sea.chance.choice(ended) if ended else "nobody"
        command = ReleaseOrder(order_id=order_id, released_by="alice", reason=self._reason("go"))
        return Call(
            "ReleaseOrder", command, lambda sidecar: sidecar.release_order(command, OPERATOR)
        )

    def _use_nonce(self, service: Service) -> Call:
        del service
        nonce = f"nonce-{self._sea.chance.randrange(6)}"
        now_ns = self._sea.now_ns
        return Call(
            "nonce",
            nonce,
            lambda sidecar: sidecar.remember_nonce(nonce, now_ns + NONCE_LIFE_NS, now_ns),
        )


def _standing(service: Service) -> tuple[Drawdown, ...]:
    """Return the drawdowns that stand now, as an operator reads them off the status."""
    return tuple(
        Drawdown(view.drawdown)
        for view in service.status().view.account.drawdowns
        if view.ratio is not None and view.ratio >= view.threshold
    )


def is_refusal_final(refused: CallRefused) -> bool:
    """Say whether a refused start can never come into effect: the store was not the reason."""
    return refused.reason != "STORE_UNAVAILABLE"

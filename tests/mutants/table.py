"""The mutants: single lines of the core, changed the way a tired hand would change them.

Rules:
- A mutant names its file, a text that stands there exactly once, and what stands there instead.
- `loss` says what a trader would lose if nobody noticed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Mutant:
    """One changed line of `sidecar/core/<file>.py`."""

    file: str
    old: str
    new: str
    loss: str

    @property
    def name(self) -> str:
        """Return the file and the changed text, for people and for `--only`."""
        return f"{self.file}: {self.old} -> {self.new}"


MUTANTS: Final[tuple[Mutant, ...]] = tuple(
    Mutant(*row)
    for row in (
        # The circuit breaker.
        ("circuit_breaker", "count >= threshold,", "count > threshold,", "one loss more than set"),
        (
            "circuit_breaker",
            "count >= threshold * rules.warning_ratio",
            "count > threshold * rules.warning_ratio",
            "the warning at exactly 80 %",
        ),
        ("circuit_breaker", "heard_at >= silence", "heard_at > silence", "the instant of silence"),
        ("circuit_breaker", "equity <= ZERO:", "equity < ZERO:", "the trip of an empty account"),
        ("circuit_breaker", "state.stop_epoch += 1", "state.stop_epoch += 0", "stale approvals"),
        ("circuit_breaker", "breaker.is_open = False", "breaker.is_open = True", "every reset"),
        (
            "circuit_breaker",
            "breaker.consecutive_losses = 0",
            "breaker.consecutive_losses += 0",
            "a reset that forgets the streak",
        ),
        (
            "circuit_breaker",
            "breaker.order_failures = 0",
            "breaker.order_failures += 0",
            "a reset that forgets the failures",
        ),
        (
            "circuit_breaker",
            "breaker.api_errors.times.clear()",
            "breaker.api_errors.times.copy()",
            "a reset that forgets the errors",
        ),
        (
            "circuit_breaker",
            "breaker.failed_trades.times.clear()",
            "breaker.failed_trades.times.copy()",
            "a reset that forgets the failed trades",
        ),
        # The kill switch.
        (
            "kill_switch",
            "_STRICTNESS[activation.mode] > _STRICTNESS[found.mode]",
            "_STRICTNESS[activation.mode] < _STRICTNESS[found.mode]",
            "the stricter of two kills",
        ),
        (
            "kill_switch",
            "_STRICTNESS[mode] <= _STRICTNESS[active.mode]",
            "_STRICTNESS[mode] < _STRICTNESS[active.mode]",
            "one activation of many triggers",
        ),
        ("kill_switch", "state.stop_epoch += 1", "state.stop_epoch += 0", "stale approvals"),
        ("kill_switch", ".attempts += count", ".attempts += 0", "the record of further attempts"),
        ("kill_switch", "highest = max(", "highest = min(", "the newest kill, at a stale reset"),
        # Equity, units, drawdown, marks.
        (
            "account",
            "equity * anchor.units > anchor.equity * units",
            "equity * anchor.units < anchor.equity * units",
            "the high-water mark",
        ),
        (
            "account",
            "return drawdown is Drawdown.TOTAL and equity is not None and equity <= ZERO",
            "return drawdown is Drawdown.TOTAL and equity is not None and equity < ZERO",
            "the total drawdown of an empty account",
        ),
        (
            "account",
            "threshold_of(state, drawdown) * share + _ROUNDING_MAX",
            "threshold_of(state, drawdown) * share - _ROUNDING_MAX",
            "the drawdown exactly at its threshold",
        ),
        ("account", "account.cash += event.amount", "account.cash -= event.amount", "a deposit"),
        ("account", "if after <= ZERO:", "if after < ZERO:", "the last unit"),
        (
            "account",
            "waited_ns >= state.thresholds.account.mark_confirm_ns",
            "waited_ns > state.thresholds.account.mark_confirm_ns",
            "the second report after exactly a second",
        ),
        (
            "account",
            "abs(price - other) <= state.thresholds",
            "abs(price - other) < state.thresholds",
            "a mark exactly at the edge of its band",
        ),
        (
            "account",
            "holdings += symbol.net_position * change",
            "holdings -= symbol.net_position * change",
            "open losses",
        ),
        # Fills and reports.
        (
            "trades",
            "(report.venue_time or 0) <= (covered_until or 0)",
            "(report.venue_time or 0) < (covered_until or 0)",
            "a fill counted twice by a listing",
        ),
        (
            "trades",
            "record.filled + outside > record.whole_quantity",
            "record.filled + outside >= record.whole_quantity",
            "the difference of filled and overfilled",
        ),
        (
            "trades",
            "report.venue_time < record.replaced_venue_time",
            "report.venue_time > record.replaced_venue_time",
            "the newest replacement",
        ),
        ("trades", "report.new_quantity > approved", "report.new_quantity >= approved", "a flag"),
        (
            "trades",
            "breaker.order_failures = 0",
            "breaker.order_failures += 0",
            "failures in a row",
        ),
        ("trades", "breaker.order_failures += 1", "breaker.order_failures += 2", "one failure"),
        ("trades", "record.filled += outside", "record.filled -= outside", "what was filled"),
        (
            "trades",
            "remaining = max(ZERO, record.whole_quantity - record.filled)",
            "remaining = max(ZERO, record.whole_quantity)",
            "the room of partial fills",
        ),
        (
            "trades",
            "state.account.cash += proceeds - fee",
            "state.account.cash += proceeds + fee",
            "the fee",
        ),
        ("trades", "state.account.cash -= fee", "state.account.cash += fee", "a covered fee"),
        ("trades", "if abs(change) < abs(position):", "if abs(change) <= abs(position):", "a trip"),
        ("trades", "if abs(change) > abs(position):", "if abs(change) < abs(position):", "a flip"),
        ("trades", "if result < ZERO:", "if result <= ZERO:", "break-even as neutral"),
        (
            "trades",
            "state.breaker.consecutive_losses = 0",
            "state.breaker.consecutive_losses += 0",
            "the win that clears",
        ),
        # The four limits.
        ("position_limits", "if projected > limit:", "if projected >= limit:", "the limit itself"),
        (
            "position_limits",
            "growth <= room or growth",
            "growth >= room or growth",
            "every limit, for orders beyond the room",
        ),
        (
            "position_limits",
            "if facts.state.position_count < limit:",
            "if facts.state.position_count <= limit:",
            "the eleventh position",
        ),
        (
            "position_limits",
            "abs(facts.marked) <= facts.thresholds.account.dust_notional",
            "abs(facts.marked) < facts.thresholds.account.dust_notional",
            "dust exactly at its bound",
        ),
        # The rules of one order.
        ("order_rules", "quantity <= limit:", "quantity < limit:", "the largest quantity"),
        (
            "order_rules",
            "notional is None or notional <= limit:",
            "notional is None or notional < limit:",
            "the largest notional",
        ),
        (
            "order_rules",
            "is_low = is_low and facts.order.side is Side.SELL",
            "is_low = is_low and facts.order.side is Side.BUY",
            "the losing side of an exit's collar",
        ),
        ("order_rules", "if count + 1 <= limit:", "if count <= limit:", "one order more"),
        ("order_rules", "at > facts.now - window", "at >= facts.now - window", "a decayed double"),
        ("order_rules", "if projected <= limit:", "if projected < limit:", "the day's last order"),
        # Exposure.
        (
            "exposure",
            "state.portfolio_exposure += change",
            "state.portfolio_exposure -= change",
            "the portfolio's sum",
        ),
        ("exposure", "strategy.exposure += change", "strategy.exposure -= change", "its sum"),
        ("exposure", "if bought > worst:", "if bought < worst:", "the worst case of buys"),
        ("exposure", "if sold > worst:", "if sold < worst:", "the worst case of sales"),
        (
            "exposure",
            "abs(marked) > state.thresholds.account.dust_notional",
            "abs(marked) >= state.thresholds.account.dust_notional",
            "a position at exactly dust",
        ),
        ("exposure", "state.position_count -= 1", "state.position_count -= 0", "a free place"),
        ("exposure", "book.position += change", "book.position -= change", "the side of fills"),
        # Reservations.
        (
            "reservations",
            "book.sell_notional += notional",
            "book.sell_notional -= notional",
            "what sells hold",
        ),
        ("reservations", "record.is_open = False", "record.is_open = True", "the end of an order"),
        (
            "reservations",
            "quantity = max(quantity, record.remaining)",
            "quantity = min(quantity, record.remaining)",
            "the largest of a group",
        ),
        (
            "reservations",
            "max(price, record.price)",
            "min(price, record.price)",
            "the dearer price of an order held again",
        ),
        (
            "reservations",
            "max(record.good_till, sendable_until)",
            "min(record.good_till, sendable_until)",
            "room that a dead good_till freed",
        ),
        # Reducing and raising.
        (
            "facts",
            "if exit_base.quantity_with(order.quantity) <= size:",
            "if exit_base.quantity_with(order.quantity) < size:",
            "a full close",
        ),
        ("facts", "facts.is_raising = growth > ZERO", "facts.is_raising = growth >= ZERO", "exits"),
        (
            "facts",
            "self.now - self.symbol.mark_at > age_ns_max",
            "self.now - self.symbol.mark_at >= age_ns_max",
            "a mark exactly at its age",
        ),
        ("checks", "turn.now < record.expires_at", "turn.now <= record.expires_at", "expiry"),
        (
            "approvable",
            "most is None or allowed < most else most",
            "most is None or allowed > most else most",
            "the smaller of two bounds",
        ),
        # Account reports.
        (
            "account_effects",
            "(event.as_of_sequence or 0) >= recovery.sequence",
            "(event.as_of_sequence or 0) <= recovery.sequence",
            "reconciling with an answer older than the start",
        ),
        (
            "account_reports",
            "if book is not None and book.touched_sequence > as_of:",
            "if book is not None and book.touched_sequence >= as_of + 2:",
            "a book that moved after the venue was asked",
        ),
        (
            "account_reports",
            "report.equity > computed * (ONE + ratio)",
            "report.equity >= computed * (ONE + ratio)",
            "a rise of exactly the bound",
        ),
        # What an approval leaves, windows, days.
        (
            "order_effects",
            "account.daily_notional += notional - counted",
            "account.daily_notional += notional",
            "a renewal counted once",
        ),
        (
            "order_effects",
            "if state.expiry_due > past:",
            "if state.expiry_due < past:",
            "the first expiry",
        ),
        ("state", "times[0] <= now - window_ns", "times[0] < now - window_ns", "a window's edge"),
        (
            "engine",
            "if turn.now >= turn.state.account.day_ends_at:",
            "if turn.now > turn.state.account.day_ends_at:",
            "midnight itself",
        ),
        (
            "engine",
            "venue_time < remembered_since",
            "venue_time > remembered_since",
            "a report older than memory",
        ),
        (
            "engine",
            "report.fee_quantity > (report.fill_quantity or ZERO)",
            "report.fee_quantity >= (report.fill_quantity or ZERO)",
            "a fee of all that was bought",
        ),
        # Days, what falls due, what is rebuilt, what is shown.
        (
            "calendar",
            "week = (days + 3) // 7",
            "week = (days + 4) // 7",
            "the week that begins on Monday",
        ),
        ("calendar", "(days + 1) * _DAY_NS", "(days + 2) * _DAY_NS", "the end of the day"),
        ("due", "heap[0][0] <= now", "heap[0][0] < now", "a release at its instant"),
        ("due", "record.good_till <= now", "record.good_till > now", "why a reservation ended"),
        (
            "due",
            "heappush(heap, (due, order_id))",
            "heappush(heap, (due + due, order_id))",
            "a release that was put off",
        ),
        (
            "thresholds",
            "if not lower < upper:",
            "if not lower <= upper:",
            "a weekly threshold equal to the daily one",
        ),
        (
            "thresholds",
            "if lower > upper:",
            "if lower >= upper:",
            "equal limits, which are allowed",
        ),
        (
            "thresholds",
            "if ZERO < ratio <= ONE:",
            "if ZERO <= ratio <= ONE:",
            "a limit of nothing at all",
        ),
        (
            "thresholds",
            "if window is not None and window <= 0:",
            "if window is not None and window < 0:",
            "a window that counts nothing",
        ),
        (
            "thresholds",
            "if not ZERO < breaker.warning_ratio <= ONE:",
            "if not ZERO < breaker.warning_ratio < ONE:",
            "a warning at the threshold itself",
        ),
        (
            "derive",
            "symbol.net_position += book.position",
            "symbol.net_position = book.position",
            "the other strategies' positions",
        ),
        (
            "derive",
            "account.holdings += symbol.net_position",
            "account.holdings -= symbol.net_position",
            "equity after a restart",
        ),
        (
            "derive",
            "if record.expires_at is not None and record.expired_sequence is None",
            "if record.expires_at is not None",
            "expiries that were noted already",
        ),
        (
            "apply",
            "state.account.cash = equity - state.account.holdings",
            "state.account.cash = equity + state.account.holdings",
            "equity when a multiplier is corrected",
        ),
        (
            "apply",
            "state.conflicting_reports += 1",
            "state.conflicting_reports += 0",
            "reports that contradict each other",
        ),
        (
            "apply",
            "end(state, state.orders[event.order_id], is_release=True)",
            "end(state, state.orders[event.order_id])",
            "that an order was released, not ended",
        ),
        (
            "apply",
            "recovery.denies_reducing = event.denies_reducing",
            "recovery.denies_reducing = False",
            "exits of a store that was poisoned",
        ),
        (
            "apply",
            "state.clock_jump_ns += event.jump_ns",
            "state.clock_jump_ns = event.jump_ns",
            "the first of two clock jumps",
        ),
        (
            "turn",
            "if is_halted or is_blocked or denies_all or is_damaged:",
            "if is_halted or denies_all or is_damaged:",
            "a breaker that blocks everything",
        ),
        (
            "numbers",
            "if len(text) > digits_max and len(_digits(text)) > digits_max:",
            "if len(text) > digits_max and len(_digits(text)) >= digits_max:",
            "a number of the most digits allowed",
        ),
        (
            "numbers",
            "return (amount // (price * step)) * step",
            "return (amount // (price * step) + ONE) * step",
            "an approvable quantity that fits",
        ),
        ("numbers", "return Decimal(text) or ZERO", "return Decimal(text)", "that -0 is 0"),
        (
            "numbers",
            "ROUND_CEILING, context=_SHOWN",
            "ROUND_HALF_EVEN, context=_SHOWN",
            "a share above its limit shown as at it",
        ),
        (
            "views",
            "is_warning=count >= threshold * rules.warning_ratio",
            "is_warning=count > threshold * rules.warning_ratio",
            "the warning that is shown at 80 %",
        ),
        (
            "views",
            "is_stale=age_ns_max is not None and age_ns > age_ns_max",
            "is_stale=age_ns_max is not None and age_ns < age_ns_max",
            "which marks are stale",
        ),
        (
            "views",
            "armed=is_watched,",
            "armed=silence is not None,",
            "that silence guards nothing yet",
        ),
        (
            "codec",
            "if len(plain) > len(coders):",
            "if len(plain) > len(coders) + 1:",
            "what a newer sidecar wrote",
        ),
        # Snapshots.
        (
            "snapshot",
            "setattr(self.owner, self.name, written)",
            "setattr(self.owner, self.name, self.value)",
            "the zeros of a sum, and with them the words of a restart",
        ),
        ("snapshot", "if written != self.value:", "if not written:", "a sum that is another"),
        (
            "columns",
            "if len(column) not in {1, count}:",
            "if len(column) < 0:",
            "a column that ends too soon",
        ),
        # Other rules while running.
        ("tightening", "if had < has", "if has < had", "a list that loosens for free"),
        ("tightening", "(Direction.TIGHTENS, Direction.SAME)", "(Direction.UNKNOWN,)", "the proof"),
        ("tightening", "and _has_collar(before)", "and not before", "exits held by a collar"),
        ("configuration", "state.now < state.account", "state.now > state.account", "the day"),
        ("configuration", "zone != state", "zone == state", "a zone that gives a fresh allowance"),
        (
            "account",
            "record.daily_day == state.account.day else",
            "record.daily_day == day else",
            "a renewal counted twice in a renamed day",
        ),
        ("account", "elif is_week_renamed:", "elif is_day_renamed and False:", "the week's gain"),
    )
)

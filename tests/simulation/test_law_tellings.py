"""Laws of telling: what a history is told in decides nothing.

A history is lived once, then told again to a fresh sidecar, changed throughout; every answer must
be the first one, changed alike: verdict, layer, every violation with its scope and numbers, the
approvable quantity, blocking orders, expiry, flags, drift, modes, epochs; and the books at the end.

- **Law 7** (S2, S6). All money (prices, equity, fees, profits, flows, dust, notional limits) times
  a constant; or all quantities and steps times a constant and multipliers divided by it. Any
  constant where the product is exact; with flows a power of ten only, because units are rounded at
  60 digits, and another constant rounds at another place.
- **Law 8** (S2.1). Symbols, strategies, order ids, report ids, groups and flows under other names,
  each for each; also under names that are words of ours, or names of the other kind.
- **Law 10, time** (S2.3). All times later or earlier by whole weeks; by a day, where no week ends
  in between. Days and weeks are those of UTC here; zones have changes of their own.
"""

from collections import Counter
from dataclasses import dataclass, field, replace
from decimal import Decimal
from hashlib import sha256
from typing import Any, Final

import pytest

from sidecar.core.answers import OrderDecision
from sidecar.core.commands import CheckOrder
from sidecar.core.denial import DenialCode, Violation
from sidecar.core.judgement import Conditions
from sidecar.core.state import State
from sidecar.core.turn import Outcome
from tests.simulation.law_histories import FULL, Setting, live
from tests.simulation.law_transforms import AS_IT_WAS, Telling
from tests.simulation.law_world import DAY, NOON, Core, World, worlds

MONEY: Final = tuple(Telling(money=Decimal(c)) for c in ("2", "7", "0.5", "1000", "0.001", "1.25"))
TENS: Final = tuple(Telling(money=Decimal(c)) for c in ("10", "0.1", "1000000"))
QUANTITIES: Final = tuple(Telling(quantity=Decimal(d)) for d in ("2", "0.5", "10", "0.01", "8"))
WORDS: Final = {"X": "alpha", "Y": "portfolio", "Z": "ALL", "alpha": "X", "beta": "STRATEGY"}
SWAPPED: Final = {"X": "Y", "Y": "X", "alpha": "beta", "beta": "alpha"}


def hashed(name: str) -> str:
    """Return another name, in no order that the first one had."""
    return f"replace:oco:{sha256(name.encode()).hexdigest()[:20]}"


def _by(names: dict[str, str]) -> Telling:
    def rename(name: str) -> str:
        return names.get(name, name)

    return Telling(symbol=rename, strategy=rename, order_id=hashed, other_id=hashed)


NAMES: Final = (_by(WORDS), _by(SWAPPED))
WEEKS: Final = tuple(Telling(shift_ns=7 * DAY * weeks) for weeks in (1, -3, 520))
DAYS: Final = tuple(Telling(shift_ns=DAY * days) for days in (1, -1))
WITHOUT_FLOWS: Final = replace(FULL, has_flows=False)
WITHIN_A_WEEK: Final = replace(FULL, has_days=False)


def hold_telling(
    seed: int, steps: int, setting: Setting, telling: Telling, core: Core | None = None
) -> Counter[str]:
    """Live a history, tell it otherwise, and compare answer by answer."""
    life = live(seed, steps, setting)
    told = World(telling.rules(life.thresholds), now=NOON + telling.shift_ns, core=core or Core())
    met: Counter[str] = Counter()
    for at, (moment, answer) in enumerate(zip(life.history, life.answers, strict=True)):
        other = told.do(telling.moment(moment))
        expected, found = telling.shown(answer), AS_IT_WAS.shown(other)
        assert found == expected, f"seed {seed}, moment {at}: {moment}\n{found}\n{expected}"
        met["told"] += 1
        if isinstance(answer, OrderDecision):
            met[answer.verdict.value] += 1
            met.update(violation.code.value for violation in answer.violations)
    assert AS_IT_WAS.books(told.books()) == telling.books(life.world.books()), f"seed {seed}"
    return met


CASES: Final = (
    ("money", WITHOUT_FLOWS, MONEY),
    ("money in tens, with flows", FULL, TENS),
    ("quantities", WITHOUT_FLOWS, QUANTITIES),
    ("names", FULL, NAMES),
    ("weeks", FULL, WEEKS),
    ("days", WITHIN_A_WEEK, DAYS),
)


@pytest.mark.parametrize("case", CASES, ids=[case[0] for case in CASES])
def test_what_a_history_is_told_in_decides_nothing(
    case: tuple[str, Setting, tuple[Telling, ...]],
) -> None:
    """Laws 7, 8 and 10: scaled, renamed or shifted, a history gets the same decisions."""
    _, setting, tellings = case
    met: Counter[str] = Counter()
    for seed in worlds(24, first=7_000):
        met += hold_telling(seed, 60, setting, tellings[seed % len(tellings)])
    assert min(met["APPROVED"], met["DENIED"]) > 60, met


@dataclass(slots=True)
class Denies(Core):
    """A liar: denies what it has a private reason against."""

    reason: str
    seen: list[str] = field(default_factory=list)

    def execute(self, state: State, command: object, conditions: Conditions) -> Outcome:
        """Add a violation to the answer."""
        outcome = Core.execute(self, state, command, conditions)
        decision = outcome.answer
        if isinstance(decision, OrderDecision) and self._minds(state, command):
            code = DenialCode.TOO_MANY_ORDERS
            violation = Violation(code=code, scope="order", rule_id="", message="")
            decision.violations = (*decision.violations, violation)
        return outcome

    def _minds(self, state: State, order: object) -> bool:
        if not isinstance(order, CheckOrder):
            return False
        reasons: dict[str, Any] = {
            "a price with many digits": (order.limit_price or 0) > 500,
            "a large quantity": order.quantity > 65,
            "a name": order.symbol == "Y" or order.order_id > "o999",
            "a date": state.now // DAY != NOON // DAY,
        }
        return bool(reasons[self.reason])


@pytest.mark.parametrize(
    ("reason", "telling"),
    [
        ("a price with many digits", MONEY[3]),
        ("a large quantity", QUANTITIES[2]),
        ("a name", NAMES[1]),
        ("a date", WEEKS[0]),
    ],
)
def test_laws_7_8_and_10_see_a_decision_by_something_private(reason: str, telling: Telling) -> None:
    """Laws 7, 8 and 10 fail where an absolute amount, a name or a date decides."""
    with pytest.raises(AssertionError, match="seed"):
        hold_telling(7_000, 60, WITHOUT_FLOWS, telling, Denies(reason))

"""The figures at the end: drawdowns of a curve, and sentences about trips."""

from datetime import date, timedelta
from decimal import Decimal

from examples.chronicle import Cause
from examples.curves import deepest_fall, drawdowns

START = Decimal(100)


def curve(*values: int) -> list[tuple[date, Decimal]]:
    """Equity day by day from the first of 2008."""
    return [
        (date(2008, 1, 1) + timedelta(days=number), Decimal(value))
        for number, value in enumerate(values)
    ]


def test_drawdown_is_measured_from_the_highest_so_far() -> None:
    """A new high starts anew; the start counts as a high; a later, smaller fall changes nothing."""
    assert drawdowns(curve(90, 200, 150, 210), START) == [
        Decimal("0.1"),
        0,
        Decimal("0.25"),
        0,
    ]
    fall = deepest_fall(curve(90, 200, 150, 210), START)
    assert (fall.ratio, fall.reached_on) == (Decimal("0.25"), date(2008, 1, 3))


def test_curve_that_never_falls_has_no_fall() -> None:
    """No day is named where there was no drawdown."""
    assert deepest_fall(curve(100, 110), START).reached_on is None


def test_causes_read_as_people_say_them() -> None:
    """Drawdowns in percent, counts as counts."""
    drawdown = Cause(name="DAILY_DRAWDOWN", observed="0.0871", threshold="0.05")
    losses = Cause(name="CONSECUTIVE_LOSSES", observed="10", threshold="10")
    assert drawdown.sentence == "daily drawdown: 8.7 % (threshold 5.0 %)"
    assert losses.sentence == "consecutive losses: 10 (threshold 10)"

"""What the bot asks of its safety: the four checkpoints as a small protocol, and its absence.

Rules: the bot is written against `Safety` alone; `NoSafety` lets everything pass, so the same bot
with the same seed can be run without the sidecar and compared; a denial is an exception here,
because it leaves the block in which an order would have been sent.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from decimal import Decimal
from typing import Protocol

from examples.market import Order
from examples.venue import AccountSnapshot, VenueReport


class Denied(Exception):  # noqa: N818 - a denial is ordinary, not an error
    """The order must not be sent: the layer that said so, every code it listed, what would pass."""

    def __init__(
        self,
        message: str,
        *,
        layer: str,
        codes: tuple[str, ...],
        approvable_quantity: Decimal = Decimal(0),
    ) -> None:
        super().__init__(message)
        self.layer = layer
        self.codes = codes
        self.approvable_quantity = approvable_quantity


class Approval(Protocol):
    """Leave to send one order."""

    def mark_sent(self) -> None:
        """To be called right before sending; raises `Denied` where the leave has ended."""
        ...


class Safety(Protocol):
    """Four checkpoints: two switches as last heard, a question an order, every outcome told."""

    def is_kill_active(self) -> bool:
        """Checkpoint 1: whether trading is halted, as last heard."""
        ...

    def is_breaker_open(self) -> bool:
        """Checkpoint 2: whether only reducing orders are let through, as last heard."""
        ...

    def order(self, order: Order, *, is_exit: bool) -> AbstractContextManager[Approval]:
        """Checkpoint 3: the block in which the order may be sent; raises `Denied` instead."""
        ...

    def report(self, report: VenueReport) -> None:
        """Checkpoint 4: what the venue said of an order; losses and refusals feed the breaker."""
        ...

    def report_not_taken(self, order: Order, note: str) -> None:
        """Checkpoint 4: the order was sent, and the venue's API did not take it: it is over."""
        ...

    def report_never_arrived(self, order: Order) -> None:
        """Checkpoint 4: an order that went unanswered turned out not to exist at the venue."""
        ...

    def report_api_error(self, code: str, message: str) -> None:
        """Checkpoint 4: an exception of the venue's API."""
        ...

    def report_account(
        self,
        take_snapshot: Callable[[], AccountSnapshot],
        prices: Mapping[str, Decimal],
        *,
        is_complete: bool,
    ) -> None:
        """Tell equity and marks; `is_complete` tells every position and working order as well."""
        ...


class NoSafety:
    """No sidecar: nothing is asked, nothing stops the bot."""

    def is_kill_active(self) -> bool:
        """Never."""
        return False

    def is_breaker_open(self) -> bool:
        """Never."""
        return False

    @contextmanager
    def order(self, order: Order, *, is_exit: bool) -> Iterator[Approval]:
        """Always approved."""
        del order, is_exit
        yield _Unasked()

    def report(self, report: VenueReport) -> None:
        """Nobody listens."""

    def report_not_taken(self, order: Order, note: str) -> None:
        """Nobody listens."""

    def report_never_arrived(self, order: Order) -> None:
        """Nobody listens."""

    def report_api_error(self, code: str, message: str) -> None:
        """Nobody listens."""

    def report_account(
        self,
        take_snapshot: Callable[[], AccountSnapshot],
        prices: Mapping[str, Decimal],
        *,
        is_complete: bool,
    ) -> None:
        """Nobody listens."""


class _Unasked:
    """The leave nobody was asked for."""

    def mark_sent(self) -> None:
        """Nothing to re-check."""

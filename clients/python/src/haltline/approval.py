"""An approval of the synchronous guard, and several of one batch."""

from collections.abc import Callable, Iterator, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, TypeVar, final, overload

from haltline.approval_calls import ApprovalCalls
from haltline.guard_core import ReportOutcome
from haltline.order_life import OrderLife

if TYPE_CHECKING:
    from haltline.guard import Guard

ResultT = TypeVar("ResultT")


@final
class Approval(ApprovalCalls[ReportOutcome]):
    """The word on one order; a context manager that reports what was left open.

    Leaving the block without having sent reports CANCELED; leaving it by an exception after sending
    reports FAILED, because the order may live at the venue.
    """

    def __init__(self, guard: "Guard", life: OrderLife) -> None:
        super().__init__(guard, life)
        self._guard = guard

    def send(self, place: Callable[[], ResultT]) -> ResultT:
        """Mark the order sent and call `place`, which sends it; its result or exception is yours.

        Raises:
            NotSendable: it must not be sent; `place` was not called.
        """
        self.mark_sent()
        return place()

    def close(self, *, by_exception: bool = False) -> None:
        """Leave the order; reports at most once, and never raises because a report failed."""
        self._guard.leave(self._life, by_exception=by_exception)

    def __enter__(self) -> "Approval":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close(by_exception=kind is not None)


@final
class Approvals(Sequence[Approval]):
    """The word on each order of a batch, in the order asked; leaving leaves each of them."""

    def __init__(self, approvals: Sequence[Approval]) -> None:
        self._approvals = tuple(approvals)

    @overload
    def __getitem__(self, index: int) -> Approval: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[Approval]: ...

    def __getitem__(self, index: int | slice) -> Approval | Sequence[Approval]:
        return self._approvals[index]

    def __len__(self) -> int:
        return len(self._approvals)

    def __iter__(self) -> Iterator[Approval]:
        return iter(self._approvals)

    @property
    def are_all_approved(self) -> bool:
        """Whether every order was approved."""
        return all(self._approvals)

    def __enter__(self) -> "Approvals":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for approval in self._approvals:
            approval.close(by_exception=kind is not None)

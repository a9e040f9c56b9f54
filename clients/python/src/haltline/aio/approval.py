"""An approval of the asyncio guard, several of one batch, and the question before either."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Generator, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar, final, overload

from haltline.approval_calls import ApprovalCalls
from haltline.guard_core import ReportOutcome
from haltline.order_life import OrderLife

if TYPE_CHECKING:
    from haltline.aio.guard import Guard

ResultT = TypeVar("ResultT")


class _Closable(Protocol):
    """What is left by its block."""

    async def close(self, *, by_exception: bool = False) -> None:
        """Leave it."""


AnswerT = TypeVar("AnswerT", bound=_Closable)


@final
class Asking(Generic[AnswerT]):
    """A question not yet asked: `async with` asks and leaves, `await` only asks."""

    def __init__(self, ask: Callable[[], Coroutine[Any, Any, AnswerT]]) -> None:
        self._ask = ask
        self._answer: AnswerT | None = None

    def __await__(self) -> Generator[Any, None, AnswerT]:
        return self._ask().__await__()

    async def __aenter__(self) -> AnswerT:
        self._answer = await self._ask()
        return self._answer

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._answer is not None:
            await self._answer.close(by_exception=kind is not None)


@final
class Reporting(Generic[ResultT]):
    """A report on its way, whether or not anybody awaits it.

    Awaiting tells what became of it. Cancelling whoever awaits does not unmake it.
    """

    def __init__(self, delivery: Coroutine[Any, Any, ResultT]) -> None:
        self.task = asyncio.create_task(delivery)

    def __await__(self) -> Generator[Any, None, ResultT]:
        return asyncio.shield(self.task).__await__()


@final
class Approval(ApprovalCalls[Reporting[ReportOutcome]]):
    """The word on one order. Left unsent it reports CANCELED, left by an exception FAILED."""

    def __init__(self, guard: "Guard", life: OrderLife) -> None:
        super().__init__(guard, life)
        self._guard = guard

    async def send(self, place: Callable[[], Awaitable[ResultT]]) -> ResultT:
        """Mark the order sent and await `place`, which sends it; result or exception is yours.

        Raises:
            NotSendable: it must not be sent; `place` was not called.
        """
        self.mark_sent()
        return await place()

    async def close(self, *, by_exception: bool = False) -> None:
        """Leave the order; reports at most once, and never raises because a report failed."""
        await self._guard.leave(self._life, by_exception=by_exception)


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

    @property
    def are_all_approved(self) -> bool:
        """Whether every order was approved."""
        return all(self._approvals)

    async def close(self, *, by_exception: bool = False) -> None:
        """Leave every order."""
        for approval in self._approvals:
            await approval.close(by_exception=by_exception)

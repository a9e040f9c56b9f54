"""The whole state in parts of plain values, and back: what a snapshot holds (S12.5).

Rules:
- The state read back is the state that was written, bit for bit: what is rebuilt from the rest
  (`derive`) is compared with what was written, and then has the very digits it had. [a sum of
  482.50 came back as 482.5, and a restart answered in other words than the replay]
- What grows with every order comes in tables of a bounded number of rows, so that neither side ever
  holds the whole in plain form.
- Parts come in a fixed order, each with its name; an unknown one is a newer sidecar's and refused.
"""

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from decimal import Decimal
from itertools import islice
from typing import Any, Final, TypeAlias

from sidecar.core import codec
from sidecar.core.columns import Reading, decode_rows, encode_rows
from sidecar.core.derive import rebuild
from sidecar.core.numbers import exact
from sidecar.core.state import (
    Book,
    DuplicateMemory,
    OrderRecord,
    RememberedReport,
    SlidingWindow,
    State,
    Timed,
)

ROWS_OF_A_PART_MAX: Final = 2_000

Part: TypeAlias = list[Any]
"""A name, and plain values."""

_REST: Final = "state"
_SUMS: Final = "sums"
_TABLES: Final[dict[str, type]] = {
    "orders": OrderRecord,
    "reports": RememberedReport,
    "duplicates": DuplicateMemory,
}
"""Fields of the state that are dictionaries of rows."""
_QUEUES: Final = ("ended", "duplicate_queue")
"""Fields of the state that are queues of `Timed`."""
_BOOK_SUMS: Final = (
    "buy_quantity",
    "buy_notional",
    "sell_quantity",
    "sell_notional",
    "exposure",
)


def to_parts(state: State) -> Iterator[Part]:
    """Yield the state in parts; it must not change meanwhile."""
    empty: dict[str, Any] = {name: {} for name in _TABLES} | {name: deque() for name in _QUEUES}
    yield [_REST, codec.encode(replace(state, **empty))]
    for name, kind in _TABLES.items():
        table = getattr(state, name)
        for keys in _batches(table):
            rows = list(map(table.__getitem__, keys))
            yield [name, keys, encode_rows(kind, rows)]
    for name in _QUEUES:
        for rows in _batches(getattr(state, name)):
            yield [name, len(rows), encode_rows(Timed, rows)]
    yield [_SUMS, *_sums(state)]


@exact
def from_parts(parts: Iterable[Part]) -> State:
    """Return the state that was written, with all that is derived.

    ValueError, LookupError, TypeError or ArithmeticError where the parts are not those of a state.
    """
    reading, found = Reading(), iter(parts)
    name, *plain = next(found, ["nothing"])
    if name != _REST:
        raise ValueError(f"begins with {name!r}, not with {_REST!r}")
    state: State = codec.decode(State, plain[0])
    for name, *more in found:
        if name == _SUMS:
            rebuild(state)
            texts, clusters = more
            _restore(state, texts, clusters)
            if next(found, None) is not None:
                raise ValueError("goes on behind its end")
            return state
        if name in _TABLES:
            keys, columns = more
            rows = decode_rows(_TABLES[name], columns, len(keys), reading)
            shared = map(reading.of(str).__getitem__, keys)
            getattr(state, name).update(zip(shared, rows, strict=True))
        elif name in _QUEUES:
            count, columns = more
            getattr(state, name).extend(decode_rows(Timed, columns, count, reading))
        else:
            raise ValueError(f"has a part {name!r}, which this version does not know")
    raise ValueError("ends before its sums")


def _batches(rows: Iterable[Any]) -> Iterator[list[Any]]:
    left = iter(rows)
    while batch := list(islice(left, ROWS_OF_A_PART_MAX)):
        yield batch


# What is rebuilt, with the digits it had.


@dataclass(frozen=True, slots=True)
class _Sum:
    """One derived number: where it stands, and how it is told."""

    owner: Any
    name: str
    where: str

    @property
    def value(self) -> Decimal:
        value: Decimal = getattr(self.owner, self.name)
        return value

    def restore(self, text: str) -> None:
        """Give the number the digits of `text`; ValueError where it is another number."""
        written = Decimal(text)
        if written != self.value:
            raise ValueError(f"{self.where} is {self.value} rebuilt, {written} as written")
        setattr(self.owner, self.name, written)


def _every_sum(state: State) -> Iterator[_Sum]:
    yield _Sum(state, "portfolio_exposure", "the portfolio's exposure")
    yield _Sum(state.account, "holdings", "what is held")
    for symbol in state.symbols.values():
        yield _Sum(symbol, "net_position", f"the position in {symbol.name}")
        yield _Sum(symbol, "exposure", f"the exposure of {symbol.name}")
    for strategy in state.strategies.values():
        yield _Sum(strategy, "exposure", f"the exposure of {strategy.name}")
    for book in state.book_list:
        for name in _BOOK_SUMS:
            yield _Sum(book, name, f"the {name} of {book.strategy}:{book.symbol}")


def _sums(state: State) -> list[Any]:
    """Return every derived number, and the order in which the clusters of each book were joined."""
    return [
        [str(one.value) for one in _every_sum(state)],
        {str(at): book.clusters for at, book in enumerate(state.book_list) if book.clusters},
    ]


def _restore(state: State, texts: list[str], clusters: dict[str, dict[str, list[str]]]) -> None:
    for one, text in zip(_every_sum(state), texts, strict=True):
        one.restore(text)
    for at, book in enumerate(state.book_list):
        _restore_clusters(book, clusters.get(str(at), {}))


def _restore_clusters(book: Book, written: dict[str, list[str]]) -> None:
    """Put the members of each cluster in the order they had: of equals the first one is told."""
    if _members(book.clusters) != _members(written):
        raise ValueError(f"the groups of {book.strategy}:{book.symbol} are not those of its orders")
    book.clusters = written


def _members(clusters: dict[str, list[str]]) -> dict[str, list[str]]:
    return {key: sorted(order_ids) for key, order_ids in clusters.items()}


def witness(state: State) -> Part:
    """Return what is compared between a living state and the replay of its journal, in O(1).

    All of the latches, the account and the counters, the sum of everything that is held, and how
    much is remembered: a state that differs anywhere in what it decided differs here soon.
    """
    tables = [*_TABLES, "symbols", "strategies", "group_fills", "book_list", *_QUEUES]
    counts = {name: len(getattr(state, name)) for name in tables}
    flows = len(state.account.flows)
    rest = replace(
        state,
        **{name: type(getattr(state, name))() for name in tables},
        rate=SlidingWindow(),
        account=replace(state.account, flows={}),
    )
    sums = [str(state.portfolio_exposure), str(state.account.holdings), state.position_count]
    return [codec.encode(rest), counts, flows, len(state.open_orders), sums]

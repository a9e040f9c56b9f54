"""Feeds every reader of the page: first everything, then the newest, never a backlog (S14).

Rules:
1. One pacer looks for changes; each status is encoded once and its bytes shared by all readers.
2. At most one status in STATUS_SECONDS, and rarer where one takes long to write: writing takes at
   most a tenth of the loop. A stop is told at once.
3. A reader has one event on its way; the next is made when that was taken, of the newest. So a
   slow reader costs one event of memory and misses what lies between.
4. Readers are woken a few in a turn of the loop: the kill they are told of must not wait for them.
5. Silence is never longer than HEARTBEAT_SECONDS; closing says GOING_AWAY first.
6. Without a reader nothing is written: once a second two numbers are kept for the chart.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import time
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass
from typing import Any, Final

import orjson

from sidecar.audit.decisions import Told
from sidecar.bridge.equity_series import EquityMark, EquityPoint, EquitySeries, MarkKind
from sidecar.bridge.journal_tail import JournalTail
from sidecar.bridge.parts import BridgeParts
from sidecar.core.numbers import format_decimal
from sidecar.crowd import Crowd
from sidecar.service import Service
from sidecar.wire import status_message
from sidecar.wire.plain_status import plain_status

LOG: Final = logging.getLogger(__name__)

READERS_COUNT_MAX: Final = 128
HEARTBEAT_SECONDS: Final = 1.0
STATUS_SECONDS: Final = 0.25
RESERVATIONS_LISTED_MAX: Final = 50
"""Listed where there are no more; else only counted: a list of all takes as long as there are."""
FAREWELL_SECONDS_MAX: Final = 0.5
_HEARTBEAT_SHARE: Final = 0.9
_WRITING_SHARE_MAX: Final = 0.1
_READERS_WOKEN_COUNT: Final = 8
_MILLISECOND_NS: Final = 1_000_000

Send = Callable[[bytes], Awaitable[None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One event for all readers, without its id; `number` counts those of its kind."""

    number: int = 0
    body: bytes = b""
    revision: int = -1
    stop_epoch: int = 0
    made_at: float = -math.inf
    made_in_seconds: float = 0.0


class TooManyReadersError(Exception):
    """No place is left for another reader."""


class StatusEvents:
    """Publishes while somebody reads; samples equity all the time."""

    def __init__(self, parts: BridgeParts) -> None:
        """Nothing runs before `begin`."""
        self._service: Service = parts.service
        self._real_time_ns = parts.real_time_ns
        self._series = EquitySeries()
        self._tail = JournalTail(parts.service, self._note)
        self._status = Event()
        self._decisions = Event()
        self._points = Event()
        self._last: Event | None = None
        self._crowd = Crowd(woken_count=_READERS_WOKEN_COUNT)
        self._is_read = asyncio.Event()
        self._is_left = asyncio.Event()
        self._is_closing = False
        self._tasks: list[asyncio.Task[None]] = []
        self.readers_count = 0
        self.conflated_count = 0
        self.published_count = 0

    def begin(self) -> None:
        """Sample and publish from now on; a second call does nothing."""
        if self._tasks:
            return
        loop = asyncio.get_running_loop()
        self._tasks = [
            loop.create_task(self._keep(self._sample_next), name="equity-series"),
            loop.create_task(self._keep(self._publish_next), name="status-events"),
        ]

    async def end(self) -> None:
        """Have every reader told GOING_AWAY, within FAREWELL_SECONDS_MAX, and stop."""
        self._is_closing = True
        self._crowd.wake()
        if self.readers_count:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._is_left.wait(), FAREWELL_SECONDS_MAX)
        for task in self._tasks:
            task.cancel()
        for task in self._tasks:
            with contextlib.suppress(asyncio.CancelledError):
                await task
        self._tasks = []

    async def _keep(self, step: Callable[[], Awaitable[None]]) -> None:
        """Repeat a step until cancelled; one that fails is told, and tried again later."""
        while True:
            try:
                await step()
            except Exception:
                LOG.exception("the page could not be told; its readers are silent and say LOST")
                await asyncio.sleep(HEARTBEAT_SECONDS)

    # Sampling.

    async def _sample_next(self) -> None:
        if self.readers_count or not self._points.number:
            await self._look_at_decisions()
        sample = self._service.account_sample()
        has_marks = self._mark(sample.last_start_at, "reset")
        stop_kind: MarkKind = "trip" if sample.last_stop_at == sample.breaker_opened_at else "kill"
        has_marks |= self._mark(sample.last_stop_at, stop_kind)
        point = None
        if sample.equity is not None:
            point = EquityPoint(sample.now, sample.equity, sample.drawdown)
        has_point = point is not None and self._series.add(point)
        if has_marks or has_point or not self._points.number:
            self._tell_points([point] if has_point and point is not None else [])
        await asyncio.sleep(HEARTBEAT_SECONDS)

    async def _look_at_decisions(self) -> None:
        await self._tail.look()
        if self._tail.number != self._decisions.number or not self._decisions.body:
            self._tell_decisions()

    def _mark(self, at: int | None, kind: MarkKind) -> bool:
        return at is not None and self._series.mark(EquityMark(at, kind))

    def _note(self, told: Told) -> None:
        """Take from a record what the chart shows."""
        for turn in told.turns:
            self._series.mark(EquityMark(told.time, turn))
        if told.equity is not None:
            self._series.add(EquityPoint(told.time, told.equity))

    def _tell_points(self, points: list[EquityPoint]) -> None:
        self._points = Event(
            number=self._points.number + 1,
            body=_event("equity", {"is_whole": False} | self._chart(points)),
        )

    def _whole_chart(self) -> bytes:
        return _event("equity", {"is_whole": True} | self._chart(list(self._series.points())))

    def _chart(self, points: list[EquityPoint]) -> dict[str, Any]:
        return {
            "points": [
                [
                    point.at // _MILLISECOND_NS,
                    format_decimal(point.equity),
                    None if point.drawdown is None else format_decimal(point.drawdown),
                ]
                for point in points
            ],
            "marks": [[mark.at // _MILLISECOND_NS, mark.kind] for mark in self._series.marks()],
        }

    def _tell_decisions(self) -> None:
        decisions = [
            asdict(decision) | {"time": decision.time // _MILLISECOND_NS}
            for decision in self._tail.decisions()
        ]
        body = _event("decisions", {"decisions": decisions, "skipped": self._tail.skipped_count})
        self._decisions = Event(number=self._tail.number, body=body)

    # Publishing.

    async def _publish_next(self) -> None:
        await self._is_read.wait()
        newest = self._status
        await self._service.wait_changed(newest.revision, HEARTBEAT_SECONDS)
        await self._pace(newest)
        self._status = self._encode(newest.number + 1)
        self.published_count += 1
        await self._crowd.wake_in_turns()

    async def _pace(self, newest: Event) -> None:
        """Return when the next status may be written, or a stop came."""
        rest_seconds = newest.made_in_seconds / _WRITING_SHARE_MAX
        due = newest.made_at + max(STATUS_SECONDS, rest_seconds)
        while self._service.stop_epoch == newest.stop_epoch and not self._service.is_draining:
            left = due - time.monotonic()
            if left <= 0:
                return
            await self._service.wait_stop(left)

    def _encode(self, number: int) -> Event:
        began_at = time.monotonic()
        facts = self._service.status()
        plain = {
            "kind": "GOING_AWAY" if facts.is_draining or self._is_closing else "UPDATE",
            "revision": facts.revision,
            "sent_at": self._real_time_ns() // _MILLISECOND_NS,
            "max_silence_seconds": HEARTBEAT_SECONDS,
            "name": facts.name,
            "is_draining": facts.is_draining,
            "unwell": [
                {"name": part.name, "cause": part.cause, "is_needed": part.is_needed}
                for part in facts.health
                if not part.is_well
            ],
            "orders": self._orders(facts.view.orders.open_count),
            "status": plain_status(status_message(facts)),
        }
        body = _event("status", plain)
        made_at = time.monotonic()
        return Event(
            number=number,
            body=body,
            revision=facts.revision,
            stop_epoch=facts.view.stop_epoch,
            made_at=made_at,
            made_in_seconds=made_at - began_at,
        )

    def _orders(self, open_count: int) -> list[dict[str, Any]]:
        if not 0 < open_count <= RESERVATIONS_LISTED_MAX:
            return []
        return [
            {
                "order_id": order.order_id,
                "strategy": order.strategy,
                "symbol": order.symbol,
                "side": order.side,
                "remaining": format_decimal(order.remaining_quantity),
                "notional": format_decimal(order.remaining_notional),
                "age_seconds": order.age_ns // 1_000_000_000,
                "last_report": order.last_report_kind or "",
                "is_unsolicited": order.unsolicited,
            }
            for order in self._service.list_orders()
        ]

    # Reading.

    def take_place(self) -> None:
        """Count one more reader; TooManyReadersError where there is no place."""
        if self.readers_count >= READERS_COUNT_MAX:
            raise TooManyReadersError
        self.readers_count += 1
        self._is_read.set()
        self._is_left.clear()

    def give_place_back(self) -> None:
        """Count one reader less; without any nothing is published."""
        self.readers_count -= 1
        if not self.readers_count:
            self._is_read.clear()
            self._is_left.set()

    async def follow(
        self, send: Send, hello: dict[str, Any], may_go_on: Callable[[], bool]
    ) -> None:
        """Write events to one reader that has a place, until the sidecar leaves.

        `hello` is what this reader alone is told first. One that may not go on is told so, and
        asked to sign in again.
        """
        self.begin()
        reader = _Reader(send)
        await self._look_at_decisions()
        if time.monotonic() - self._status.made_at > STATUS_SECONDS:
            self._status = self._encode(self._status.number + 1)
        status, points, decisions = self._status, self._points, self._decisions
        await reader.write(_event("hello", hello) + status.body)
        await reader.write(self._whole_chart() + decisions.body)
        while await self._wait_news(reader, status.number, points.number, decisions.number):
            if not may_go_on():
                await reader.write(_event("signed_out", {}))
                return
            body = b""
            if self._status.number > status.number:
                self.conflated_count += self._status.number > status.number + 1
                status = self._status
                body += status.body
            if self._points.number > points.number:
                is_next = self._points.number == points.number + 1
                points = self._points
                body += points.body if is_next else self._whole_chart()
            if self._decisions.number > decisions.number:
                decisions = self._decisions
                body += decisions.body
            await reader.write(body or self._heartbeat())
        await reader.write(self._farewell())

    def _farewell(self) -> bytes:
        """Return the last status, written once for all who are still there."""
        if self._last is None:
            self._last = self._encode(0)
        return self._last.body

    def _heartbeat(self) -> bytes:
        service = self._service
        beat = {"revision": service.revision, "stop_epoch": service.stop_epoch}
        return _event("heartbeat", beat)

    async def _wait_news(self, reader: _Reader, status: int, points: int, decisions: int) -> bool:
        """Return at the next event or when a heartbeat is due; False where streams end."""
        due = reader.heard_at + _HEARTBEAT_SHARE * HEARTBEAT_SECONDS
        while not (self._is_closing or self._service.is_draining):
            left = due - time.monotonic()
            is_new = (
                self._status.number > status
                or self._points.number > points
                or self._decisions.number > decisions
            )
            if is_new or left <= 0:
                return True
            await self._crowd.pause(left)
        return False


class _Reader:
    """One stream: numbers what it is told, and knows when it last was."""

    __slots__ = ("_send", "_sequence", "heard_at")

    def __init__(self, send: Send) -> None:
        self._send = send
        self._sequence = 0
        self.heard_at = time.monotonic()

    async def write(self, body: bytes) -> None:
        """Send events as one chunk; returns once the transport took it."""
        self._sequence += 1
        await self._send(b"id: %d\n" % self._sequence + body)
        self.heard_at = time.monotonic()


def _event(name: str, plain: dict[str, Any]) -> bytes:
    return b"event: " + name.encode() + b"\ndata: " + orjson.dumps(plain) + b"\n\n"

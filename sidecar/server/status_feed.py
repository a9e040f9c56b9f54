"""Feeds every reader of StreamStatus: first everything, then the newest, never a backlog (S14).

Rules:
1. One pacer looks for changes and encodes each status once; readers share the bytes.
2. At most one UPDATE in `status_interval_seconds`, and rarer where a status takes long to write, so
   that watching costs orders little; a stop is published at once.
3. A reader has one frame on its way; the next is made when that was taken, of the newest status.
   So a slow reader costs one frame of memory, and `conflated` says that it missed some.
4. Readers are woken a few at a time, and the loop turns in between: a thousand frames take a tenth
   of a second, and the kill they tell of must not wait that long for its own acknowledgement.
5. Silence is never longer than the `max_silence` each frame names; closing says GOING_AWAY first.

The story: a stalled reader exerts no back-pressure before a hundred thousand small frames, so what
is not held back here piles up in the transport.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, Protocol, TypeAlias

from haltline.v1 import status_pb2

from sidecar.crowd import Crowd
from sidecar.server.failures import too_many, unexpected
from sidecar.server.options import ServerOptions
from sidecar.wire import (
    FrameHeader,
    SharedFrame,
    SidecarFacts,
    share_frame,
    status_field,
    status_message,
)

LOG: Final = logging.getLogger(__name__)
SNAPSHOT_AGE_SECONDS_MAX: Final = 1.0
_HEARTBEAT_SHARE: Final = 0.9
"""A heartbeat leaves when this much of `max_silence` has passed, so that it arrives within it."""
_SECOND_NS: Final = 1_000_000_000
_WRITING_SHARE_MAX: Final = 0.1
"""How much of the loop's time may go into statuses while orders come one after another."""
READERS_WOKEN_COUNT: Final = 16
"""How many readers are woken in one turn of the loop: about a millisecond of writing."""
_FRAME_SHARED_SECONDS: Final = 0.02
"""How long a frame, made once, is still told as made now: the readers of one publication."""

Write = Callable[[bytes], Awaitable[None]]
_FrameKey: TypeAlias = tuple[status_pb2.FrameKind.ValueType, float, int, int, bool]


@dataclass(frozen=True, slots=True, kw_only=True)
class Publication:
    """One status, encoded for all. `number` counts publications, `made_at` is monotonic.

    `made_in_seconds` is how long it took to write.
    """

    number: int
    revision: int
    stop_epoch: int
    status_field: bytes
    made_at: float
    made_in_seconds: float = 0.0


class StatusSource(Protocol):
    """What the feed needs of the service: the state, and a word when it changed."""

    @property
    def revision(self) -> int:
        """Counts changes."""

    @property
    def stop_epoch(self) -> int:
        """Raised by every stop; cheap to read."""

    def status(self) -> SidecarFacts:
        """Everything, as of now."""

    async def wait_changed(self, after_revision: int, timeout_seconds: float) -> int:
        """Return the revision once it is above `after_revision`, or as it is at the timeout."""

    async def wait_stop(self, timeout_seconds: float) -> None:
        """Return at the next move of the stop epoch, or at the timeout."""


class StatusFeed:
    """Makes publications while somebody reads."""

    def __init__(
        self, *, service: StatusSource, options: ServerOptions, real_time_ns: Callable[[], int]
    ) -> None:
        """Nothing is published before `run`."""
        self._service = service
        self._options = options
        self._real_time_ns = real_time_ns
        self._newest = Publication(
            number=0, revision=-1, stop_epoch=0, status_field=b"", made_at=-math.inf
        )
        self._snapshot = self._newest
        self._frames: dict[_FrameKey, SharedFrame] = {}
        self._frames_end = -math.inf
        self._crowd = Crowd(woken_count=READERS_WOKEN_COUNT)
        self._is_read = asyncio.Event()
        self._is_closing = False
        self._has_failed = False
        self.readers_count = 0
        self.conflated_count = 0

    async def run(self) -> None:
        """Publish changes until cancelled; should that fail, every stream ends with an error."""
        try:
            while True:
                await self._is_read.wait()
                await self._publish_next()
        except Exception:
            LOG.exception("the status could not be published: its streams end, and clients stop")
            self._has_failed = True
            self._crowd.wake()

    async def _publish_next(self) -> None:
        newest = self._newest
        seconds = self._options.heartbeat_seconds
        revision = await self._service.wait_changed(newest.revision, seconds)
        if revision == newest.revision:
            return
        await self._pace(newest)
        self._newest = self._encode(newest.number + 1)
        await self._crowd.wake_in_turns()

    async def _pace(self, newest: Publication) -> None:
        """Return when the interval is over, or a stop came."""
        options = self._options
        rest_seconds = min(newest.made_in_seconds / _WRITING_SHARE_MAX, options.heartbeat_seconds)
        due = newest.made_at + max(options.status_interval_seconds, rest_seconds)
        while self._service.stop_epoch == newest.stop_epoch:
            left = due - time.monotonic()
            if left <= 0:
                return
            await self._service.wait_stop(left)

    def close(self) -> None:
        """Make every reader say GOING_AWAY and end."""
        self._snapshot = self._encode(self._newest.number)
        self._is_closing = True
        self._crowd.wake()

    async def follow(self, write: Write) -> None:
        """Write frames to one reader until it leaves or the feed closes."""
        if self.readers_count >= self._options.status_streams_max:
            raise too_many("status streams", self._options.status_streams_max)
        self.readers_count += 1
        self._is_read.set()
        try:
            await self._follow(_Reader(write=write, feed=self))
        finally:
            self.readers_count -= 1
            if self.readers_count == 0:
                self._is_read.clear()

    async def _follow(self, reader: _Reader) -> None:
        shown = self._current()
        seen_number = self._newest.number
        await reader.write(status_pb2.FRAME_KIND_SNAPSHOT, shown)
        while await self._wait_newer(seen_number, reader.heard_at):
            newest = self._newest
            is_heartbeat_due = newest.number == seen_number
            is_conflated = newest.number > seen_number + 1
            seen_number = newest.number
            if is_heartbeat_due:
                await reader.write(status_pb2.FRAME_KIND_HEARTBEAT)
            elif newest.revision > shown.revision:
                self.conflated_count += is_conflated
                shown = newest
                await reader.write(status_pb2.FRAME_KIND_UPDATE, newest, conflated=is_conflated)
        if self._has_failed:
            raise unexpected()
        await reader.write(status_pb2.FRAME_KIND_GOING_AWAY, self._snapshot)

    async def _wait_newer(self, seen_number: int, heard_at: float) -> bool:
        """Return at the next publication or when a heartbeat is due; False where streams end."""
        due = heard_at + _HEARTBEAT_SHARE * self._options.heartbeat_seconds
        while not (self._is_closing or self._has_failed):
            left = due - time.monotonic()
            if self._newest.number > seen_number or left <= 0:
                return True
            await self._crowd.pause(left)
        return False

    def frame(
        self,
        kind: status_pb2.FrameKind.ValueType,
        publication: Publication | None,
        *,
        conflated: bool,
    ) -> SharedFrame:
        """Return what every reader of this moment hears; without a publication: the revision now.

        Made once for all of them: only the sequence differs.
        """
        service = self._service
        revision = service.revision if publication is None else publication.revision
        made_at = 0.0 if publication is None else publication.made_at
        key = (kind, made_at, revision, service.stop_epoch, conflated)
        now = time.monotonic()
        if now > self._frames_end:
            self._frames.clear()
            self._frames_end = now + _FRAME_SHARED_SECONDS
        shared = self._frames.get(key)
        if shared is None:
            shared = self._frames[key] = share_frame(
                FrameHeader(
                    kind=kind,
                    revision=revision,
                    stop_epoch=service.stop_epoch,
                    sent_at=self._real_time_ns(),
                    max_silence_ns=round(self._options.heartbeat_seconds * _SECOND_NS),
                    conflated=conflated,
                ),
                b"" if publication is None else publication.status_field,
            )
        return shared

    def _current(self) -> Publication:
        """Return the status now, not older than a moment, shared by all who just came."""
        snapshot = max(self._newest, self._snapshot, key=_made_at)
        age_seconds = time.monotonic() - snapshot.made_at
        if snapshot.revision != self._service.revision or age_seconds > SNAPSHOT_AGE_SECONDS_MAX:
            self._snapshot = snapshot = self._encode(self._newest.number)
        return snapshot

    def _encode(self, number: int) -> Publication:
        began_at = time.monotonic()
        revision = self._service.revision
        facts = self._service.status()
        written = status_field(status_message(facts))
        made_at = time.monotonic()
        return Publication(
            number=number,
            revision=revision,
            stop_epoch=facts.view.stop_epoch,
            status_field=written,
            made_at=made_at,
            made_in_seconds=made_at - began_at,
        )


class _Reader:
    """One stream: numbers its frames and knows when it was last written to."""

    __slots__ = ("_feed", "_sequence", "_write", "heard_at")

    def __init__(self, *, write: Write, feed: StatusFeed) -> None:
        self._write = write
        self._feed = feed
        self._sequence = 0
        self.heard_at = time.monotonic()

    async def write(
        self,
        kind: status_pb2.FrameKind.ValueType,
        publication: Publication | None = None,
        *,
        conflated: bool = False,
    ) -> None:
        """Send one frame; returns once the transport took it."""
        self._sequence += 1
        shared = self._feed.frame(kind, publication, conflated=conflated)
        await self._write(shared.numbered(self._sequence))
        self.heard_at = time.monotonic()


def _made_at(publication: Publication) -> float:
    return publication.made_at

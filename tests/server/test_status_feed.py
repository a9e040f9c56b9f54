"""StreamStatus: first everything, then the newest, never a backlog (S14)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from itertools import pairwise

import pytest
from haltline.v1 import status_pb2

from sidecar.core.denial import CallRefused, ErrorCode
from sidecar.server.options import ServerOptions
from sidecar.server.status_feed import READERS_WOKEN_COUNT, StatusFeed
from tests.server.fake_source import FakeSource

SNAPSHOT = status_pb2.FRAME_KIND_SNAPSHOT
UPDATE = status_pb2.FRAME_KIND_UPDATE
HEARTBEAT = status_pb2.FRAME_KIND_HEARTBEAT
GOING_AWAY = status_pb2.FRAME_KIND_GOING_AWAY
NEVER = 3_600.0


class Reader:
    """Takes frames as fast as it is let."""

    def __init__(self) -> None:
        """Take everything until `hold`."""
        self.frames: asyncio.Queue[status_pb2.StreamStatusResponse] = asyncio.Queue()
        self.writing = asyncio.Event()
        self._may_take = asyncio.Event()
        self._may_take.set()

    def hold(self) -> None:
        """Stop taking: the next write is not done before `release`."""
        self._may_take.clear()
        self.writing.clear()

    def release(self) -> None:
        """Take again."""
        self._may_take.set()

    async def write(self, frame: bytes) -> None:
        """As the transport: done when the frame was taken."""
        self.writing.set()
        await self._may_take.wait()
        self.frames.put_nowait(status_pb2.StreamStatusResponse.FromString(frame))

    async def next(self) -> status_pb2.StreamStatusResponse:
        """Return the next frame."""
        return await self.frames.get()


class Desk:
    """A feed, its source and its readers."""

    def __init__(self, **options: float) -> None:
        """Heartbeats and pacing are as slow as can be unless given."""
        given: dict[str, float] = {"heartbeat_seconds": NEVER, "status_interval_seconds": 0.0}
        given.update(options)
        self.source = FakeSource()
        self.feed = StatusFeed(
            service=self.source,
            options=ServerOptions(**given),  # type: ignore[arg-type] # numbers for fields of numbers
            real_time_ns=lambda: 1_700_000_000_000_000_000,
        )
        self.tasks = [asyncio.create_task(self.feed.run())]

    def connect(self) -> Reader:
        """Return a reader that follows the feed."""
        reader = Reader()
        self.tasks.append(asyncio.create_task(self.feed.follow(reader.write)))
        return reader

    async def end(self) -> None:
        """Leave nothing running."""
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)


@pytest.fixture
async def desk() -> AsyncIterator[Desk]:
    """A desk without pacing."""
    made = Desk()
    yield made
    await made.end()


async def test_the_first_frame_is_everything(desk: Desk) -> None:
    """First message: everything, numbered 1, with the bound on silence (S14)."""
    frame = await desk.connect().next()
    assert (frame.kind, frame.sequence, frame.revision) == (SNAPSHOT, 1, desk.source.revision)
    assert frame.status.store_id == "s" * 32
    assert frame.max_silence.seconds == NEVER
    assert frame.sent_at.seconds == 1_700_000_000


async def test_every_change_follows_with_the_next_number(desk: Desk) -> None:
    """A reader that keeps up sees each change, numbered without a gap (S14)."""
    reader = desk.connect()
    revisions = [(await reader.next()).revision]
    for _ in range(3):
        desk.source.change()
        frame = await reader.next()
        assert (frame.kind, frame.conflated) == (UPDATE, False)
        assert frame.sequence == len(revisions) + 1
        revisions.append(frame.revision)
    assert revisions == list(range(revisions[0], revisions[0] + 4))


async def test_a_slow_reader_gets_the_newest_state(desk: Desk) -> None:
    """A reader that did not take its frame gets one newest state, never a backlog (S14)."""
    slow, quick = desk.connect(), desk.connect()
    await slow.next()
    await quick.next()
    slow.hold()
    for _ in range(50):
        desk.source.change()
        await quick.next()
    await slow.writing.wait()
    slow.release()
    first, newest = await slow.next(), await slow.next()
    assert (first.sequence, newest.sequence) == (2, 3)
    assert newest.revision == desk.source.revision
    assert newest.conflated
    assert not first.conflated
    assert slow.frames.empty()
    assert desk.feed.conflated_count == 1


async def test_a_stop_is_in_the_frame_a_slow_reader_gets(desk: Desk) -> None:
    """A stop that came and went while a reader was slow is seen in its stop epoch (S14)."""
    slow, quick = desk.connect(), desk.connect()
    epoch = (await slow.next()).stop_epoch
    await quick.next()
    slow.hold()
    for act in (desk.source.change, desk.source.stop, desk.source.change):
        act()
        await quick.next()
    slow.release()
    await slow.next()
    assert (await slow.next()).stop_epoch == epoch + 1


async def test_changes_are_paced_but_a_stop_is_not() -> None:
    """Changes wait for the interval; a stop is sent at once, with all that waited (S14)."""
    desk = Desk(status_interval_seconds=NEVER)
    try:
        reader = desk.connect()
        await reader.next()
        desk.source.change()
        desk.source.change()
        desk.source.stop()
        frame = await reader.next()
        assert (frame.kind, frame.revision) == (UPDATE, desk.source.revision)
        assert frame.stop_epoch == desk.source.stop_epoch
        assert frame.status.stop_epoch == desk.source.stop_epoch
    finally:
        await desk.end()


async def test_a_status_that_takes_long_to_write_is_written_seldom(desk: Desk) -> None:
    """What writing took is rested from nine times over, so that orders are not held by readers."""
    reader = desk.connect()
    await reader.next()
    desk.source.seconds_to_write = 0.02
    desk.source.change()
    await reader.next()
    began_at = asyncio.get_running_loop().time()
    desk.source.change()
    await reader.next()
    assert asyncio.get_running_loop().time() - began_at >= 9 * desk.source.seconds_to_write


async def test_a_stop_does_not_wait_for_that_rest(desk: Desk) -> None:
    """A stop is written at once, however long the last status took (S14)."""
    reader = desk.connect()
    await reader.next()
    desk.source.seconds_to_write = 0.1
    desk.source.change()
    await reader.next()
    statuses_count = desk.source.statuses_count
    desk.source.change()
    desk.source.stop()
    frame = await reader.next()
    assert frame.stop_epoch == desk.source.stop_epoch
    assert desk.source.statuses_count == statuses_count + 1


async def test_silence_is_broken_by_a_heartbeat() -> None:
    """Where nothing changes a heartbeat comes, without a status and with the epoch (S14)."""
    desk = Desk(heartbeat_seconds=0.02)
    try:
        reader = desk.connect()
        await reader.next()
        first, second = await reader.next(), await reader.next()
        assert (first.kind, second.kind) == (HEARTBEAT, HEARTBEAT)
        assert (first.sequence, second.sequence) == (2, 3)
        assert not first.HasField("status")
        assert first.revision == desk.source.revision
    finally:
        await desk.end()


async def test_a_status_is_encoded_once_for_all_readers(desk: Desk) -> None:
    """A hundred readers of one revision cost one status (design, StreamStatus)."""
    readers = [desk.connect() for _ in range(100)]
    for reader in readers:
        await reader.next()
    before = desk.source.statuses_count
    desk.source.change()
    for reader in readers:
        await reader.next()
    assert desk.source.statuses_count == before + 1
    assert before <= 2


async def test_the_loop_turns_between_the_frames_of_a_stop(desk: Desk) -> None:
    """A crowd hears of a kill a few at a time: its acknowledgement overtakes them (S10.2)."""
    readers = [desk.connect() for _ in range(100)]
    for reader in readers:
        await reader.next()
    desk.source.stop()
    heard = [0]
    for _ in range(1_000):
        await asyncio.sleep(0)
        heard.append(sum(reader.frames.qsize() for reader in readers))
        if heard[-1] == len(readers):
            break
    assert heard[-1] == len(readers)
    assert max(after - before for before, after in pairwise(heard)) <= READERS_WOKEN_COUNT
    frames = [await reader.next() for reader in readers]
    assert {(frame.sequence, frame.stop_epoch) for frame in frames} == {(2, 1)}


async def test_readers_of_one_moment_share_a_frame_but_not_their_numbers(desk: Desk) -> None:
    """Who came later counts their own frames; all else is the same bytes (S14)."""
    early = desk.connect()
    await early.next()
    desk.source.change()
    await early.next()
    late = desk.connect()
    await late.next()
    desk.source.stop()
    first, second = await early.next(), await late.next()
    assert (first.sequence, second.sequence) == (3, 2)
    first.sequence = second.sequence
    assert first == second


async def test_closing_says_going_away_and_ends(desk: Desk) -> None:
    """Draining says so before closing, with the newest status (S14)."""
    reader = desk.connect()
    await reader.next()
    desk.source.is_draining = True
    desk.feed.close()
    frame = await reader.next()
    assert (frame.kind, frame.sequence) == (GOING_AWAY, 2)
    assert frame.HasField("status")
    await desk.tasks[-1]
    assert desk.feed.readers_count == 0


async def test_readers_have_a_bound() -> None:
    """One stream more than the bound is refused by name, and a place is given back (S14)."""
    desk = Desk(status_streams_max=1)
    try:
        await desk.connect().next()
        with pytest.raises(CallRefused) as caught:
            await desk.feed.follow(Reader().write)
        assert caught.value.code is ErrorCode.RESOURCE_EXHAUSTED
        desk.tasks[-1].cancel()
        await asyncio.wait(desk.tasks[-1:])
        assert (await desk.connect().next()).kind == SNAPSHOT
    finally:
        await desk.end()


async def test_a_feed_that_fails_ends_its_streams(
    desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    """No heartbeat says "alive" over a status that is no longer looked at (S1.2)."""
    reader = desk.connect()
    await reader.next()
    desk.source.problem = "raise"
    desk.source.change()
    with pytest.raises(CallRefused) as caught:
        await desk.tasks[-1]
    assert caught.value.code is ErrorCode.INTERNAL
    assert "could not be published" in caplog.text

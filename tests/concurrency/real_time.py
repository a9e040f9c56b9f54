"""What the real time of calls says about the order of their answers.

Rules:
- What was answered before something else was sent came first: its sequence is the lower one.
- Calls that overlap may have come in either order; sequences say in which.
- A dry run, a listing and a status have no record: each lies between the newest record anybody knew
  of before it was sent and the oldest one asked for after it was answered.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator
from itertools import accumulate
from typing import Final

from tests.concurrency.calls import Call
from tests.concurrency.history import Answered, History, all_statuses

NEVER: Final = 2**63


class RealTime:
    """The bounds that every answer sets to every other."""

    def __init__(self, history: History) -> None:
        """Sort what was answered, and what left a record, by time."""
        known = [
            (item.call.answered, item.sequence)
            for item in [*history.answered, *all_statuses(history)]
            if item.call.answered is not None
        ]
        known.sort()
        self._answered = [at for at, _ in known]
        self._newest = list(accumulate((sequence for _, sequence in known), max))
        own = [(item.call.sent, item.sequence) for item in history.answered if item.is_own]
        own.sort()
        self._sent = [at for at, _ in own]
        self._oldest = list(accumulate((sequence for _, sequence in reversed(own)), min))[::-1]

    def known_before(self, call: Call) -> int:
        """Return the newest sequence in any answer received before the call was sent."""
        at = bisect_left(self._answered, call.sent)
        return self._newest[at - 1] if at else 0

    def asked_after(self, call: Call) -> int:
        """Return the oldest record that was asked for after the call was answered."""
        assert call.answered is not None
        at = bisect_right(self._sent, call.answered)
        return self._oldest[at] if at < len(self._oldest) else NEVER


def find_disordered(history: History, real_time: RealTime) -> Iterator[str]:
    """Name every answer whose sequence contradicts the real time."""
    for item in history.answered:
        before = real_time.known_before(item.call)
        if item.sequence < before or (item.is_own and item.sequence == before):
            yield (
                f"order: {item.kind} {item.subject} was sent after {before} was known, and has "
                f"sequence {item.sequence}"
            )
    for status in all_statuses(history):
        before = real_time.known_before(status.call)
        if status.kind == "GetStatus" and status.sequence < before:
            yield f"order: a status of {status.sequence} was asked for when {before} was known"
        after = real_time.asked_after(status.call)
        if status.sequence >= after:
            yield f"order: a status knew {status.sequence} before {after} was asked for"
    yield from _find_streams_going_back(all_statuses(history))


def _find_streams_going_back(statuses: Iterable[Answered]) -> Iterator[str]:
    """Name status streams that showed something older after something newer.

    The frames of one connection are read one stream after the other, so all of them are in order.
    """
    newest: dict[str, tuple[int, int]] = {}
    frames = [item for item in statuses if item.kind == "StreamStatus"]
    for item in sorted(frames, key=lambda frame: frame.call.answered or 0):
        seen = (item.sequence, item.message.stop_epoch)
        before = newest.get(item.call.connection, (0, 0))
        if seen[0] < before[0] or seen[1] < before[1]:
            yield f"order: {item.call.connection} was shown {seen} after {before}"
        newest[item.call.connection] = seen

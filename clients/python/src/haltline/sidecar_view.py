"""What a guard has heard of its sidecar, and what follows from it (S12.7, S14, S15).

Rules:
- No I/O and no clock; not thread-safe: its shell holds a lock.
- Every moment is an argument: nanoseconds of the client's monotonic clock. An answer was true some
  time after it was asked for, so it is a sign of life as of then, never later.
- The first store heard (or the one given) is *the* store. Another one latches: everything is
  denied until `accept_store`, also if the first one answers again.
- The stop epoch of a store only rises. A newer one, seen in any answer, makes older approvals
  stale.
- LOST is silence beyond three times `max_silence`, a gap in the stream, or GOING_AWAY. The next
  sign of life after it ends it, whether a frame or an answer to a later call.
- A stop is announced once: by its epoch where it has one, otherwise while its cause stands.
"""

from haltline.decision import Denial, DenialReason
from haltline.halting import (
    SENTENCES,
    GuardStatus,
    HaltCause,
    Halted,
    Resumed,
    is_breaker_open,
    is_killed,
    stops_between,
    trading_mode,
)
from haltline.times import SECOND_NS, read_duration_ns
from haltline.v1 import status_pb2
from haltline.words import ClockMode, FrameKind, TradingMode, known

STRATEGIES_MAX = 1_000
SILENCES_MAX = 3  # S14: three heartbeats
MAX_SILENCE_DEFAULT_NS = SECOND_NS
MAX_SILENCE_CAP_NS = 60 * SECOND_NS  # a sidecar cannot talk us out of noticing its silence

_STATUS_KINDS = (FrameKind.SNAPSHOT, FrameKind.UPDATE, FrameKind.GOING_AWAY)


class SidecarView:
    """One guard's knowledge of its sidecar."""

    def __init__(
        self,
        *,
        strategy: str,
        started_at: int,
        expects_driven_clock: bool = False,
        store_id: str = "",
    ) -> None:
        self.strategies = {strategy}
        self.store_id = store_id
        self.other_store_id = ""
        self.stop_epoch = 0
        self.last_sequence = 0
        self.status: status_pb2.Status | None = None
        self._expected_clock = ClockMode.DRIVEN if expects_driven_clock else ClockMode.WALL
        self._clocks: dict[str, ClockMode] = {}
        self._heard_at = started_at
        self._cut_at: int | None = None
        self._max_silence_ns = MAX_SILENCE_DEFAULT_NS
        self._stream_sequence = 0
        self._stream_store_id = ""
        self._epoch_moved_at = started_at
        self._announced_status: status_pb2.Status | None = None
        self._announced: set[HaltCause] = set()
        self._is_resume_due = False

    # What is heard.

    def hear(self, store_id: str, stop_epoch: int, asked_at: int, sequence: int = 0) -> bool:
        """Take what an answer carries; True where it came from the store we know."""
        if not store_id:
            return False
        self.store_id = self.store_id or store_id
        if store_id != self.store_id:
            self.other_store_id = store_id
            return False
        if stop_epoch > self.stop_epoch:
            self.stop_epoch, self._epoch_moved_at = stop_epoch, asked_at
        self.last_sequence = max(self.last_sequence, sequence)
        self._heard_at = max(self._heard_at, asked_at)
        if self._cut_at is not None and asked_at > self._cut_at:
            self._cut_at = None
        return True

    def hear_status(self, status: status_pb2.Status, asked_at: int) -> bool:
        """Take a whole status; True where it came from the store we know."""
        is_ours = self.hear(status.store_id, status.stop_epoch, asked_at, status.last_sequence)
        # A store has one clock for life, and at most two stores are of interest.
        clock = known(ClockMode, status.clock.mode) or ClockMode.DRIVEN
        kept = {self.store_id, self.other_store_id}
        self._clocks = {name: mode for name, mode in self._clocks.items() if name in kept}
        if status.store_id in kept:
            self._clocks[status.store_id] = clock
        if is_ours and (self.status is None or status.stop_epoch >= self.status.stop_epoch):
            self.status = status
        return is_ours

    def open_stream(self) -> None:
        """A new status stream begins: its first frame is a SNAPSHOT with sequence 1."""
        self._stream_sequence = 0
        self._stream_store_id = ""

    def hear_frame(self, frame: status_pb2.StreamStatusResponse, now: int) -> bool:
        """Take a frame; False where the stream is of no use any more and must be opened anew."""
        kind = known(FrameKind, frame.kind)
        if frame.sequence != self._stream_sequence + 1:
            self._cut_at = now
            return False
        self._stream_sequence = frame.sequence
        if kind is None:  # no sign of life, but a stop it tells of is believed
            self._raise_epoch(frame.stop_epoch, now)
            return frame.sequence > 1
        is_first = frame.sequence == 1
        if is_first != (kind is FrameKind.SNAPSHOT) and kind is not FrameKind.GOING_AWAY:
            return False
        if kind in _STATUS_KINDS and not self._hear_frame_status(frame, now):
            return False
        self.hear(self._stream_store_id, frame.stop_epoch, now)
        self._hear_max_silence(frame)
        if kind is FrameKind.GOING_AWAY:
            self._cut_at = now
        return True

    def add_strategy(self, strategy: str) -> None:
        """The guard also trades for this strategy: a kill of it is a stop of ours."""
        if len(self.strategies) < STRATEGIES_MAX:
            self.strategies.add(strategy)

    def accept_store(self, store_id: str, now: int) -> None:
        """From now on this is the store; what was known of another one says nothing about it."""
        self.other_store_id = ""
        self._clocks = {name: mode for name, mode in self._clocks.items() if name == store_id}
        self.store_id = store_id
        self.stop_epoch = self.last_sequence = 0
        self.status = None
        self._announced_status = None
        self._heard_at, self._cut_at = now, None

    # What follows.

    @property
    def knows_clock(self) -> bool:
        """Whether a status has said which clock our store runs on."""
        return self.store_id in self._clocks

    @property
    def silence_limit_ns(self) -> int:
        """How long nothing may be heard before trading counts as stopped."""
        return SILENCES_MAX * self._max_silence_ns

    def is_lost(self, now: int) -> bool:
        """Whether trading counts as stopped because the sidecar is not heard."""
        return self._cut_at is not None or now - self._heard_at > self.silence_limit_ns

    def silence_due_at(self, now: int) -> int | None:
        """When silence becomes LOST if nothing more is heard; None where it is LOST already."""
        return None if self.is_lost(now) else self._heard_at + self.silence_limit_ns + 1

    def details_due_at(self) -> int | None:
        """When the status should be asked for, because a stop is known by its epoch alone."""
        detailed = self.status.stop_epoch if self.status is not None else 0
        return self._epoch_moved_at + self._max_silence_ns if self.stop_epoch > detailed else None

    def why_not_ask(self) -> Denial | None:
        """Return why no order is asked about at all, or None."""
        if self.other_store_id:
            return Denial(DenialReason.OTHER_STORE, self._other_store_message())
        if not self.knows_clock:
            return Denial(
                DenialReason.UNAVAILABLE, "no status has been heard from the sidecar yet: is it up?"
            )
        if self._has_wrong_clock():
            return Denial(DenialReason.WRONG_CLOCK, SENTENCES[HaltCause.WRONG_CLOCK])
        return None

    def why_not_send(self, store_id: str, stop_epoch: int, send_by: int, now: int) -> Denial | None:
        """Return why an approval no longer holds, or None: it may be sent at this moment."""
        refused = self.why_not_ask()
        if refused is not None:
            return refused
        if store_id != self.store_id:
            return Denial(DenialReason.OTHER_STORE, f"the approval is of store {store_id}")
        if stop_epoch < self.stop_epoch:
            return Denial(
                DenialReason.EPOCH_MOVED,
                f"approved at stop epoch {stop_epoch}, now {self.stop_epoch}: ask again",
            )
        if now >= send_by:
            return Denial(DenialReason.EXPIRED, "the approval's valid_for has passed: ask again")
        if self.is_lost(now):
            return Denial(DenialReason.SILENT, SENTENCES[HaltCause.LOST])
        return None

    def guard_status(self, now: int, new_cause: HaltCause | None = None) -> GuardStatus:
        """Return how trading stands for this guard."""
        mode = TradingMode.HALTED if self.status is None else trading_mode(self.status)
        return GuardStatus(
            causes=self._causes(now),
            new_cause=new_cause,
            trading_mode=mode,
            stop_epoch=self.stop_epoch,
            store_id=self.store_id,
            other_store_id=self.other_store_id,
            sidecar=self.status,
        )

    def notices(self, now: int) -> list[Halted | Resumed]:
        """Return what the bot must be told now; each stop and each resumption once."""
        causes = self._causes(now)
        fresh = [cause for cause in causes if cause not in self._announced]
        if self.status is not None and self._announced_status is not None:
            stops = stops_between(self._announced_status, self.status, self.strategies)
            fresh += [cause for cause in stops if cause not in fresh]
        self._announced_status = self.status
        notices: list[Halted | Resumed] = [
            Halted(status=self.guard_status(now, cause)) for cause in fresh
        ]
        self._announced = set(causes)
        self._is_resume_due = self._is_resume_due or bool(fresh)
        if self._is_resume_due and not causes and self.status is not None:
            self._is_resume_due = False
            notices.append(Resumed(status=self.guard_status(now)))
        return notices

    # Below: how the above is known.

    def _causes(self, now: int) -> tuple[HaltCause, ...]:
        """Return every cause that stands, gravest first."""
        status = self.status
        is_kill = status is not None and is_killed(status, self.strategies)
        is_open = status is not None and is_breaker_open(status)
        is_stopped = status is not None and trading_mode(status) is not TradingMode.NORMAL
        stands = {
            HaltCause.OTHER_STORE: bool(self.other_store_id),
            HaltCause.WRONG_CLOCK: self.knows_clock and self._has_wrong_clock(),
            HaltCause.LOST: self.is_lost(now),
            HaltCause.KILL_SWITCH: is_kill,
            HaltCause.CIRCUIT_BREAKER: is_open,
            HaltCause.STORE: is_stopped and not is_kill and not is_open,
        }
        return tuple(cause for cause in HaltCause if stands[cause])

    def _hear_frame_status(self, frame: status_pb2.StreamStatusResponse, now: int) -> bool:
        """Take a frame's status; False where it must have one and has none of use."""
        if not frame.HasField("status") or not frame.status.store_id:
            return False
        self._stream_store_id = frame.status.store_id
        self.hear_status(frame.status, now)
        return True

    def _hear_max_silence(self, frame: status_pb2.StreamStatusResponse) -> None:
        """Take how often frames come; a malformed length changes nothing."""
        max_silence_ns = read_duration_ns(frame.max_silence)
        if max_silence_ns is not None and self._stream_store_id == self.store_id:
            self._max_silence_ns = min(max_silence_ns, MAX_SILENCE_CAP_NS)

    def _raise_epoch(self, stop_epoch: int, now: int) -> None:
        if self._stream_store_id == self.store_id and stop_epoch > self.stop_epoch:
            self.stop_epoch, self._epoch_moved_at = stop_epoch, now

    def _has_wrong_clock(self) -> bool:
        return self._clocks.get(self.store_id) is not self._expected_clock

    def _other_store_message(self) -> str:
        return (
            f"store {self.store_id} was known, {self.other_store_id} answered: "
            f"{SENTENCES[HaltCause.OTHER_STORE]}"
        )

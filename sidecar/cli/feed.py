"""Follows StreamStatus in a thread and keeps the newest state for whoever draws it.

Rules:
- Silence longer than three times the stream's own `max_silence` is LOST (S14); it is judged on the
  monotonic clock.
- A stream that ends is asked for anew after a pause; each attempt starts from a snapshot.
- A gap in the frames' numbers ends the stream: what was missed is read anew (S14).
"""

import threading
import time
from dataclasses import dataclass, field, replace
from typing import Final

import grpc
from haltline.errors import read_rpc_error
from haltline.tls import Tls
from haltline.v1 import status_pb2

from sidecar.cli.connection import SUBSCRIBER, connect
from sidecar.cli.failures import CommandFailed, innermost

RECONNECT_SECONDS: Final = 1.0
MAX_SILENCE_SECONDS_UNTIL_KNOWN: Final = 5.0
SILENCES_MAX: Final = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedView:
    """What is known at one instant. `silent_seconds` counts from the last frame, or the start."""

    status: status_pb2.Status | None = None
    frames_count: int = 0
    connects_count: int = 0
    heard_at: float = field(default_factory=time.monotonic)
    max_silence_seconds: float = MAX_SILENCE_SECONDS_UNTIL_KNOWN
    is_going_away: bool = False
    is_connected: bool = False
    problem: str = ""

    def silent_seconds(self, now: float) -> float:
        """Return how long nothing was heard; `now` is the monotonic clock."""
        return max(0.0, now - self.heard_at)

    def is_lost(self, now: float) -> bool:
        """Say whether what is shown may no longer be true."""
        return not self.is_connected or self.silent_seconds(now) > self.max_silence_seconds


class Feed:
    """The newest state of one sidecar; `start` begins to follow it, `stop` ends that."""

    def __init__(self, target: str, timeout_seconds: float, tls: Tls | None = None) -> None:
        """`timeout_seconds` bounds the wait for the first frame of an attempt."""
        self._target = target
        self._timeout_seconds = timeout_seconds
        self._tls = tls
        self._view = FeedView()
        self._changed = threading.Condition()
        self._is_stopping = threading.Event()
        self._call: grpc.Call | None = None
        self._thread = threading.Thread(target=self._follow, name="status-feed", daemon=True)

    def start(self) -> None:
        """Follow from now on."""
        self._thread.start()

    def stop(self) -> None:
        """End the stream and the thread."""
        self._is_stopping.set()
        with self._changed:
            call = self._call
            self._changed.notify_all()
        if call is not None:
            call.cancel()
        self._thread.join(timeout=self._timeout_seconds)

    def view(self) -> FeedView:
        """Return what is known now."""
        with self._changed:
            return self._view

    def wait(self, than: FeedView, timeout_seconds: float) -> FeedView:
        """Return the view once it is another one than `than`, or as it is at the timeout."""
        with self._changed:
            self._changed.wait_for(lambda: self._view is not than, timeout_seconds)
            return self._view

    def _follow(self) -> None:
        while not self._is_stopping.is_set():
            self._set(connects_count=self.view().connects_count + 1)
            problem = self._follow_once()
            self._set(is_connected=False, problem=problem)
            self._is_stopping.wait(RECONNECT_SECONDS)

    def _follow_once(self) -> str:
        """Read one stream to its end; return why it ended."""
        expected = 1
        try:
            with connect(self._target, self._timeout_seconds, self._tls) as connection:
                request = status_pb2.StreamStatusRequest(subscriber=SUBSCRIBER)
                call = connection.safety.StreamStatus(request)
                with self._changed:
                    self._call = call
                for frame in call:
                    if frame.sequence != expected:
                        call.cancel()
                        return f"frame {expected} is missing, {frame.sequence} came"
                    expected += 1
                    self._take(frame)
        except CommandFailed as failure:
            return failure.message
        except grpc.RpcError as error:
            fault = read_rpc_error(error)
            return f"{fault.code}: {innermost(fault.message)}"
        return "the sidecar ended the stream"

    def _take(self, frame: status_pb2.StreamStatusResponse) -> None:
        silence = frame.max_silence.seconds + frame.max_silence.nanos / 1_000_000_000
        self._set(
            frames_count=self.view().frames_count + 1,
            heard_at=time.monotonic(),
            max_silence_seconds=SILENCES_MAX * silence or MAX_SILENCE_SECONDS_UNTIL_KNOWN,
            is_connected=True,
            problem="",
            is_going_away=frame.kind == status_pb2.FRAME_KIND_GOING_AWAY,
            **({"status": frame.status} if frame.HasField("status") else {}),
        )

    def _set(self, **changes: object) -> None:
        with self._changed:
            self._view = replace(self._view, **changes)  # type: ignore[arg-type]  # fields of FeedView
            self._changed.notify_all()

"""The thread that sends, and what it never does to others."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from sidecar.telemetry.counts import Counts
from sidecar.telemetry.outlet import STOP_SECONDS_MAX, Outlet

WAIT_SECONDS = 20.0


def an_outlet(send: Callable[[list[int]], bool], **changes: Any) -> Outlet[int]:  # noqa: ANN401 - any argument of an outlet
    """Return an outlet that lingers for nothing."""
    given: dict[str, Any] = {
        "signal": "traces",
        "send": send,
        "shutdown": lambda: None,
        "why": lambda: "refused",
        "exports": Counts("signal", "outcome"),
        "count_max": 4,
        "batch_count_max": 2,
        "linger_seconds": 0.0,
    }
    return Outlet(**(given | changes))


def test_everything_that_was_taken_is_sent_in_order_and_in_batches() -> None:
    """No batch is larger than it may be."""
    batches: list[list[int]] = []

    def send(batch: list[int]) -> bool:
        batches.append(batch)
        return True

    outlet = an_outlet(send)
    for item in range(4):
        assert outlet.put(item)
    outlet.start()
    outlet.stop()
    assert [item for batch in batches for item in batch] == [0, 1, 2, 3]
    assert max(map(len, batches)) == 2


def test_a_full_queue_says_so_at_once() -> None:
    """Whoever hands something over never waits, though the other side hangs."""
    hangs, begun = threading.Event(), threading.Event()

    def hang(_batch: list[int]) -> bool:
        begun.set()
        return hangs.wait(WAIT_SECONDS)

    outlet = an_outlet(hang)
    outlet.start()
    outlet.put(0)
    assert begun.wait(WAIT_SECONDS)
    assert [outlet.put(item) for item in range(5)] == [True] * 4 + [False]
    hangs.set()
    outlet.stop()


def test_a_failure_is_told_once_until_it_works_again(caplog: pytest.LogCaptureFixture) -> None:
    """And counted each time, exceptions included."""
    caplog.set_level(logging.INFO)
    exports = Counts("signal", "outcome")
    answers: Iterator[bool | Exception] = iter(
        [False, RuntimeError("secret=hunter2"), False, True, False]
    )

    def send(_batch: list[int]) -> bool:
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    outlet = an_outlet(send, exports=exports, batch_count_max=1, count_max=5)
    for item in range(5):
        outlet.put(item)
    outlet.start()
    _wait(lambda: sum(exports.values.values()) == 5)
    outlet.stop()
    told = [record.getMessage() for record in caplog.records]
    assert [text.split("(")[0].strip() for text in told] == [
        "OTLP: traces cannot be exported",
        "OTLP: traces are exported again",
        "OTLP: traces cannot be exported",
    ]
    assert "hunter2" not in " ".join(told)
    assert exports.values == {("traces", "failed"): 4, ("traces", "ok"): 1}


def test_a_stop_does_not_wait_for_one_that_hangs() -> None:
    """It is told to give up after a second, and left behind after another."""
    gives_up = threading.Event()
    begun = threading.Event()

    def hang(_batch: list[int]) -> bool:
        begun.set()
        return gives_up.wait(WAIT_SECONDS)

    outlet = an_outlet(hang, shutdown=gives_up.set)
    outlet.start()
    outlet.put(0)
    assert begun.wait(WAIT_SECONDS)
    outlet.stop()
    assert gives_up.is_set()
    assert STOP_SECONDS_MAX <= 1


def _wait(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + WAIT_SECONDS
    while not condition():
        assert time.monotonic() < end, "it never came"
        time.sleep(0.01)

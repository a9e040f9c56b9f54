"""A flood in the log is counted, not written."""

import io
import logging

from sidecar.cli.log_rate import ALIKE_PER_SECOND_MAX, STATEMENTS_MAX, BoundedHandler


def a_record(line: int, at: float, text: str = "peer %d failed", *values: int) -> logging.LogRecord:
    """Return a line of one statement at one time."""
    record = logging.LogRecord("x", logging.WARNING, "f.py", line, text, values or (1,), None)
    record.created = at
    return record


def written(handler: BoundedHandler) -> list[str]:
    """Return the lines so far."""
    assert isinstance(handler.stream, io.StringIO)
    return handler.stream.getvalue().splitlines()


def test_alike_lines_beyond_ten_in_a_second_are_left_out_and_counted() -> None:
    """Whatever names they carry; how many is said before the next second's first line."""
    handler = BoundedHandler(io.StringIO())
    for at in range(1_000):
        handler.handle(a_record(7, 100.0 + at / 2_000, "peer %d failed", at))
    assert len(written(handler)) == ALIKE_PER_SECOND_MAX
    handler.handle(a_record(8, 101.0, "other %d", 5))
    said = written(handler)[ALIKE_PER_SECOND_MAX:]
    assert said == [
        "990 more lines like this one in that second were left out: peer 0 failed",
        "other 5",
    ]


def test_other_statements_are_not_held_up() -> None:
    """A flood of one statement leaves every other alone."""
    handler = BoundedHandler(io.StringIO())
    for _ in range(100):
        handler.handle(a_record(7, 100.0))
    handler.handle(a_record(8, 100.0, "the disk is full %d", 1))
    assert written(handler)[-1] == "the disk is full 1"


def test_what_was_left_out_is_said_at_the_end() -> None:
    """The last second's count is not lost."""
    handler = BoundedHandler(io.StringIO())
    for _ in range(ALIKE_PER_SECOND_MAX + 1):
        handler.handle(a_record(7, 100.0))
    handler.close()
    assert written(handler)[-1].startswith("1 more lines like this one")


def test_statements_told_apart_are_bounded() -> None:
    """Beyond the bound all others are alike."""
    handler = BoundedHandler(io.StringIO())
    for line in range(STATEMENTS_MAX + 100):
        handler.handle(a_record(line, 100.0))
    assert len(written(handler)) == STATEMENTS_MAX + ALIKE_PER_SECOND_MAX

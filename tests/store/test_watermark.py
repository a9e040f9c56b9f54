"""The second witness: what it says is what was said to it, or nothing."""

from __future__ import annotations

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from sidecar.store.watermark import (
    WATERMARK_FILE_NAME,
    Marks,
    Watermark,
    acknowledged_by,
    decode,
    encode,
    read_marks,
)

MARKS = Marks(
    store_id="ab" * 16,
    clock_kind="driven",
    boot_id="1ae45fca-e3ba-404d-a50b-afe31a2fbd25",
    written_sequence=9,
    durable_sequence=5,
)


@given(
    written=st.integers(0, 2**64 - 1),
    durable=st.integers(0, 2**64 - 1),
    is_poisoned=st.booleans(),
)
def test_marks_are_read_back(written: int, durable: int, is_poisoned: bool) -> None:
    """Every value that can be marked is read back as it was."""
    marks = Marks(
        store_id="cd" * 16,
        clock_kind="wall",
        boot_id="",
        written_sequence=written,
        durable_sequence=durable,
        is_poisoned=is_poisoned,
    )
    assert decode(encode(marks)) == marks


@given(offset=st.integers(0, len(encode(MARKS)) - 1), bit=st.integers(0, 7))
def test_a_changed_bit_never_tells_another_story(offset: int, bit: int) -> None:
    """With any one bit flipped the file says the same as before, or nothing (S12.4)."""
    data = bytearray(encode(MARKS))
    data[offset] ^= 1 << bit
    assert decode(bytes(data)) in {None, MARKS}


@given(length=st.integers(0, len(encode(MARKS)) - 1))
def test_a_cut_file_says_nothing(length: int) -> None:
    """A file cut anywhere counts as missing (S12.4)."""
    assert decode(encode(MARKS)[:length]) is None


def test_what_moves_is_written_in_place(tmp_path: Path) -> None:
    """Each mark moves alone, and the file on disk says so at once."""
    watermark = Watermark(tmp_path, MARKS)
    watermark.set_written(12)
    watermark.set_durable(11)
    watermark.set_poisoned(is_poisoned=True)
    watermark.close()
    marks = read_marks(tmp_path)
    assert marks is not None
    assert (marks.written_sequence, marks.durable_sequence, marks.is_poisoned) == (12, 11, True)
    assert marks.store_id == MARKS.store_id
    assert (tmp_path / WATERMARK_FILE_NAME).stat().st_mode & 0o777 == 0o600


def test_a_missing_file_says_nothing(tmp_path: Path) -> None:
    """No file, no marks."""
    assert read_marks(tmp_path) is None


def test_written_binds_on_the_same_boot_only() -> None:
    """After a reboot only what was synced must be there; on the same boot all written (S12.4)."""
    assert acknowledged_by(MARKS, MARKS.boot_id) == 9
    assert acknowledged_by(MARKS, "another") == 5
    assert acknowledged_by(Marks(store_id="", clock_kind="wall", boot_id=""), "") == 0

"""A body means one thing or is no JSON; nothing in it crashes a reader."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.bridge.json_bodies import DEPTH_MAX, NotJsonError, read_json, read_object

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**18), 10**18) | st.text(max_size=10),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4)
    ),
    max_leaves=10,
)


@given(said=st.dictionaries(st.text(max_size=6), VALUES, max_size=5))
def test_plain_json_is_read_as_it_is(said: dict[str, Any]) -> None:
    """What a sender wrote is what is read, but for halves of characters."""
    text = json.dumps(said)
    expected = json.loads(text.encode("utf-8", "replace").decode())
    try:
        assert read_object(text.encode()) == expected or "\\ud" in text
    except NotJsonError:
        assert "\\ud" in text  # two keys became the same


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b'{"a":1,"a":2}', "twice"),
        (b'{"x":{"a":1,"a":1}}', "twice"),
        (b'{"a":NaN}', "NaN"),
        (b'{"a":Infinity}', "Infinity"),
        (b'{"a":-Infinity}', "-Infinity"),
        (b"[" * 40_000, "deep"),
        (b'{"a":' * 20_000 + b"1" + b"}" * 20_000, "deep"),
        (b"[" * (DEPTH_MAX + 2) + b"]" * (DEPTH_MAX + 2), "deep"),
        (b"\xff\xfe{\x00}\x00", "UTF-8"),
        (b'{"a":"\xc3"}', "UTF-8"),
        (b"{} {}", "Extra data"),
        (b"{'a':1}", "Expecting"),
        (b"", "Expecting"),
        (b'{"a":01}', "Expecting"),
        (b'{"\\ud800":1,"?":2}', "twice"),
    ],
)
def test_what_could_mean_two_things_is_no_json(body: bytes, words: str) -> None:
    """Each is refused in words, and none is a crash."""
    with pytest.raises(NotJsonError, match=words):
        read_json(body)


@pytest.mark.parametrize("body", [b"1", b'"text"', b"[]", b"null", b"true"])
def test_json_that_is_no_object_is_no_object(body: bytes) -> None:
    """A body-only scheme asks for an object and nothing else."""
    with pytest.raises(NotJsonError, match="no JSON object"):
        read_object(body)


def test_the_deepest_that_is_read() -> None:
    """At the bound it is read; the test above is one past it."""
    body = b"[" * (DEPTH_MAX + 1) + b"]" * (DEPTH_MAX + 1)
    assert json.dumps(read_json(body)).encode() == body


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("9" * 20, int("9" * 20)),
        ("9" * 21, "9" * 21),
        ("9" * 50_000, "9" * 50_000),
        ("1e400", "1e400"),
        ("-1e400", "-1e400"),
        ("1e999999999", "1e999999999"),
        ("0.5", 0.5),
        ("0." + "1" * 30, "0." + "1" * 30),
    ],
)
def test_a_number_too_large_to_reckon_with_is_its_text(text: str, read: object) -> None:
    """A huge number costs no time and becomes no infinity."""
    assert read_object(b'{"a":' + text.encode() + b"}") == {"a": read}


def test_half_a_character_becomes_a_question_mark() -> None:
    """A lone surrogate, as key or text, can stand in no answer and no journal."""
    assert read_object(b'{"a\\ud800":"x\\udfffy"}') == {"a?": "x?y"}


def test_a_byte_order_mark_is_passed_over() -> None:
    """Some shells write one before the text."""
    assert read_object(b"\xef\xbb\xbf{}") == {}


@given(body=st.binary(max_size=300))
def test_no_bytes_crash_it(body: bytes) -> None:
    """Whatever comes is a value or NotJsonError."""
    with contextlib.suppress(NotJsonError):
        json.dumps(read_json(body), ensure_ascii=False).encode()

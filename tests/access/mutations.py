"""Makes garbage of messages: seeded, so that a seed repeats every byte.

Three kinds, mixed: well-formed messages with hostile values, valid bytes spoilt, and plain noise.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any, Final

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

_DEPTH_MAX: Final = 3
_BODY_BYTES_MAX: Final = 1024 * 1024  # beyond four of these the transport refuses before we read
_TEXTS: Final = (
    "",
    "0",
    "-0",
    "-1",
    "1",
    "10",
    "100.5",
    "0.00000001",
    "99999999999999999999",
    "1" * 29,
    "1." + "0" * 19,
    "NaN",
    "Infinity",
    "-inf",
    "1e5",
    "1E+1000000",
    "1_000",
    " 1",
    "+1",
    "٣",
    "1\x00",
    "0x10",
    "ACME",
    "momentum",
    "o-1",
    "a" * 128,
    "a" * 129,
    "x" * 20_000,
    "\x00",
    "\n",
    "名前",
    "\U0001f4a3",
    "../../etc/passwd",
    "'; DROP TABLE journal; --",
    "%s%n",
    "{0}",
)
_NUMBERS: Final = (0, 1, 2, 3, 4, 5, 7, 15, 16, 127, 128, 2**31 - 1, 2**31, 2**32, 2**53, 2**63 - 1)
_HUGE_VARINT: Final = b"\xff" * 9 + b"\x01"
_ENDLESS_VARINT: Final = b"\xff" * 40


def hostile(base: Message, random: Random) -> bytes:
    """Return bytes for a call whose right request would be `base`."""
    kind = random.random()
    if kind < 0.4:
        message = type(base).FromString(base.SerializeToString())
        for _ in range(random.randint(1, 3)):
            _twist(message, random, _DEPTH_MAX)
        return message.SerializeToString()
    if kind < 0.5:
        return random.randbytes(random.choice((0, 1, 2, 16, 200, 3_000)))
    body = base.SerializeToString()
    for _ in range(random.randint(1, 4)):
        body = random.choice(_SPOILERS)(body, random)[:_BODY_BYTES_MAX]
    return body


def noise_metadata(random: Random) -> tuple[tuple[str, str | bytes], ...]:
    """Return metadata that gRPC can carry and nobody asked for; half of the time none."""
    if random.random() < 0.5:
        return ()
    keys = (
        "x-haltline-signature",
        "x-haltline-timestamp",
        "x-haltline-nonce",
        "haltline-time",
        "haltline-error-bin",
        "x-something",
        "x-something-bin",
        "authorization",
    )
    found: list[tuple[str, str | bytes]] = []
    for _ in range(random.randint(1, 5)):
        key = random.choice(keys)
        if key.endswith("-bin"):
            found.append((key, random.randbytes(random.randint(0, 200))))
        else:
            found.append((key, _metadata_text(random)))
    return tuple(found)


def _metadata_text(random: Random) -> str:
    texts = (
        "",
        "0",
        "f" * 64,
        "F" * 64,
        "f" * 63,
        "9" * 12,
        "9" * 13,
        "-1",
        "nonce-of-sixteen-letters",
        "n" * 129,
        "2007-01-03T14:30:00Z",
        "9999-12-31T23:59:60Z",
        "~" * 1_000,
    )
    return random.choice(texts)


def _twist(message: Any, random: Random, depth: int) -> None:  # noqa: ANN401 - a message of any kind
    """Put a hostile value into one field, at any depth."""
    fields = message.DESCRIPTOR.fields
    if not fields:
        return
    field = random.choice(fields)
    if random.random() < 0.1:
        message.ClearField(field.name)
        return
    is_repeated = field.is_repeated
    if field.message_type is not None:
        _twist_inner(message, field, random, depth)
        return
    value = _value_of(field, random)
    if is_repeated:
        getattr(message, field.name).extend([value] * random.choice((1, 2, 200)))
    else:
        setattr(message, field.name, value)


def _twist_inner(message: Any, field: FieldDescriptor, random: Random, depth: int) -> None:  # noqa: ANN401 - as above
    if depth == 0:
        return
    inner: Descriptor | None = field.message_type
    if inner is None or inner.GetOptions().map_entry:
        return
    if field.is_repeated:
        items = getattr(message, field.name)
        if items and random.random() < 0.5:
            _twist(random.choice(items), random, depth - 1)
            return
        for _ in range(random.choice((1, 1, 3, 120))):
            _twist(items.add(), random, depth - 1)
        return
    target = getattr(message, field.name)
    target.SetInParent()
    _twist(target, random, depth - 1)


def _value_of(field: FieldDescriptor, random: Random) -> object:
    kind = field.cpp_type
    if kind == FieldDescriptor.CPPTYPE_STRING:
        text = random.choice(_TEXTS)
        return text.encode() if field.type == FieldDescriptor.TYPE_BYTES else text
    if kind == FieldDescriptor.CPPTYPE_BOOL:
        return random.random() < 0.5
    if kind in {FieldDescriptor.CPPTYPE_ENUM, FieldDescriptor.CPPTYPE_INT32}:
        return random.choice([number for number in _NUMBERS if number < 2**31] + [-1, -(2**31)])
    if kind == FieldDescriptor.CPPTYPE_INT64:
        return random.choice((*_NUMBERS, -1, -(2**63)))
    if kind == FieldDescriptor.CPPTYPE_UINT32:
        return random.choice([number for number in _NUMBERS if number < 2**32])
    if kind == FieldDescriptor.CPPTYPE_UINT64:
        return random.choice((*_NUMBERS, 2**64 - 1))
    return random.choice((0.0, -1.0, float("nan"), float("inf")))


def _at(body: bytes, random: Random) -> int:
    return random.randint(0, len(body))


def _flip(body: bytes, random: Random) -> bytes:
    spoilt = bytearray(body or b"\x00")
    spoilt[random.randrange(len(spoilt))] ^= 1 << random.randrange(8)
    return bytes(spoilt)


def _cut(body: bytes, random: Random) -> bytes:
    return body[: _at(body, random)]


def _insert(body: bytes, random: Random) -> bytes:
    at = _at(body, random)
    return body[:at] + random.randbytes(random.randint(1, 8)) + body[at:]


def _repeat(body: bytes, random: Random) -> bytes:
    return body * random.choice((2, 3, 50))


def _swap(body: bytes, random: Random) -> bytes:
    at = _at(body, random)
    return body[at:] + body[:at]


def _add_varint(body: bytes, random: Random) -> bytes:
    tag = bytes([random.randint(1, 15) << 3])
    return (
        body + tag + random.choice((_HUGE_VARINT, _ENDLESS_VARINT, b"\x80", b"\x80" * 9 + b"\x02"))
    )


def _add_wrong_type(body: bytes, random: Random) -> bytes:
    """Add a field with a wire type it does not have; 3, 4, 6 and 7 are groups and nothing."""
    tag = bytes([(random.randint(1, 15) << 3) | random.randint(0, 7)])
    return body + tag + random.randbytes(random.randint(0, 9))


def _add_long_length(body: bytes, random: Random) -> bytes:
    """Add a field that claims to be longer than everything there is."""
    tag = bytes([(random.randint(1, 15) << 3) | 2])
    return (
        body + tag + random.choice((b"\xff\xff\xff\xff\x07", b"\xff\xff\xff\xff\x0f", _HUGE_VARINT))
    )


def _add_no_utf8(body: bytes, random: Random) -> bytes:
    tag = bytes([(random.randint(1, 15) << 3) | 2])
    text = random.choice((b"\xff\xfe", b"\xc3\x28", b"\xed\xa0\x80", b"\xf8\x88\x80\x80\x80"))
    return body + tag + bytes([len(text)]) + text


def _add_deep(body: bytes, random: Random) -> bytes:
    """Nest a field in itself, deeper than a parser likes."""
    tag = (random.randint(1, 15) << 3) | 2
    nested = b""
    for _ in range(random.choice((20, 60, 120))):
        if len(nested) > 120:
            break
        nested = bytes([tag, len(nested)]) + nested
    return body + nested + bytes([(1 << 3) | 3]) * 150


_SPOILERS: Final[tuple[Callable[[bytes, Random], bytes], ...]] = (
    _flip,
    _flip,
    _cut,
    _insert,
    _repeat,
    _swap,
    _add_varint,
    _add_wrong_type,
    _add_long_length,
    _add_no_utf8,
    _add_deep,
)

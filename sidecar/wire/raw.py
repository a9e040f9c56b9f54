"""The three things of protobuf's encoding that let bytes made once be put into many messages.

Rules: the wire format is fixed (tag = number << 3 | type, little-endian base 128), so what is put
together here is what the library would have written.
"""

from typing import Final

VARINT: Final = 0
LENGTH_DELIMITED: Final = 2
_SEVEN_BITS: Final = 0x7F


def field_tag(number: int, wire_type: int) -> bytes:
    """Return the bytes before a field's value."""
    return varint(number << 3 | wire_type)


def varint(value: int) -> bytes:
    """Return `value` (>= 0) in base 128."""
    encoded = bytearray()
    while value > _SEVEN_BITS:
        encoded.append(value & _SEVEN_BITS | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)

"""Operator calls that were refused are told to the journal: who, what, why (S13).

Rules: the names and reasons in a refused request are its sender's word; they are read only to be
journalled, cut and bounded, and never change what is answered.
"""

from __future__ import annotations

from typing import Any, Final

from google.protobuf.message import DecodeError, Message
from haltline.v1 import config_pb2, operator_pb2

from sidecar.core.denial import CallRefused
from sidecar.service import Caller, Service

_REQUESTS: Final[dict[str, type[Message]]] = {
    name.removesuffix("Request"): getattr(operator_pb2, name)
    for name in operator_pb2.DESCRIPTOR.message_types_by_name
    if name.endswith("Request")
} | {"ReloadConfig": config_pb2.ReloadConfigRequest}
_WHO: Final = ("reset_by", "released_by", "accepted_by", "reloaded_by")


def note_refused(
    service: Service, path: str, body: bytes, refused: CallRefused, caller: Caller
) -> None:
    """Journal that the call at `path` was refused."""
    call = path.rpartition("/")[2]
    by, reason = _said(call, body)
    service.refused.note(call, refused, caller.actor, by, reason)


def _said(call: str, body: bytes) -> tuple[str, str]:
    """Return who the request says it is from and why; empty where that cannot be read."""
    kind = _REQUESTS.get(call)
    if kind is None:
        return "", ""
    try:
        request: Any = kind.FromString(body)
    except DecodeError:
        return "", ""
    by = next((getattr(request, field) for field in _WHO if hasattr(request, field)), "")
    return by, getattr(request, "reason", "")

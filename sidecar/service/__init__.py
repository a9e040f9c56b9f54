"""Floor 3, the service: the single writer. It decides, appends, applies, makes durable, answers.

`service.py` is the door every shell uses; the other modules are its parts.
"""

from sidecar.service.callers import Caller, Role
from sidecar.service.facts import HealthPart, ServiceStatus, Settings, StartReport, StoreStatus
from sidecar.service.reload import ConfigurationSource
from sidecar.service.service import Service

__all__ = [
    "Caller",
    "ConfigurationSource",
    "HealthPart",
    "Role",
    "Service",
    "ServiceStatus",
    "Settings",
    "StartReport",
    "StoreStatus",
]

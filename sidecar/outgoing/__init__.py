"""Floor 4, outgoing webhooks: tells configured receivers when trading stops and starts again.

`messages.py` says what is sent, `signing.py` how it is signed, `retries.py` when it is sent again,
`posting.py` sends it, `sender.py` is the life of it; `targets.py` reads what was configured.
"""

from sidecar.outgoing.sender import Outgoing
from sidecar.outgoing.targets import Target, TargetsError, read_targets

__all__ = ["Outgoing", "Target", "TargetsError", "read_targets"]

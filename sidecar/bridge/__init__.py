"""Floor 4, the HTTP shell: health, webhooks, the page; thin, and beside the gRPC server.

`bridge.py` is the life of it, `app.py` its routes, each group in a `*_routes.py`.
"""

from sidecar.bridge.bridge import Bridge
from sidecar.bridge.parts import BridgeParts

__all__ = ["Bridge", "BridgeParts"]

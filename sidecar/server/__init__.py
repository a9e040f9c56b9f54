"""Floor 4, the gRPC shell: reads a call, asks the service, writes the answer.

`server.py` is the life of a server; `calls.py` is what every call goes through; `safety.py` and
`operator.py` are the tables of calls; `tls.py`, `unix_roles.py` and `unix_relay.py` say who
calls; `status_feed.py` feeds every reader of the status;
`health.py` says how we are; `unix_socket.py` where we listen.
"""

from sidecar.addresses import AddressError, AddressHeldError
from sidecar.server.options import ServerOptions
from sidecar.server.server import Server
from sidecar.tls import TlsFiles

__all__ = [
    "AddressError",
    "AddressHeldError",
    "Server",
    "ServerOptions",
    "TlsFiles",
]

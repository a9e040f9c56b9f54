"""Haltline: the safety sidecar a trading bot asks before every order."""

import os

__version__ = "0.1.0"

# TLS 1.3 only (S11). gRPC for Python has no setting for it, but reads the ciphers of TLS 1.2 from
# the environment when it is first imported. With none but one that needs a shared key nobody has,
# no handshake of TLS 1.2 succeeds; TLS 1.3 has ciphers of its own, which nothing here touches.
# Where gRPC was imported before us, `server.tls` still refuses every call over an older version.
os.environ["GRPC_SSL_CIPHER_SUITES"] = "ECDHE-PSK-AES128-CBC-SHA"

# gRPC writes a line of its own on stderr for each handshake that fails: whoever may connect could
# fill the log. Whoever looks for a fault sets the variable, and gets them.
os.environ.setdefault("GRPC_VERBOSITY", "ERROR")

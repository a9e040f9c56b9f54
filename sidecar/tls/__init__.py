"""The floor both shells stand on where they speak TLS: certificates, read again while it serves.

`keeper.py` holds what is in force and judges every caller's certificate, `files.py` reads the PEM
files, `certificates.py` says who a certificate names. Each shell makes its own sockets of it.
"""

from sidecar.tls.certificates import Identity, read_identity
from sidecar.tls.files import BadFiles, Loaded, TlsFiles
from sidecar.tls.keeper import TlsKeeper

__all__ = ["BadFiles", "Identity", "Loaded", "TlsFiles", "TlsKeeper", "read_identity"]

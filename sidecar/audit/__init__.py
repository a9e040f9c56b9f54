"""The audit of the journal: what is signed, exported and verified (S13).

Rules:
1. Whoever verifies needs the records, the signed heads and the public key, and trusts none of the
   rest: no table of the store, no running sidecar, no configuration.
2. Only the private key makes a head; only a receipt kept elsewhere sees a tail cut or rolled back.
"""

"""Floor 2, the store: it remembers what was decided, in order, and says how safely.

Records are opaque bytes here. `store.py` is the interface, `sqlite_store.py` the one that
serves, `memory_store.py` its twin for tests, `recovery.py` what a start may conclude.
"""

"""The real process, ended where it hurts: what it acknowledged is still true afterwards (S12)."""

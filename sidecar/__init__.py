"""Haltline: the safety sidecar a trading bot asks before every order."""

__version__ = "0.1.0"

"""FLOOR 1: decides. No I/O, no clock, no randomness, no floats: functions of their arguments."""

"""The configuration file: TOML into frozen values, every fault at once, nothing unknown.

`loading` reads a file, `sections` names every key, `effective` says what it means to the core,
`printing` writes it for people, `changes` says which way each key moves when it is read again.
"""

from sidecar.config.changes import find_file_changes
from sidecar.config.effective import config_hash, to_thresholds
from sidecar.config.loading import ConfigurationError, load, parse
from sidecar.config.printing import print_defaults, print_effective, print_reference
from sidecar.config.sections import Configuration, Durability, LoopbackRole

__all__ = [
    "Configuration",
    "ConfigurationError",
    "Durability",
    "LoopbackRole",
    "config_hash",
    "find_file_changes",
    "load",
    "parse",
    "print_defaults",
    "print_effective",
    "print_reference",
    "to_thresholds",
]

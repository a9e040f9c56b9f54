"""What every section of the configuration file is."""

from typing import Final

from pydantic import BaseModel, ConfigDict

NAMED: Final = ("symbols", "strategies", "outgoing")
"""Sections of which there is one for each name, as in `[symbols."AAPL"]`."""


class Section(BaseModel):
    """One section: frozen, and nothing in it that is not named here."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

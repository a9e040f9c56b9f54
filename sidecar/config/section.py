"""What every section of the configuration file is: frozen, and nothing in it without a name."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    """One section: frozen, and nothing in it that is not named here."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

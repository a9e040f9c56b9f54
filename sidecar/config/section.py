"""What every section of the configuration file is."""

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    """One section: frozen, and nothing in it that is not named here."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

"""What `config check` says of each target of webhooks, without a secret."""

import os

from sidecar.config.outgoing_sections import OutgoingSection


def target_words(name: str, section: OutgoingSection) -> str:
    """Return where a target is, what it is told, and whether its variables are set here."""
    address = section.url or f"the address in {section.url_environment}"
    told = "everything" if section.events is None else ", ".join(section.events)
    variables = (section.url_environment, section.secret_environment)
    states = [
        f"{variable} is {'set' if os.environ.get(variable, '').strip() else 'NOT SET here'}"
        for variable in variables
        if variable is not None
    ]
    parts = (f"webhook {name}: {section.format.value} to {address}", f"told {told}", *states)
    return "; ".join(parts)

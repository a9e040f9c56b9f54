"""A second opinion on the core: a slow, obvious model of the page, and the campaigns against it."""

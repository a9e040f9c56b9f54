"""Single changed lines of the core, each of which a test must notice."""

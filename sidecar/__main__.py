"""`python -m sidecar ...` is the command `haltline ...`."""

from sidecar.cli.main import main

if __name__ == "__main__":
    main()

"""The command line: `haltline ...`, the same as `python -m sidecar ...`.

It is the only place that builds objects (`compose`), and a client of the sidecar for all else.
"""

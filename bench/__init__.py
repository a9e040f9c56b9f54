"""Measures the sidecar against itself and a no-op twin: ratios of one run, never bare promises."""
